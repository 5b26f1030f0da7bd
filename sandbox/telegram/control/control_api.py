"""The person's side over HTTP: JSON in, JSON out, errors as ``{"error": …}``."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from aiohttp import web
from pydantic import BaseModel, Field, ValidationError

from sandbox.telegram.api.bot_api import BotApi
from sandbox.telegram.control.http import json_response, read_body, read_form
from sandbox.telegram.control.payments import PayInvoiceAction, pay_invoice
from sandbox.telegram.control.subscriptions import RenewSubscriptionAction, renew_subscription
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
from sandbox.telegram.state.faults import FaultSpec
from sandbox.telegram.state.rate_limits import RateLimitSettings
from sandbox.telegram.state.server_state import ServerState
from sandbox.telegram.state.update_queue import lane_of

Json = dict[str, Any]
Route = Callable[[web.Request], Awaitable[web.StreamResponse]]


class UpsertUserRequest(BaseModel):
    """Body of ``POST sim/people``; ``started`` opens the chat as ``/start`` would, without an update."""

    id: int = Field(gt=0)
    first_name: str | None = None
    last_name: str | None = None
    username: str | None = None
    language_code: str | None = None
    started: bool = False
    bot: int | None = None


class InjectUpdateRequest(BaseModel):
    """Body of ``POST sim/update``: a raw ``Update``; the same id may come often."""

    update: Json
    times: int = Field(1, ge=1, le=1000)
    bot: int | None = None


class RepeatUpdateRequest(BaseModel):
    """Body of ``POST sim/repeat``: deliver an update again."""

    update_id: int
    times: int = Field(1, ge=1, le=1000)
    bot: int | None = None


class SetDiceRequest(BaseModel):
    """Body of ``POST sim/dice``: what the next dice show."""

    values: list[int]


class ControlApi:
    """Routes of the person's side."""

    def __init__(self, state: ServerState, api: BotApi) -> None:
        self.state = state
        self.api = api
        self.views = StateViews(state)

    def add_routes(self, router: web.UrlDispatcher, prefix: str) -> None:
        """Put the routes under ``{prefix}/sim``."""
        posts: dict[str, Route] = {
            "message": self.message,
            "callback": self.callback,
            "pay": self.pay,
            "subscription/renew": self.renew,
            "fault": self.fault,
            "reset": self.reset,
            "block": self.block,
            "update": self.update,
            "repeat": self.repeat,
            "people": self.upsert_user,
            "dice": self.dice,
            "limits": self.limits,
        }
        gets: dict[str, Route] = {
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
        router.add_delete(f"{prefix}/sim/fault", self._with_errors(self.clear_faults))

    def _with_errors(self, route: Route) -> Route:
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
                self.state.store.commit()

        return guarded

    async def message(self, request: web.Request) -> web.StreamResponse:
        fields, upload = await read_form(request)
        return json_response(send_message(self.state, SendMessageAction.model_validate(fields), upload))

    async def callback(self, request: web.Request) -> web.StreamResponse:
        return json_response(press_button(self.state, await read_body(request, PressButtonAction)))

    async def pay(self, request: web.Request) -> web.StreamResponse:
        return json_response(
            await pay_invoice(self.state, self.api.checkouts, await read_body(request, PayInvoiceAction))
        )

    async def renew(self, request: web.Request) -> web.StreamResponse:
        return json_response(renew_subscription(self.state, await read_body(request, RenewSubscriptionAction)))

    async def block(self, request: web.Request) -> web.StreamResponse:
        return json_response(set_blocked(self.state, await read_body(request, BlockBotAction)))

    async def dice(self, request: web.Request) -> web.StreamResponse:
        self.state.next_dice.extend((await read_body(request, SetDiceRequest)).values)
        return json_response({"next": self.state.next_dice})

    async def update(self, request: web.Request) -> web.StreamResponse:
        body = await read_body(request, InjectUpdateRequest)
        bot = self.state.resolve_bot(body.bot)
        queue, update = self.state.queues[bot.id], body.update
        for _ in range(body.times):
            update = {"update_id": queue.inject(update, lane_of(update)), **update}
        return json_response({"update_id": update["update_id"], "times": body.times})

    async def repeat(self, request: web.Request) -> web.StreamResponse:
        body = await read_body(request, RepeatUpdateRequest)
        bot = self.state.resolve_bot(body.bot)
        if not self.state.queues[bot.id].repeat(body.update_id, body.times):
            raise ControlApiError(f"no update {body.update_id} was ever queued", 404)
        return json_response({"update_id": body.update_id, "times": body.times})

    async def fault(self, request: web.Request) -> web.StreamResponse:
        self.state.faults.add(await read_body(request, FaultSpec))
        return json_response({"faults": self.state.faults.snapshot()})

    async def limits(self, request: web.Request) -> web.StreamResponse:
        self.state.limits.set(await read_body(request, RateLimitSettings))
        return json_response(self.state.limits.snapshot())

    async def clear_faults(self, _request: web.Request) -> web.StreamResponse:
        return json_response({"cleared": self.state.faults.clear()})

    async def reset(self, _request: web.Request) -> web.StreamResponse:
        self.state.reset()
        return json_response({"reset": True})

    async def upsert_user(self, request: web.Request) -> web.StreamResponse:
        body = await read_body(request, UpsertUserRequest)
        user = self.state.get_or_create_user(
            body.id, body.model_dump(exclude={"id", "started", "bot"}, exclude_none=True)
        )
        if body.started:
            chat = self.state.get_or_create_chat(self.state.resolve_bot(body.bot).id, user.id)
            chat.started = True
            self.state.save_chat(chat)
        return json_response({"person": asdict(user)})
