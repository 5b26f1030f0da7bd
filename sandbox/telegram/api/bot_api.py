"""The Bot API over HTTP: a request becomes a method call, a response and an entry in the outbox."""

import asyncio
import inspect
import json
import time
from collections.abc import Hashable
from typing import Any

from aiohttp import ClientSession, web
from loguru import logger
from pydantic import TypeAdapter, ValidationError

from sandbox.background import BackgroundTasks
from sandbox.telegram.api.call import HANDLERS, ApiCall, PendingCheckout
from sandbox.telegram.api.methods import chats, edits, media, messages, payments, profile, updates  # noqa: F401 - they register themselves
from sandbox.telegram.api.requests import METHODS, AnyMethod, ApiRequest, parse_method, read_request
from sandbox.telegram.api.webhook_delivery import WebhookDelivery
from sandbox.telegram.errors import ApiError
from sandbox.telegram.json_types import Json
from sandbox.telegram.state.bots import BotAccount, parse_bot_id
from sandbox.telegram.state.faults import Fault
from sandbox.telegram.state.server_state import ServerState

_MAX_SHAPES = 20_000
_NESTED = (dict, list)


class BotApi:
    """Answers Bot API calls and delivers updates to webhooks.

    Attributes:
        state: The server's state.
        checkouts: The pre-checkout queries that bots have not answered, by id.
    """

    def __init__(self, state: ServerState, background: BackgroundTasks) -> None:
        """Prepare the API; ``background`` owns the tasks that deliver to webhooks."""
        self.state = state
        self.checkouts: dict[str, PendingCheckout] = {}
        self._background = background
        self._webhooks: dict[int, WebhookDelivery] = {}
        self._session: ClientSession | None = None
        self._validator = _ResponseValidator()

    async def start(self) -> None:
        """Open the HTTP client and resume the webhook deliveries of the last run."""
        self._session = ClientSession()
        for bot in self.state.bots.values():
            if bot.webhook is not None:
                self._webhook_for(bot).start(bot.webhook, self._session)

    async def close(self) -> None:
        """Stop all webhook deliveries and close the HTTP client."""
        for webhook in self._webhooks.values():
            webhook.stop()
        if self._session is not None:
            await self._session.close()

    def _webhook_for(self, bot: BotAccount) -> WebhookDelivery:
        webhook = self._webhooks.get(bot.id)
        if webhook is None:
            queue = self.state.queues[bot.id]
            webhook = self._webhooks[bot.id] = WebhookDelivery(
                queue, self._background, self._execute_webhook_reply
            )
        return webhook

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a request to ``/bot{token}/{method}``, with the fault and the latency that are in force."""
        started, cpu = time.time(), time.perf_counter()
        name = request.match_info["method"]
        try:
            bot = self.state.get_or_create_bot(parse_bot_id(request.match_info["token"]))
        except ApiError as error:
            return _response(error.code, error.body())
        inbound = ApiRequest({}, {})
        fault: Fault | None = None
        try:
            cls = _method_class(name)
            name = cls.__api_method__
            inbound = await read_request(request)
            fault = self.state.faults.take(name, inbound.params)
            if fault is not None:
                await _apply_fault_before(fault)
            await self.state.limits.simulate_latency(name)
            result = await self._execute(bot, cls, inbound)
            await self.state.limits.simulate_latency(name)
            _apply_fault_after(fault)
            status, body = 200, {"ok": True, "result": result}
        except ApiError as error:
            status, body = error.code, error.body()
        except ValidationError as error:
            logger.exception("Telegram sandbox: aiogram cannot read the result of {}", name)
            status, body = 500, ApiError(500, f"Internal Server Error: {error.title}").body()
        content = self._record(started, cpu, bot.id, name, inbound, status, body)
        if fault is not None and fault.spec.drop:
            if request.transport is not None:
                request.transport.close()
            return web.Response(status=499)
        return _http_response(status, body, content)

    def _record(
        self, started: float, cpu: float, bot_id: int, name: str, inbound: ApiRequest, status: int, body: Json
    ) -> bytes:
        """Write what a call has changed, add it to the outbox, and return the response's content."""
        self.state.store.commit()
        took = round((time.perf_counter() - cpu) * 1000, 2)
        content = _encode(body)
        self.state.outbox.add(started, bot_id, name, _outbox_params(inbound), status, content, took)
        return content

    async def _execute(self, bot: BotAccount, cls: type[AnyMethod], inbound: ApiRequest) -> Any:
        handler = HANDLERS.get(cls)
        if handler is None:
            raise ApiError(501, f"Not Implemented: the sandbox does not carry out {cls.__api_method__}")
        method, inbound.params = parse_method(cls, inbound.params)
        self.state.limits.check(bot.id, method)
        if self._session is None:
            raise ApiError(500, "Internal Server Error: the sandbox is not started")
        call = ApiCall(self.state, bot, inbound.uploads, self._webhook_for(bot), self._session, self.checkouts)
        result = handler(call, method)
        if inspect.isawaitable(result):
            result = await result
        self._validator.validate(cls, result)
        return result

    async def _execute_webhook_reply(self, bot_id: int, name: str, params: Json) -> None:
        """Carry out a method from a webhook's response; its result is only recorded in the outbox."""
        started, cpu = time.time(), time.perf_counter()
        inbound = ApiRequest(params, {})
        try:
            cls = _method_class(name)
            result = await self._execute(self.state.get_or_create_bot(bot_id), cls, inbound)
            name, status, body = cls.__api_method__, 200, {"ok": True, "result": result}
        except ApiError as error:
            logger.warning("Telegram sandbox: {} in a webhook response failed: {}", name, error)
            status, body = error.code, error.body()
        self._record(started, cpu, bot_id, name, inbound, status, body)

    async def download(self, request: web.Request) -> web.StreamResponse:
        """Answer a request to ``/file/bot{token}/{path}`` with the file that ``getFile`` has named."""
        try:
            bot_id = parse_bot_id(request.match_info["token"])
        except ApiError as error:
            return _response(error.code, error.body())
        stored = self.state.files.find_by_path(bot_id, request.match_info["path"])
        if stored is None:
            return _response(404, {"ok": False, "error_code": 404, "description": "Not Found"})
        return web.FileResponse(
            self.state.files.disk_path(stored), headers={"Content-Type": "application/octet-stream"}
        )


