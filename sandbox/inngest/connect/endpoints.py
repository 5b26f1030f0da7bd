"""The endpoints of the Connect gateway: the WebSocket of a worker, and the API calls before and after it.

Source: ``gateway.go``, ``gateway_msg*.go``, ``maintenance.go`` and ``rest/v0`` under ``pkg/connect`` of
inngest/inngest.
"""

import asyncio
import json
from typing import Final, TypeVar
from urllib.parse import quote

from aiohttp import WSCloseCode, WSMsgType, web
from google.protobuf.message import DecodeError, Message
from inngest.connect._internal import connect_pb2 as pb
from loguru import logger
from pydantic import TypeAdapter, ValidationError
from yarl import URL

from sandbox.inngest.connect.gateway import Gateway, Worker
from sandbox.inngest.events import ulid
from sandbox.inngest.functions.config import FunctionConfig, Registration, validation_errors

_PROTOCOL: Final = "v0.connect.inngest.com"
_PATH: Final = "/v0/connect"
_MAX_MESSAGE_BYTES: Final = 8 * 1024 * 1024  # consts.MaxSDKResponseBodySize
_HELLO_SECONDS: Final = 5.0
_HEARTBEAT_SECONDS: Final = 10  # consts.ConnectWorkerHeartbeatInterval
_MISSED_HEARTBEATS: Final = 5
_ULID_LENGTH: Final = 26
_FUNCTIONS: Final = TypeAdapter(tuple[FunctionConfig, ...])
_MessageT = TypeVar("_MessageT", bound=Message)


class _ConnectionRejected(Exception):
    """A worker's message is not acceptable; the message is the reason that the real server gives.

    Attributes:
        code: The close code of the WebSocket.
    """

    def __init__(self, reason: str, code: WSCloseCode = WSCloseCode.POLICY_VIOLATION) -> None:
        super().__init__(reason)
        self.code = code


def build_gateway_app(gateway: Gateway) -> web.Application:
    """Return the application that serves the gateway's own port."""
    endpoints = _GatewayEndpoints(gateway)
    app = web.Application()
    app.add_routes(
        [
            web.get(_PATH, endpoints.connect),
            web.post("/maintenance/drain", endpoints.drain),
            web.post("/maintenance/activate", endpoints.activate),
        ]
    )
    return app


def api_routes(gateway: Gateway) -> list[web.RouteDef]:
    """Return the routes of the API's port that workers use."""
    endpoints = _GatewayEndpoints(gateway)
    return [
        web.post(f"{_PATH}/start", endpoints.start),
        web.post(f"{_PATH}/flush", endpoints.flush),
        web.get(f"{_PATH}/envs/{{id}}/conns", endpoints.connections),
    ]


