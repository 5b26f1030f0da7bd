"""The Bot API over HTTP: a request becomes a method call, a response and an entry in the outbox."""

import inspect
import json
import time
from collections.abc import Awaitable, Callable, Hashable
from functools import cache, partial
from typing import Any

from aiohttp import ClientSession, web
from loguru import logger
from pydantic import TypeAdapter, ValidationError

from sandbox.background import BackgroundTasks
from sandbox.telegram.api.call import HANDLERS, ApiCall
from sandbox.telegram.api.methods import edits, messages, payments, profile, updates  # noqa: F401 - they register themselves
from sandbox.telegram.api.requests import METHODS, AnyMethod, ApiRequest, parse_method, read_request
from sandbox.telegram.api.webhook_delivery import WebhookDelivery
from sandbox.telegram.errors import ApiError
from sandbox.telegram.json_types import Json
from sandbox.telegram.state.bots import BotAccount, parse_bot_id
from sandbox.telegram.state.faults import Fault, take_fault
from sandbox.telegram.state.server_state import ServerState

_MAX_SHAPES = 20_000
_NESTED = (dict, list)


class BotApi:
    """Answers Bot API calls and delivers updates to webhooks."""

    def __init__(self, state: ServerState, background: BackgroundTasks) -> None:
        """Prepare the API; ``background`` owns the tasks that deliver to webhooks."""
        self._state = state
        self._background = background
        self._webhooks: dict[int, WebhookDelivery] = {}
        self._session: ClientSession | None = None
        self._valid_shapes: set[Hashable] = set()

    async def start(self) -> None:
        """Open the HTTP client and resume the webhook deliveries of the last run."""
        self._session = ClientSession()
        for bot in self._state.bots.values():
            if bot.webhook is not None:
                self._webhook_for(bot, self._session).start(bot.webhook)

    async def close(self) -> None:
        """Stop all webhook deliveries and close the HTTP client."""
        for webhook in self._webhooks.values():
            webhook.stop()
        if self._session is not None:
            await self._session.close()

    def _webhook_for(self, bot: BotAccount, session: ClientSession) -> WebhookDelivery:
        if bot.id not in self._webhooks:
            queue, execute = self._state.queues[bot.id], self._execute_webhook_reply
            self._webhooks[bot.id] = WebhookDelivery(queue, session, self._background, execute)
        return self._webhooks[bot.id]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a request to ``/bot{token}/{method}``, with the fault and the latency that are in force."""
        try:
            bot = self._state.get_or_create_bot(parse_bot_id(request.match_info["token"]))
        except ApiError as error:
            return _error_response(error)
        status, body, content, fault = await self._call(
            bot, request.match_info["method"], partial(read_request, request)
        )
        if fault is not None and fault.drop:
            if request.transport is not None:
                request.transport.close()
            return web.Response(status=499)
        return _response(status, body, content)

    async def _call(
        self, bot: BotAccount, name: str, read: Callable[[], Awaitable[ApiRequest]]
    ) -> tuple[int, Json, bytes, Fault | None]:
        """Carry out a call and record it; returns status, body, the body's JSON and the fault that affected it."""
        started, cpu = time.time(), time.perf_counter()
        inbound = ApiRequest({}, {})
        fault: Fault | None = None
        try:
            cls = _method_class(name)
            name = cls.__api_method__
            inbound = await read()
            fault = take_fault(self._state.faults, name, inbound.params)
            if fault is not None:
                await fault.apply_before()
            await self._state.limits.simulate_latency(name)
            result = await self._execute(bot, cls, inbound)
            await self._state.limits.simulate_latency(name)
            if fault is not None:
                fault.apply_after()
            status, body = 200, {"ok": True, "result": result}
        except ApiError as error:
            status, body = error.code, error.body()
        except ValidationError as error:
            logger.exception("Telegram sandbox: aiogram cannot read the result of {}", name)
            status, body = 500, ApiError(500, f"Internal Server Error: {error.title}").body()
        self._state.store.commit()
        took = round((time.perf_counter() - cpu) * 1000, 2)
        content = _encode(body)
        self._state.outbox.add(started, bot.id, name, _outbox_params(inbound), status, content, took)
        return status, body, content, fault

    async def _execute(self, bot: BotAccount, cls: type[AnyMethod], inbound: ApiRequest) -> Any:
        handler = HANDLERS.get(cls)
        if handler is None:
            raise ApiError(501, f"Not Implemented: the sandbox does not carry out {cls.__api_method__}")
        method, inbound.params = parse_method(cls, inbound.params)
        self._state.limits.check(bot.id, method)
        if self._session is None:
            raise ApiError(500, "Internal Server Error: the sandbox is not started")
        webhook = self._webhook_for(bot, self._session)
        result = handler(ApiCall(self._state, bot, inbound.uploads, webhook), method)
        if inspect.isawaitable(result):
            result = await result
        self._validate(cls, result)
        return result

    def _validate(self, cls: type[AnyMethod], result: Any) -> None:
        """Raise pydantic's ``ValidationError`` for a result that aiogram could not read.

        A shape that was valid before costs only a look-up.
        """
        shape = (cls, _shape(result))
        if shape not in self._valid_shapes:
            _adapter(cls).validate_python(result)
            if len(self._valid_shapes) < _MAX_SHAPES:
                self._valid_shapes.add(shape)

    async def _execute_webhook_reply(self, bot: BotAccount, name: str, params: Json) -> None:
        """Carry out a method from a webhook's response; its result is only recorded in the outbox."""

        async def read() -> ApiRequest:
            return ApiRequest(params, {})

        status, body, *_ = await self._call(bot, name, read)
        if status != 200:
            logger.warning("Telegram sandbox: {} in a webhook response failed: {}", name, body["description"])

    async def download(self, request: web.Request) -> web.StreamResponse:
        """Answer a request to ``/file/bot{token}/{path}`` with the file that ``getFile`` has named."""
        try:
            bot_id = parse_bot_id(request.match_info["token"])
        except ApiError as error:
            return _error_response(error)
        stored = self._state.files.find_by_path(bot_id, request.match_info["path"])
        if stored is None:
            return _error_response(ApiError(404, "Not Found"))
        headers = {"Content-Type": "application/octet-stream"}
        return web.FileResponse(self._state.files.disk_path(stored), headers=headers)


