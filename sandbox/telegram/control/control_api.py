"""The control API over HTTP: JSON requests and responses, errors as ``{"error": …}``."""

import inspect
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel, Field, ValidationError

from sandbox.telegram.api.requests import Upload, read_parts
from sandbox.telegram.control.payments import (
    PayInvoiceAction,
    RenewSubscriptionAction,
    pay_invoice,
    renew_subscription,
)
from sandbox.telegram.control.user_actions import (
    BlockBotAction,
    PressButtonAction,
    SendMessageAction,
    UserFields,
    press_button,
    send_message,
    set_blocked,
)
from sandbox.telegram.control.views import StateViews, json_response, query_int
from sandbox.telegram.errors import ControlApiError
from sandbox.telegram.json_types import Json
from sandbox.telegram.state.faults import Fault
from sandbox.telegram.state.rate_limits import RateLimitSettings
from sandbox.telegram.state.server_state import ServerState

_UPLOAD_LIMIT = 200 * 1024 * 1024

Body = TypeVar("Body", bound=BaseModel)
_Route = Callable[[web.Request], Awaitable[web.StreamResponse]]


class EmptyRequest(BaseModel):
    """The body of a request without fields."""


class UpsertUserRequest(UserFields):
    """The body of ``POST sim/people``: adds or changes a user.

    Attributes:
        started: Let the bot write to the user, as ``/start`` would, but without an update.
    """

    id: int = Field(gt=0)
    started: bool = False


class _UpdateRequest(BaseModel):
    times: int = Field(1, ge=1, le=1000)
    bot: int | None = None


class InjectUpdateRequest(_UpdateRequest):
    """The body of ``POST sim/update``: queues a raw ``Update``, ``times`` times with the same id."""

    update: Json


class RepeatUpdateRequest(_UpdateRequest):
    """The body of ``POST sim/repeat``: queues an earlier update again."""

    update_id: int


class SetDiceRequest(BaseModel):
    """The body of ``POST sim/dice``: the values of the next dice."""

    values: list[int]


class ControlApi:
    """The routes under ``sim/``: what changes something is here, what only reads in ``StateViews``."""

    def __init__(self, state: ServerState) -> None:
        self._state = state

    def add_routes(self, router: web.UrlDispatcher, prefix: str) -> None:
        """Add all routes under ``{prefix}/sim/``."""
        root, views = f"{prefix}/sim/", StateViews(self._state)
        gets: dict[str, _Route] = {
            "chat/{id}": views.chat,
            "invoice/{slug}": views.invoice,
            "outbox": views.outbox,
            "file/{file_id}": views.file,
            "state": views.server_state,
            "people": views.users,
        }
        for path, route in gets.items():
            router.add_get(root + path, self._with_errors(route))
        router.add_post(root + "message", self._with_errors(self._message))
        router.add_post(root + "callback", self._action(PressButtonAction, press_button))
        router.add_post(root + "pay", self._action(PayInvoiceAction, pay_invoice))
        router.add_post(root + "subscription/renew", self._action(RenewSubscriptionAction, renew_subscription))
        router.add_post(root + "block", self._action(BlockBotAction, set_blocked))
        router.add_post(root + "people", self._action(UpsertUserRequest, _upsert_user))
        router.add_post(root + "update", self._action(InjectUpdateRequest, _inject_update))
        router.add_post(root + "repeat", self._action(RepeatUpdateRequest, _repeat_update))
        router.add_post(root + "dice", self._action(SetDiceRequest, _set_dice))
        router.add_post(root + "fault", self._action(Fault, _add_fault))
        router.add_delete(root + "fault", self._action(EmptyRequest, _clear_faults))
        router.add_post(root + "limits", self._action(RateLimitSettings, _set_limits))
        router.add_post(root + "reset", self._action(EmptyRequest, _reset))

    def _action(self, model: type[Body], act: Callable[[ServerState, Body], Json | Awaitable[Json]]) -> _Route:
        """Return a route that reads a body, acts, and answers with the result."""

        async def route(request: web.Request) -> web.StreamResponse:
            result = act(self._state, model.model_validate(await _read_json(request)))
            return json_response(await result if inspect.isawaitable(result) else result)

        return self._with_errors(route)

    def _with_errors(self, route: _Route) -> _Route:
        async def guarded(request: web.Request) -> web.StreamResponse:
            try:
                return await route(request)
            except ControlApiError as error:
                return json_response({"error": str(error)}, error.status)
            except ValidationError as error:
                first = error.errors(include_url=False, include_context=False)[0]
                where = ".".join(str(part) for part in first["loc"])
                return json_response({"error": f"{where}: {first['msg']}" if where else first["msg"]}, 400)
            finally:
                self._state.store.commit()

        return guarded

    async def _message(self, request: web.Request) -> web.StreamResponse:
        """``POST sim/message``: JSON, or a form with at most one file."""
        if not request.content_type.startswith("multipart/"):
            fields, uploads = await _read_json(request), list[Upload]()
        else:
            form, files, size = await read_parts(request, _UPLOAD_LIMIT)
            if size > _UPLOAD_LIMIT:
                raise ControlApiError(f"{size} bytes are too many for the sandbox", 413)
            fields, uploads = _with_bot(request, form), list(files.values())
            if "extra" in fields:
                fields["extra"] = json.loads(fields["extra"])
        if len(uploads) > 1:
            raise ControlApiError("only one file per message")
        action = SendMessageAction.model_validate(fields)
        return json_response(send_message(self._state, action, uploads[0] if uploads else None))