class _GatewayEndpoints:
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def start(self, request: web.Request) -> web.Response:
        """Tell a worker where to connect."""
        endpoint = URL.build(scheme="ws", host=request.url.host or "", port=self._gateway.port, path=_PATH)
        return _protobuf_response(
            pb.StartResponse(
                connection_id=ulid(),
                gateway_endpoint=str(endpoint),
                gateway_group="gw-dev",
                session_token=self._gateway.session_token,
            )
        )

    async def flush(self, request: web.Request) -> web.Response:
        """Take a reply whose connection was lost."""
        body = await request.read()
        if not body:
            return _error_response("missing request body")
        try:
            response = pb.SDKResponse.FromString(body)
        except DecodeError:
            return _error_response("could not unmarshal request")
        self._gateway.receive_reply(response)
        return _protobuf_response(pb.FlushResponse(request_id=response.request_id))

    async def connections(self, _: web.Request) -> web.Response:
        """List the connected workers; the real server has more fields."""
        shown = [
            {
                "id": worker.connection_id,
                "instance_id": worker.instance_id,
                "status": pb.ConnectionStatus.DRAINING if worker.unavailable.done() else pb.ConnectionStatus.READY,
            }
            for worker in self._gateway.workers
        ]
        return web.json_response({"data": shown})

    async def drain(self, _: web.Request) -> web.Response:
        """Disconnect all workers and refuse new ones."""
        await self._gateway.drain()
        return web.json_response({"status": "ok"})

    async def activate(self, _: web.Request) -> web.Response:
        """Accept workers again."""
        self._gateway.activate()
        return web.json_response({"status": "ok"})

    async def connect(self, request: web.Request) -> web.WebSocketResponse:
        """Serve a worker's connection until either side closes it."""
        socket = web.WebSocketResponse(protocols=(_PROTOCOL,), max_msg_size=_MAX_MESSAGE_BYTES)
        await socket.prepare(request)
        try:
            await self._serve(socket)
        except _ConnectionRejected as refusal:
            await socket.close(code=refusal.code, message=str(refusal).encode())
        except (ConnectionError, TimeoutError):
            pass  # the worker is gone or silent; its calls end with their leases
        return socket

    async def _serve(self, socket: web.WebSocketResponse) -> None:
        if self._gateway.draining:
            raise _ConnectionRejected("connect_gateway_closing", WSCloseCode.GOING_AWAY)
        worker = await self._handshake(socket)
        ready = pb.GatewayConnectionReadyData(
            heartbeat_interval=f"{_HEARTBEAT_SECONDS}s",
            extend_lease_interval=f"{self._gateway.extend_lease_seconds}s",
        )
        await worker.send(pb.GatewayMessageType.GATEWAY_CONNECTION_READY, ready.SerializeToString())
        with self._gateway.connected(worker):
            while (message := await _receive_message(socket, _HEARTBEAT_SECONDS * _MISSED_HEARTBEATS)) is not None:
                await self._handle(worker, message)

    async def _handshake(self, socket: web.WebSocketResponse) -> Worker:
        await socket.send_bytes(pb.ConnectMessage(kind=pb.GatewayMessageType.GATEWAY_HELLO).SerializeToString())
        try:
            message = await _receive_message(socket, _HELLO_SECONDS)
        except TimeoutError:
            raise _ConnectionRejected("connect_worker_hello_timeout") from None
        if message is None:
            raise ConnectionError
        if message.kind != pb.GatewayMessageType.WORKER_CONNECT:
            raise _ConnectionRejected("connect_worker_hello_invalid_msg")
        hello = _decode(pb.WorkerConnectRequestData, message.payload, "connect_worker_hello_invalid_payload")
        if len(hello.connection_id) != _ULID_LENGTH or not hello.instance_id or not hello.apps:
            raise _ConnectionRejected("connect_worker_hello_invalid_payload")
        if hello.auth_data.session_token != self._gateway.session_token:
            raise _ConnectionRejected("connect_authentication_failed")
        worker = Worker(hello.connection_id, hello.instance_id, {}, socket)
        for app in hello.apps:
            await self._register_app(worker, hello, app)
        return worker

    async def _register_app(
        self, worker: Worker, hello: pb.WorkerConnectRequestData, app: pb.AppConfiguration
    ) -> None:
        try:
            functions = json.loads(app.functions)
        except ValueError:
            raise _ConnectionRejected("connect_internal_error", WSCloseCode.INTERNAL_ERROR) from None
        try:
            registration = Registration(
                appname=app.app_name,
                url=f"ws://connect?app_name={quote(app.app_name)}",
                sdk=f"{hello.sdk_language}:{hello.sdk_version}",
                framework=hello.framework,
                functions=_FUNCTIONS.validate_python(functions),
            )
            errors = [
                f"{function.id}: {problem}"
                for function in registration.functions
                for problem in validation_errors(function)
            ]
        except ValidationError as error:
            errors = [str(error)]
        if errors:
            logger.error("Inngest stand-in: {} is invalid: {}", app.app_name, "; ".join(errors))
            system_error = pb.SystemError(message="At least one function is invalid")
            await worker.send(pb.GatewayMessageType.SYNC_FAILED, system_error.SerializeToString())
            raise _ConnectionRejected("")
        self._gateway.register(registration)
        worker.apps |= {function.id: app.app_name for function in registration.functions}

    async def _handle(self, worker: Worker, message: pb.ConnectMessage) -> None:
        match message.kind:
            case pb.GatewayMessageType.WORKER_HEARTBEAT:
                await worker.send(pb.GatewayMessageType.GATEWAY_HEARTBEAT)
            case pb.GatewayMessageType.WORKER_PAUSE:
                worker.mark_unavailable()
            case pb.GatewayMessageType.WORKER_REQUEST_ACK:
                reason = "connect_worker_request_ack_invalid_payload"
                ack = _decode(pb.WorkerRequestAckData, message.payload, reason)
                self._gateway.acknowledge(ack.request_id)
            case pb.GatewayMessageType.WORKER_REQUEST_EXTEND_LEASE:
                await self._extend(worker, message.payload)
            case pb.GatewayMessageType.WORKER_REPLY:
                reason, code = "connect_internal_error", WSCloseCode.INTERNAL_ERROR
                response = _decode(pb.SDKResponse, message.payload, reason, code)
                self._gateway.receive_reply(response)
                reply_ack = pb.WorkerReplyAckData(request_id=response.request_id)
                await worker.send(pb.GatewayMessageType.WORKER_REPLY_ACK, reply_ack.SerializeToString())

    async def _extend(self, worker: Worker, payload: bytes) -> None:
        reason = "connect_worker_request_extend_lease_invalid_payload"
        request = _decode(pb.WorkerRequestExtendLeaseData, payload, reason)
        if len(request.lease_id) != _ULID_LENGTH:
            raise _ConnectionRejected(reason)
        ack = pb.WorkerRequestExtendLeaseAckData(
            request_id=request.request_id,
            account_id=request.account_id,
            env_id=request.env_id,
            app_id=request.app_id,
            function_slug=request.function_slug,
            new_lease_id=self._gateway.extend(request.request_id, request.lease_id),
        )
        await worker.send(pb.GatewayMessageType.WORKER_REQUEST_EXTEND_LEASE_ACK, ack.SerializeToString())


async def _receive_message(socket: web.WebSocketResponse, seconds: float) -> pb.ConnectMessage | None:
    """The next message; None when the worker has closed the connection.

    Raises:
        TimeoutError: When none comes in time.
        _ConnectionRejected: When it cannot be decoded.
    """
    async with asyncio.timeout(seconds):
        frame = await socket.receive()
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


def _error_response(message: str) -> web.Response:
    return web.Response(text=json.dumps({"error": message, "data": None, "status": 400}) + "\n", status=400)
