"""The Connect gateway: connected workers, the calls that they have leased, and the endpoints for both.

A call belongs to its lease and not to the connection: the worker may answer over another connection, or by
``POST /v0/connect/flush``. Source: ``gateway.go``, ``gateway_msg*.go``, ``maintenance.go``, ``grpcConnector.Proxy``,
``routing.GetRoute``, ``lua/extend_lease.lua`` and ``rest/v0`` under ``pkg/connect`` of inngest/inngest.
"""

import asyncio
import json
import random
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from urllib.parse import quote

from aiohttp import WSCloseCode, WSMsgType, web
from google.protobuf.message import DecodeError, Message
from inngest.connect._internal import connect_pb2 as pb
from loguru import logger
from yarl import URL

from sandbox.inngest.clock import Clock
from sandbox.inngest.functions import Registration
from sandbox.inngest.runs import ULID_LENGTH, new_id

_PATH: Final = "/v0/connect"
_MAX_MESSAGE_BYTES: Final = 8 * 1024 * 1024  # consts.MaxSDKResponseBodySize
_HELLO_SECONDS: Final = 5
_HEARTBEAT_SECONDS: Final = 10  # consts.ConnectWorkerHeartbeatInterval
_MISSED_HEARTBEATS: Final = 5
_MAX_FORWARDS: Final = 3
_LEASE_GRACE: Final = 1 / 24  # of a lease: consts.ConnectWorkerRequestGracePeriod is 5 s of 2 minutes
_DRAIN_CHECKS: Final = 10  # one per second, until a draining connection is replaced
_MessageT = TypeVar("_MessageT", bound=Message)


class NoWorkerReply(Exception):
    """No worker answered; the message is the one of the real server."""


class _ConnectionRejected(Exception):
    """A worker's message is not acceptable: the reason that the real server gives, and the close code."""

    def __init__(self, reason: str, code: WSCloseCode = WSCloseCode.POLICY_VIOLATION) -> None:
        super().__init__(reason)
        self.code = code


def _new_future() -> asyncio.Future[Any]:
    return asyncio.get_running_loop().create_future()


@dataclass(eq=False, slots=True)
class Worker:
    """One connection of an app's process.

    Attributes:
        apps: The apps' names by the ids of their functions.
        unavailable: Done when the worker takes no more calls: it is pausing, being drained, or disconnected.
    """

    socket: web.WebSocketResponse
    apps: dict[str, str] = field(default_factory=dict)
    unavailable: asyncio.Future[None] = field(default_factory=_new_future)

    def mark_unavailable(self) -> None:
        """Send no more calls to the worker."""
        if not self.unavailable.done():
            self.unavailable.set_result(None)

    async def send(self, kind: pb.GatewayMessageType, message: Message | None = None) -> None:
        """Send a message; raises ConnectionError when the connection is lost."""
        payload = b"" if message is None else message.SerializeToString()
        await self.socket.send_bytes(pb.ConnectMessage(kind=kind, payload=payload).SerializeToString())


@dataclass(eq=False, slots=True)
class _Call:
    lease_id: str
    lease_ends: float
    previous_lease_id: str = ""
    acked: asyncio.Future[None] = field(default_factory=_new_future)
    reply: asyncio.Future[pb.SDKResponse] = field(default_factory=_new_future)


