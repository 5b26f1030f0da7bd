"""The Bot API over HTTP: from a request to an answer, a fault, and a line in the outbox."""

import asyncio
import inspect
import json
import time
from typing import Any

from aiohttp import ClientSession, web
from loguru import logger
from pydantic import ValidationError

from sandbox.telegram.api.call import HANDLERS, ApiCall, PendingCheckout
from sandbox.telegram.api.methods import chats, edits, media, messages, payments, profile, updates  # noqa: F401 - they register themselves
from sandbox.telegram.api.requests import METHODS, AnyMethod, ApiRequest, parse_method, read_request
from sandbox.telegram.api.response_validation import ResponseValidator
from sandbox.telegram.api.webhook_delivery import WebhookDelivery
from sandbox.telegram.background import BackgroundTasks
from sandbox.telegram.errors import ApiError
from sandbox.telegram.state.bots import BotAccount, parse_bot_id
from sandbox.telegram.state.faults import Fault
from sandbox.telegram.state.server_state import ServerState

Json = dict[str, Any]


class BotApi:
    """Answers Bot API calls and delivers webhooks."""

    def __init__(self, state: ServerState, background: BackgroundTasks) -> None:
        self.state = state
        self.checkouts: dict[str, PendingCheckout] = {}
        self._background = background
        self._webhooks: dict[int, WebhookDelivery] = {}
        self._session: ClientSession | None = None
        self._validator = ResponseValidator()

    async def start(self) -> None:
        """Open the client for webhooks and take up deliveries that a dead stand has left."""
        self._session = ClientSession()
        for bot in self.state.bots.values():
            if bot.webhook is not None:
                self._webhook_for(bot).start(bot.webhook, self._session)

    async def close(self) -> None:
        """Deliver nothing more."""
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
        """Answer one HTTP request."""
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
            logger.exception("sandbox telegram: the answer to {} is none of aiogram's", name)
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
        """Write what a call has changed, put it into the outbox, and return its answer's bytes."""
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
        """Carry out a method that came in the answer to a webhook; nobody hears how it ended."""
        started, cpu = time.time(), time.perf_counter()
        inbound = ApiRequest(params, {})
        try:
            cls = _method_class(name)
            result = await self._execute(self.state.get_or_create_bot(bot_id), cls, inbound)
            name, status, body = cls.__api_method__, 200, {"ok": True, "result": result}
        except ApiError as error:
            logger.warning("sandbox telegram: {} in a webhook answer failed: {}", name, error)
            status, body = error.code, error.body()
        self._record(started, cpu, bot_id, name, inbound, status, body)

    async def download(self, request: web.Request) -> web.StreamResponse:
        """``/file/bot{token}/{path}``: the bytes behind ``getFile``."""
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
    """Fail a call that was carried out: its answer is lost."""
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
