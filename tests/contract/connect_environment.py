"""The contract's world over Connect: workers on lines that can be cut, and one that speaks the wire itself."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
from inngest.connect._internal import connect_pb2 as pb
from yarl import URL

from inngest_functions.connect import Connection
from sandbox.inngest.keys import ServerKeys
from services.core.background import BackgroundTasks
from tests.contract.environment import ContractEnvironment, wait_until

Kind = pb.GatewayMessageType
READY = pb.ConnectionStatus.READY


class GatewayProxy:
    """A TCP line to the gateway, which can be cut and mended."""

    def __init__(self, gateway: URL) -> None:
        self._gateway = gateway
        self._server: asyncio.Server | None = None
        self._ends: set[asyncio.StreamWriter] = set()
        self._port = 0

    @property
    def url(self) -> str:
        return str(self._gateway.with_host("127.0.0.1").with_port(self._port))

    async def restore(self) -> None:
        self._server = await asyncio.start_server(self._forward, "127.0.0.1", self._port)
        self._port = int(self._server.sockets[0].getsockname()[1])

    def drop(self) -> None:
        if self._server is not None:
            self._server.close()
        for end in self._ends:
            end.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = {writer}
        with suppress(ConnectionError):
            there, back = await asyncio.open_connection(self._gateway.host, self._gateway.port)
            ends.add(back)
            self._ends |= ends
            await asyncio.gather(_pump(reader, back), _pump(there, writer))
        self._ends -= ends
        for end in ends:
            end.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


class ConnectEnvironment(ContractEnvironment):
    """The world's functions behind connections, and not a port."""

    def __init__(self, server: str, *, speed: float = 1.0, keys: ServerKeys | None = None) -> None:
        super().__init__(server, speed=speed, keys=keys)
        self._background = BackgroundTasks()
        self._connections: list[Connection] = []
        self.lines: list[GatewayProxy] = []

    @property
    def connection(self) -> Connection:
        return self._connections[-1]

    @property
    def proxy(self) -> GatewayProxy:
        return self.lines[-1]

    async def start_app(self) -> None:
        """One more worker."""
        line = GatewayProxy(await self.gateway())
        await line.restore()
        self.lines.append(line)
        connection = Connection(self.client, self._functions, gateway_url=line.url)
        self._connections.append(connection)
        self._background.spawn(connection.run(), "connect")
        await self.connected()

    async def connected(self) -> None:
        """Wait until the server would give the newest worker a call.

        The real one may take up to the next heartbeat, 10 s later: the first one, when it comes while the
        connection is made ready, takes the readiness back.
        """
        await wait_until(lambda: wait_until_true(self.connection.connected))
        await wait_until(self._routable)

    async def _routable(self) -> bool:
        url = f"{self.server}/v0/connect/envs/00000000-0000-4000-b000-000000000000/conns"
        async with self.session.get(url) as response:
            if response.status != 200:  # a production server does not say
                return True
            known = (await response.json())["data"]
        worker = self.connection._worker
        connection_id = worker.get_connection_id() if worker else ""
        return any(one["id"] == connection_id and one.get("status") == READY for one in known)

    async def lost(self) -> None:
        await wait_until(lambda: wait_until_true(not self.connection.connected))

    async def gateway(self) -> URL:
        return URL((await self.told()).gateway_endpoint)

    async def told(self) -> Any:
        """What the API tells a worker."""
        url = f"{self.server}/v0/connect/start"
        bearer = {"Authorization": f"Bearer {self.keys.signing_key}"} if self.keys else {}
        async with self.session.post(url, data=b"", headers=bearer) as response:
            assert response.status == 200
            return pb.StartResponse.FromString(await response.read())

    async def close(self) -> None:
        for connection in self._connections:
            await connection.close(10)
        await self._background.drain(10)
        for line in self.lines:
            line.drop()
        await super().close()

    async def wait_until(self, this: str, *steps: str, seconds: float = 30) -> None:
        """Wait until a job has done exactly that."""
        await wait_until(lambda: wait_until_true(self.book.done[this] == list(steps)), seconds=seconds)


async def wait_until_true(condition: bool) -> bool:
    """A condition of this process's own, for until()."""
    return condition


class RawWorker:
    """A worker's end of the wire, to say what the SDK would not."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, hello: Any) -> None:
        self._socket = socket
        self.hello = hello

    async def send(self, kind: Any, message: Any = None) -> None:
        await self.send_bytes(kind, b"" if message is None else message.SerializeToString())

    async def send_bytes(self, kind: Any, payload: bytes) -> None:
        await self._socket.send_bytes(pb.ConnectMessage(kind=kind, payload=payload).SerializeToString())

    async def receive(self, kind: Any) -> bytes:
        message = pb.ConnectMessage.FromString(await self._socket.receive_bytes(timeout=10))
        assert message.kind == kind, Kind.Name(message.kind)
        return bytes(message.payload)

    async def assert_disconnected(self) -> tuple[int | None, str]:
        frame = await self._socket.receive(timeout=10)
        assert frame.type is aiohttp.WSMsgType.CLOSE
        return self._socket.close_code, str(frame.extra)

    async def connect(self) -> None:
        await self.send(Kind.WORKER_CONNECT, self.hello)
        ready = pb.GatewayConnectionReadyData.FromString(await self.receive(Kind.GATEWAY_CONNECTION_READY))
        assert ready.heartbeat_interval == "10s"
        assert ready.extend_lease_interval[-1] == "s"

    async def accept_call(self) -> Any:
        """The next call, acknowledged."""
        call = pb.GatewayExecutorRequestData.FromString(await self.receive(Kind.GATEWAY_EXECUTOR_REQUEST))
        await self.send(Kind.WORKER_REQUEST_ACK, pb.WorkerRequestAckData(request_id=call.request_id))
        return call

    async def extend_lease(self, call: Any, lease_id: str) -> str:
        """The new lease id, empty when it was refused."""
        asked = pb.WorkerRequestExtendLeaseData(request_id=call.request_id, lease_id=lease_id)
        await self.send(Kind.WORKER_REQUEST_EXTEND_LEASE, asked)
        ack = pb.WorkerRequestExtendLeaseAckData.FromString(
            await self.receive(Kind.WORKER_REQUEST_EXTEND_LEASE_ACK)
        )
        return str(ack.new_lease_id)


@asynccontextmanager
async def raw_worker(
    environment: ConnectEnvironment, app: str = "raw", **settings: Any
) -> AsyncIterator[RawWorker]:
    """An app of one function, which `settings` may change."""
    told = await environment.told()
    step = {
        "id": "step",
        "name": "step",
        "runtime": {"type": "http", "url": f"wss://connect?fnId={app}-f&stepId=step"},
    }
    function = {"id": f"{app}-f", "name": "f", "triggers": [{"event": f"contract/{app}"}], "steps": {"step": step}}
    hello = pb.WorkerConnectRequestData(
        connection_id=told.connection_id,
        instance_id="raw",
        auth_data=pb.AuthData(session_token=told.session_token, sync_token=told.sync_token),
        capabilities=b"{}",
        apps=[pb.AppConfiguration(app_name=app, functions=json.dumps([function | settings]).encode())],
        sdk_language="py",
        sdk_version="0.5.19",
    )
    protocols = ("v0.connect.inngest.com",)
    async with environment.session.ws_connect(told.gateway_endpoint, protocols=protocols) as socket:
        worker = RawWorker(socket, hello)
        assert await worker.receive(Kind.GATEWAY_HELLO) == b""
        yield worker