class Gateway:
    """Connected workers and running calls.

    Attributes:
        lease_seconds: How long a lease of a call is, in real seconds.
        register: Registers the functions of an app that a worker brings.
        session_token: What workers must present when they connect.
        port: The port of the gateway.
        draining: Whether new workers are refused.
        workers: The connected workers.
    """

    def __init__(self, clock: Clock, register: Callable[[Registration], bool]) -> None:
        """Start without workers; for ``register`` see above."""
        self.lease_seconds = clock.lease_seconds / clock.speed
        self.register = register
        self.session_token = secrets.token_urlsafe()
        self.port = 0
        self.draining = False
        self.workers: set[Worker] = set()
        self._clock = clock
        self._calls: dict[str, _Call] = {}

    async def call(self, request: pb.GatewayExecutorRequestData) -> pb.SDKResponse:
        """Send a request to a worker and wait for its reply.

        Args:
            request: The call; the gateway fills in the lease and the app's name.

        Raises:
            NoWorkerReply: When no worker is connected, or the lease of the one that had the request has expired.
        """
        call = _Call(new_id(), time.monotonic() + self.lease_seconds)
        self._calls[request.request_id] = call
        request.lease_id = call.lease_id
        try:
            await self._forward(request, call)
        except NoWorkerReply:
            del self._calls[request.request_id]
            raise
        grace = self.lease_seconds * _LEASE_GRACE
        while not call.reply.done() and (left := call.lease_ends + grace - time.monotonic()) > 0:
            await asyncio.wait({call.reply}, timeout=left)
        if not call.reply.done():  # the call stays known: a late worker may still extend and answer
            raise NoWorkerReply("connect_worker_stopped_responding: The worker stopped responding to the request.")
        return call.reply.result()

    def acknowledge(self, request_id: str) -> None:
        """Note that a worker has accepted a call."""
        call = self._calls.get(request_id)
        if call is not None and not call.acked.done():
            call.acked.set_result(None)

    def extend(self, request_id: str, lease_id: str) -> str | None:
        """Extend a lease.

        Args:
            request_id: The call.
            lease_id: The current lease, or the one before it when its extension was not received.

        Returns:
            The new lease's id; None when the call has ended or the lease belongs to another worker.
        """
        call = self._calls.get(request_id)
        if call is None:
            return None
        if call.previous_lease_id == lease_id:  # a repeated request: the response was lost with the connection
            return call.lease_id
        if call.lease_id != lease_id and call.lease_ends > time.monotonic():
            return None
        call.previous_lease_id, call.lease_id = call.lease_id, new_id()
        call.lease_ends = time.monotonic() + self.lease_seconds
        return call.lease_id

    def receive_reply(self, response: pb.SDKResponse) -> None:
        """Take a worker's reply to a call, for which the executor may no longer be waiting."""
        call = self._calls.pop(response.request_id, None)
        if call is not None and not call.reply.done():
            call.reply.set_result(response)

    async def _forward(self, request: pb.GatewayExecutorRequestData, call: _Call) -> None:
        for _ in range(_MAX_FORWARDS):
            worker = await self._route(request.function_slug)
            request.app_name = worker.apps[request.function_slug]
            try:
                await worker.send(pb.GATEWAY_EXECUTOR_REQUEST, request)
            except ConnectionError:
                continue
            await asyncio.wait(
                {call.acked, worker.unavailable},
                timeout=self.lease_seconds * (1 + _LEASE_GRACE),
                return_when=asyncio.FIRST_COMPLETED,
            )
            if call.acked.done():
                return
        raise NoWorkerReply("failed to route request to gateway")

    async def _route(self, function_id: str) -> Worker:
        for _ in range(_DRAIN_CHECKS):
            candidates = [worker for worker in self.workers if function_id in worker.apps]
            if ready := [worker for worker in candidates if not worker.unavailable.done()]:
                return random.choice(ready)
            if not candidates:
                break
            await asyncio.sleep(1 / self._clock.speed)
        raise NoWorkerReply("connect_no_healthy_connection: Could not find a healthy connection")


def gateway_routes(gateway: Gateway) -> list[web.RouteDef]:
    """Return the routes of the gateway's own port."""

    async def maintain(request: web.Request) -> web.Response:
        """With ``drain``, ask all workers to connect elsewhere and refuse new ones; ``activate`` accepts them."""
        gateway.draining = request.match_info["action"] == "drain"
        for worker in list(gateway.workers) if gateway.draining else ():
            worker.mark_unavailable()
            with suppress(ConnectionError):  # it has already disconnected
                await worker.send(pb.GATEWAY_CLOSING)
        return web.json_response({"status": "ok"})

    async def connect(request: web.Request) -> web.WebSocketResponse:
        """Serve a worker until it disconnects."""
        socket = web.WebSocketResponse(protocols=("v0.connect.inngest.com",), max_msg_size=_MAX_MESSAGE_BYTES)
        await socket.prepare(request)
        try:
            with suppress(ConnectionError, TimeoutError):  # it is gone or silent; its calls end with their leases
                await _serve_worker(gateway, socket)
        except _ConnectionRejected as refusal:
            await socket.close(code=refusal.code, message=str(refusal).encode())
        return socket

    return [web.get(_PATH, connect), web.post("/maintenance/{action:drain|activate}", maintain)]


def worker_api_routes(gateway: Gateway) -> list[web.RouteDef]:
    """Return the routes of the API's port that workers use."""

    async def start(request: web.Request) -> web.Response:
        """Tell a worker where to connect."""
        endpoint = URL.build(scheme="ws", host=request.url.host or "", port=gateway.port, path=_PATH)
        return _protobuf_response(
            pb.StartResponse(
                connection_id=new_id(),
                gateway_endpoint=str(endpoint),
                gateway_group="gw-dev",
                session_token=gateway.session_token,
            )
        )

    async def flush(request: web.Request) -> web.Response:
        """Take a reply whose connection was lost."""
        response = pb.SDKResponse.FromString(await request.read())
        gateway.receive_reply(response)
        return _protobuf_response(pb.FlushResponse(request_id=response.request_id))

    return [web.post(f"{_PATH}/start", start), web.post(f"{_PATH}/flush", flush)]


