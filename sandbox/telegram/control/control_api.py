"""The control API over HTTP: JSON requests and responses, errors as ``{"error": …}``."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict

from aiohttp import web
from pydantic import BaseModel, Field, ValidationError

from sandbox.telegram.api.bot_api import BotApi
from sandbox.telegram.control.http import json_response, read_body, read_form
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
    press_button,
    send_message,
    set_blocked,
)
from sandbox.telegram.control.views import StateViews
from sandbox.telegram.errors import ControlApiError
from sandbox.telegram.json_types import Json
from sandbox.telegram.state.faults import FaultSpec
from sandbox.telegram.state.rate_limits import RateLimitSettings
from sandbox.telegram.state.server_state import ServerState
from sandbox.telegram.state.update_queue import lane_of

_Route = Callable[[web.Request], Awaitable[web.StreamResponse]]


class UpsertUserRequest(BaseModel):
    """The body of ``POST sim/people``: adds or changes a user.

    Attributes:
        started: Let the bot write to the user, as ``/start`` would, but without an update.
    """

    id: int = Field(gt=0)
    first_name: str | None = None
    last_name: str | None = None
    username: str | None = None
    language_code: str | None = None
    started: bool = False
    bot: int | None = None


class InjectUpdateRequest(BaseModel):
    """The body of ``POST sim/update``: queues a raw ``Update``, ``times`` times with the same id."""

    update: Json
    times: int = Field(1, ge=1, le=1000)
    bot: int | None = None


class RepeatUpdateRequest(BaseModel):
    """The body of ``POST sim/repeat``: queues an earlier update again."""

    update_id: int
    times: int = Field(1, ge=1, le=1000)
    bot: int | None = None


class SetDiceRequest(BaseModel):
    """The body of ``POST sim/dice``: the values of the next dice."""

    values: list[int]


class ControlApi:
    """The routes under ``sim/`` that change something; ``views`` has those that only read.

    Attributes:
        views: The routes that only read.
    """

    def __init__(self, state: ServerState, api: BotApi) -> None:
        self._state = state
        self._api = api
        self.views = StateViews(state)

    def add_routes(self, router: web.UrlDispatcher, prefix: str) -> None:
        """Add all routes under ``{prefix}/sim/``."""
        posts: dict[str, _Route] = {
            "message": self._message,
            "callback": self._callback,
            "pay": self._pay,
            "subscription/renew": self._renew,
            "fault": self._fault,
            "reset": self._reset,
            "block": self._block,
            "update": self._update,
            "repeat": self._repeat,
            "people": self._upsert_user,
            "dice": self._dice,
            "limits": self._limits,
        }
        gets: dict[str, _Route] = {
            "chat/{id}": self.views.chat,
            "invoice/{slug}": self.views.invoice,
            "outbox": self.views.outbox,
            "file/{file_id}": self.views.file,
            "state": self.views.server_state,
            "people": self.views.users,
        }
        for path, route in posts.items():
            router.add_post(f"{prefix}/sim/{path}", self._with_errors(route))
        for path, route in gets.items():
            router.add_get(f"{prefix}/sim/{path}", self._with_errors(route))
        router.add_delete(f"{prefix}/sim/fault", self._with_errors(self._clear_faults))

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
        fields, upload = await read_form(request)
        return json_response(send_message(self._state, SendMessageAction.model_validate(fields), upload))

    async def _callback(self, request: web.Request) -> web.StreamResponse:
        return json_response(press_button(self._state, await read_body(request, PressButtonAction)))

    async def _pay(self, request: web.Request) -> web.StreamResponse:
        return json_response(
            await pay_invoice(self._state, self._api.checkouts, await read_body(request, PayInvoiceAction))
        )

    async def _renew(self, request: web.Request) -> web.StreamResponse:
        return json_response(renew_subscription(self._state, await read_body(request, RenewSubscriptionAction)))

    async def _block(self, request: web.Request) -> web.StreamResponse:
        return json_response(set_blocked(self._state, await read_body(request, BlockBotAction)))

    async def _dice(self, request: web.Request) -> web.StreamResponse:
        self._state.next_dice.extend((await read_body(request, SetDiceRequest)).values)
        return json_response({"next": self._state.next_dice})

    async def _update(self, request: web.Request) -> web.StreamResponse:
        body = await read_body(request, InjectUpdateRequest)
        bot = self._state.resolve_bot(body.bot)
        queue, update = self._state.queues[bot.id], body.update
        for _ in range(body.times):
            update = {"update_id": queue.inject(update, lane_of(update)), **update}
        return json_response({"update_id": update["update_id"], "times": body.times})

    async def _repeat(self, request: web.Request) -> web.StreamResponse:
        body = await read_body(request, RepeatUpdateRequest)
        bot = self._state.resolve_bot(body.bot)
        if not self._state.queues[bot.id].repeat(body.update_id, body.times):
            raise ControlApiError(f"no update {body.update_id} was ever queued", 404)
        return json_response({"update_id": body.update_id, "times": body.times})

    async def _fault(self, request: web.Request) -> web.StreamResponse:
        self._state.faults.add(await read_body(request, FaultSpec))
        return json_response({"faults": self._state.faults.snapshot()})

    async def _limits(self, request: web.Request) -> web.StreamResponse:
        self._state.limits.set(await read_body(request, RateLimitSettings))
        return json_response(self._state.limits.snapshot())

    async def _clear_faults(self, _request: web.Request) -> web.StreamResponse:
        return json_response({"cleared": self._state.faults.clear()})

    async def _reset(self, _request: web.Request) -> web.StreamResponse:
        self._state.reset()
        return json_response({"reset": True})

    async def _upsert_user(self, request: web.Request) -> web.StreamResponse:
        body = await read_body(request, UpsertUserRequest)
        user = self._state.get_or_create_user(
            body.id, body.model_dump(exclude={"id", "started", "bot"}, exclude_none=True)
        )
        if body.started:
            chat = self._state.get_or_create_chat(self._state.resolve_bot(body.bot).id, user.id)
            chat.started = True
            self._state.save_chat(chat)
        return json_response({"person": asdict(user)})