async def _read_json(request: web.Request) -> Json:
    try:
        fields = json.loads(await request.text() or "{}")
    except ValueError as error:
        raise ControlApiError("the body is not JSON") from error
    if not isinstance(fields, dict):
        raise ControlApiError("the body must be a JSON object")
    return _with_bot(request, fields)


def _with_bot(request: web.Request, fields: dict[str, Any]) -> Json:
    """The fields of a body, where ``bot`` may be in the query instead."""
    bot = query_int(request, "bot")
    return fields if bot is None else {"bot": bot, **fields}


def _upsert_user(state: ServerState, body: UpsertUserRequest) -> Json:
    user = state.get_or_create_user(body.id, body.known_fields())
    if body.started:
        chat = state.get_or_create_chat(state.resolve_bot(body.bot).id, user.id)
        chat.started = True
        state.save_chat(chat)
    return {"person": asdict(user)}


def _inject_update(state: ServerState, body: InjectUpdateRequest) -> Json:
    queue = state.queues[state.resolve_bot(body.bot).id]
    return {"update_id": queue.inject(body.update, body.times), "times": body.times}


def _repeat_update(state: ServerState, body: RepeatUpdateRequest) -> Json:
    if not state.queues[state.resolve_bot(body.bot).id].repeat(body.update_id, body.times):
        raise ControlApiError(f"no update {body.update_id} was ever queued", 404)
    return {"update_id": body.update_id, "times": body.times}


def _set_dice(state: ServerState, body: SetDiceRequest) -> Json:
    state.next_dice.extend(body.values)
    return {"next": state.next_dice}


def _add_fault(state: ServerState, fault: Fault) -> Json:
    state.faults.append(fault)
    return {"faults": [each.snapshot() for each in state.faults]}


def _clear_faults(state: ServerState, _body: EmptyRequest) -> Json:
    cleared = len(state.faults)
    state.faults.clear()
    return {"cleared": cleared}


def _set_limits(state: ServerState, settings: RateLimitSettings) -> Json:
    state.limits.set(settings)
    return state.limits.snapshot()


def _reset(state: ServerState, _body: EmptyRequest) -> Json:
    state.reset()
    return {"reset": True}