def _method_class(name: str) -> type[AnyMethod]:
    cls = METHODS.get(name.lower())
    if cls is None:
        raise ApiError(404, "Not Found: method not found")
    return cls


def _outbox_params(inbound: ApiRequest) -> Json:
    files = {name: {"file_name": file.file_name, "size": len(file.data)} for name, file in inbound.uploads.items()}
    return {**{name: value for name, value in inbound.params.items() if value != f"attach://{name}"}, **files}


_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def _encode(body: Json) -> bytes:
    return _encoder.encode(body).encode("utf-8", "surrogatepass")


def _error_response(error: ApiError) -> web.Response:
    return _response(error.code, error.body(), _encode(error.body()))


def _response(status: int, body: Json, content: bytes) -> web.Response:
    headers = {"Content-Type": "application/json"}
    if status != 200 and (retry_after := body.get("parameters", {}).get("retry_after")):
        headers["Retry-After"] = str(retry_after)
    return web.Response(status=status, body=content, headers=headers)


@cache
def _adapter(cls: type[AnyMethod]) -> TypeAdapter[Any]:
    return TypeAdapter(cls.__returning__)


def _shape(value: Any) -> Hashable:
    """The names in a JSON value, without its contents."""
    if value.__class__ is dict:
        return (*value, *[_shape(part) for part in value.values() if part.__class__ in _NESTED])
    if value.__class__ is list:
        return frozenset([_shape(part) for part in value])
    return str(value.__class__.__name__)
