"""The contract environment over Connect: workers behind a proxy that can be cut, and one without the SDK."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
from inngest.connect._internal import connect_pb2 as pb
from yarl import URL

from inngest_functions.connect import Connection
from sandbox.inngest import ServerKeys
from services.core.background import BackgroundTasks
from tests.contract.environment import ContractEnvironment, wait_until

Kind = pb.GatewayMessageType
READY = pb.ConnectionStatus.READY


class GatewayProxy:
    """A TCP proxy in front of the gateway, whose connections can be cut and restored."""

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
    """The same functions behind Connect workers instead of HTTP."""

    def __init__(self, server: str, *, speed: float = 1.0, keys: ServerKeys | None = None) -> None:
        super().__init__(server, speed=speed, keys=keys)
        self._background = BackgroundTasks()
        self._connections: list[Connection] = []
        self.proxies: list[GatewayProxy] = []

    @property
    def connection(self) -> Connection:
        return self._connections[-1]

    @property
    def proxy(self) -> GatewayProxy:
        return self.proxies[-1]

    async def start_app(self) -> None:
        """Start one more worker."""
        proxy = GatewayProxy(await self.gateway())
        await proxy.restore()
        self.proxies.append(proxy)
        connection = Connection(self.client, self.functions, gateway_url=proxy.url)
        self._connections.append(connection)
        self._background.spawn(connection.run(), "connect")
        await self.connected()

    async def connected(self) -> None:
        """Wait until the server would send the newest worker a call.

        The real server may need until the next heartbeat, 10 s later: a first heartbeat that arrives while the
        connection is being established resets its state.
        """
        await wait_until(lambda: wait_until_true(self.connection.connected))
        await wait_until(self._routable)

    async def _routable(self) -> bool:
        url = f"{self.server}/v0/connect/envs/00000000-0000-4000-b000-000000000000/conns"
        async with self.session.get(url) as response:
            if response.status != 200:  # a production server does not list them
                return True
            known = (await response.json())["data"]
        worker = self.connection._worker  # noqa: SLF001 - nobody but this test asks which of its workers is connected
        connection_id = worker.get_connection_id() if worker else ""
        return any(each["id"] == connection_id and each.get("status") == READY for each in known)

    async def lost(self) -> None:
        await wait_until(lambda: wait_until_true(not self.connection.connected))

    async def gateway(self) -> URL:
        return URL((await self.start_response()).gateway_endpoint)

    async def start_response(self) -> Any:
        """Return what the API tells a worker before it connects."""
        url = f"{self.server}/v0/connect/start"
        bearer = {"Authorization": f"Bearer {self.keys.signing_key}"} if self.keys else {}
        async with self.session.post(url, data=b"", headers=bearer) as response:
            assert response.status == 200
            return pb.StartResponse.FromString(await response.read())

    async def close(self) -> None:
        for connection in self._connections:
            await connection.close(10)
        await self._background.drain(10)
        for proxy in self.proxies:
            proxy.drop()
        await super().close()

    async def wait_until(self, job: str, *steps: str, seconds: float = 30) -> None:
        """Wait until a job has done exactly these steps."""
        await wait_until(lambda: wait_until_true(self.call_log.done[job] == list(steps)), seconds=seconds)


async def wait_until_true(condition: bool) -> bool:
    """Return a condition of this process as an awaitable, for ``wait_until``."""
    return condition


class RawWorker:
    """A worker without the SDK, which may send what the SDK would not."""

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
        """Return the next call after acknowledging it."""
        call = pb.GatewayExecutorRequestData.FromString(await self.receive(Kind.GATEWAY_EXECUTOR_REQUEST))
        await self.send(Kind.WORKER_REQUEST_ACK, pb.WorkerRequestAckData(request_id=call.request_id))
        return call

    async def extend_lease(self, call: Any, lease_id: str) -> str:
        """Return the new lease id, or an empty text when the extension was refused."""
        extension = pb.WorkerRequestExtendLeaseData(request_id=call.request_id, lease_id=lease_id)
        await self.send(Kind.WORKER_REQUEST_EXTEND_LEASE, extension)
        ack = pb.WorkerRequestExtendLeaseAckData.FromString(
            await self.receive(Kind.WORKER_REQUEST_EXTEND_LEASE_ACK)
        )
        return str(ack.new_lease_id)


@asynccontextmanager
async def raw_worker(
    environment: ConnectEnvironment, app: str = "raw", **settings: Any
) -> AsyncIterator[RawWorker]:
    """A worker whose app has one function; `settings` may change the function."""
    start = await environment.start_response()
    step = {
        "id": "step",
        "name": "step",
        "runtime": {"type": "http", "url": f"wss://connect?fnId={app}-f&stepId=step"},
    }
    function = {"id": f"{app}-f", "name": "f", "triggers": [{"event": f"contract/{app}"}], "steps": {"step": step}}
    hello = pb.WorkerConnectRequestData(
        connection_id=start.connection_id,
        instance_id="raw",
        auth_data=pb.AuthData(session_token=start.session_token, sync_token=start.sync_token),
        capabilities=b"{}",
        apps=[pb.AppConfiguration(app_name=app, functions=json.dumps([function | settings]).encode())],
        sdk_language="py",
        sdk_version="0.5.19",
    )
    protocols = ("v0.connect.inngest.com",)
    async with environment.session.ws_connect(start.gateway_endpoint, protocols=protocols) as socket:
        worker = RawWorker(socket, hello)
        assert await worker.receive(Kind.GATEWAY_HELLO) == b""
        yield worker