def _method_class(name: str) -> type[AnyMethod]:
    cls = METHODS.get(name.lower())
    if cls is None:
        raise ApiError(404, "Not Found: method not found")
    return cls


async def _apply_fault_before(fault: Fault) -> None:
    if fault.spec.hang:
        await asyncio.sleep(fault.spec.hang)
    error = fault.error()
    if error is not None and not fault.spec.after:
        raise error
    if fault.spec.drop and not fault.spec.after:
        raise ApiError(499, "connection dropped by a fault")


def _apply_fault_after(fault: Fault | None) -> None:
    """Fail a call that was carried out, so that its response is lost."""
    if fault is not None and fault.spec.after and (error := fault.error()) is not None:
        raise error


def _outbox_params(inbound: ApiRequest) -> Json:
    if not inbound.uploads:
        return inbound.params
    files = {name: upload.to_json() for name, upload in inbound.uploads.items()}
    kept = {name: value for name, value in inbound.params.items() if value != f"attach://{name}"}
    return {**kept, **files}


_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def _encode(body: Json) -> bytes:
    return _encoder.encode(body).encode("utf-8", "surrogatepass")


def _response(status: int, body: Json) -> web.Response:
    return _http_response(status, body, _encode(body))


def _http_response(status: int, body: Json, content: bytes) -> web.Response:
    headers = {"Content-Type": "application/json"}
    if status != 200 and (retry_after := body.get("parameters", {}).get("retry_after")):
        headers["Retry-After"] = str(retry_after)
    return web.Response(status=status, body=content, headers=headers)


class _ResponseValidator:
    """Validates results with aiogram's types; a shape that was valid before costs only a look-up."""

    def __init__(self) -> None:
        self._adapters: dict[type[AnyMethod], TypeAdapter[Any]] = {}
        self._valid_shapes: set[Hashable] = set()

    def validate(self, cls: type[AnyMethod], result: Any) -> None:
        """Raise pydantic's ``ValidationError`` for a result that aiogram could not read."""
        shape = (cls, _shape(result))
        if shape in self._valid_shapes:
            return
        adapter = self._adapters.get(cls)
        if adapter is None:
            adapter = self._adapters[cls] = TypeAdapter(cls.__returning__)
        adapter.validate_python(result)
        if len(self._valid_shapes) < _MAX_SHAPES:
            self._valid_shapes.add(shape)


def _shape(value: Any) -> Hashable:
    """The names in a JSON value, without its contents."""
    if value.__class__ is dict:
        return (*value, *[_shape(part) for part in value.values() if part.__class__ in _NESTED])
    if value.__class__ is list:
        return frozenset([_shape(part) for part in value])
    return str(value.__class__.__name__)