async def _serve_worker(gateway: Gateway, socket: web.WebSocketResponse) -> None:
    if gateway.draining:
        raise _ConnectionRejected("connect_gateway_closing", WSCloseCode.GOING_AWAY)
    worker = await _shake_hands(gateway, socket)
    extend_seconds = max(1, round(gateway.lease_seconds / 4))  # the SDKs read only whole ones
    ready = pb.GatewayConnectionReadyData(
        heartbeat_interval=f"{_HEARTBEAT_SECONDS}s", extend_lease_interval=f"{extend_seconds}s"
    )
    await worker.send(pb.GATEWAY_CONNECTION_READY, ready)
    gateway.workers.add(worker)
    try:
        while (message := await _receive(socket, _HEARTBEAT_SECONDS * _MISSED_HEARTBEATS)) is not None:
            await _handle_message(gateway, worker, message)
    finally:
        gateway.workers.discard(worker)
        worker.mark_unavailable()


async def _shake_hands(gateway: Gateway, socket: web.WebSocketResponse) -> Worker:
    await socket.send_bytes(pb.ConnectMessage(kind=pb.GATEWAY_HELLO).SerializeToString())
    message = await _receive(socket, _HELLO_SECONDS)
    if message is None:
        raise ConnectionError
    if message.kind != pb.WORKER_CONNECT:
        raise _ConnectionRejected("connect_worker_hello_invalid_msg")
    hello = _decode(pb.WorkerConnectRequestData, message.payload, "connect_worker_hello_invalid_payload")
    if len(hello.connection_id) != ULID_LENGTH or not hello.instance_id or not hello.apps:
        raise _ConnectionRejected("connect_worker_hello_invalid_payload")
    if hello.auth_data.session_token != gateway.session_token:
        raise _ConnectionRejected("connect_authentication_failed")
    worker = Worker(socket)
    for app in hello.apps:
        try:
            registration = Registration(
                appname=app.app_name,
                url=f"ws://connect?app_name={quote(app.app_name)}",
                functions=json.loads(app.functions),
            )
        except ValueError as error:  # of the JSON or of its validation
            logger.error("Inngest stand-in: {} is invalid: {}", app.app_name, error)
            await worker.send(pb.SYNC_FAILED, pb.SystemError(message="At least one function is invalid"))
            raise _ConnectionRejected("") from None
        gateway.register(registration)
        worker.apps |= {function.id: app.app_name for function in registration.functions}
    return worker


async def _handle_message(gateway: Gateway, worker: Worker, message: pb.ConnectMessage) -> None:
    match message.kind:
        case pb.WORKER_HEARTBEAT:
            await worker.send(pb.GATEWAY_HEARTBEAT)
        case pb.WORKER_PAUSE:
            worker.mark_unavailable()
        case pb.WORKER_REQUEST_ACK:
            reason = "connect_worker_request_ack_invalid_payload"
            gateway.acknowledge(_decode(pb.WorkerRequestAckData, message.payload, reason).request_id)
        case pb.WORKER_REQUEST_EXTEND_LEASE:
            reason = "connect_worker_request_extend_lease_invalid_payload"
            request = _decode(pb.WorkerRequestExtendLeaseData, message.payload, reason)
            extended = pb.WorkerRequestExtendLeaseAckData(
                request_id=request.request_id,
                function_slug=request.function_slug,
                new_lease_id=gateway.extend(request.request_id, request.lease_id),
            )
            await worker.send(pb.WORKER_REQUEST_EXTEND_LEASE_ACK, extended)
        case pb.WORKER_REPLY:
            reason, code = "connect_internal_error", WSCloseCode.INTERNAL_ERROR
            response = _decode(pb.SDKResponse, message.payload, reason, code)
            gateway.receive_reply(response)
            await worker.send(pb.WORKER_REPLY_ACK, pb.WorkerReplyAckData(request_id=response.request_id))


async def _receive(socket: web.WebSocketResponse, seconds: float) -> pb.ConnectMessage | None:
    """The next message; None when the worker has closed the connection.

    Raises:
        TimeoutError: When none comes in time.
        _ConnectionRejected: When it cannot be decoded.
    """
    frame = await socket.receive(timeout=seconds)
    if frame.type is not WSMsgType.BINARY:
        return None
    return _decode(pb.ConnectMessage, frame.data, "failed to unmarshal Protobuf", WSCloseCode.INVALID_TEXT)


def _decode(
    message_type: type[_MessageT], data: bytes, reason: str, code: WSCloseCode = WSCloseCode.POLICY_VIOLATION
) -> _MessageT:
    try:
        return message_type.FromString(data)
    except DecodeError:
        raise _ConnectionRejected(reason, code) from None


def _protobuf_response(message: Message) -> web.Response:
    return web.Response(body=message.SerializeToString(), content_type="application/octet-stream")
