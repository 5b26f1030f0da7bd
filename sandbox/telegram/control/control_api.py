"""The person's side over HTTP: JSON in, JSON out, errors as ``{"error": …}``."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from aiohttp import web
from pydantic import BaseModel, Field, ValidationError

from sandbox.telegram.api.bot_api import BotApi
from sandbox.telegram.control.http import json_answer, read_body, read_form
from sandbox.telegram.control.payments import PayOrder, pay
from sandbox.telegram.control.subscriptions import RenewOrder, renew
from sandbox.telegram.control.user_actions import BlockOrder, MessageOrder, TapOrder, block, tap, write
from sandbox.telegram.control.views import Views
from sandbox.telegram.errors import SimError
from sandbox.telegram.state.faults import FaultOrder
from sandbox.telegram.state.rate_limits import LimitsOrder
from sandbox.telegram.state.server_state import World
from sandbox.telegram.state.update_queue import lane_of

Json = dict[str, Any]
Route = Callable[[web.Request], Awaitable[web.StreamResponse]]


class PersonNote(BaseModel):
    """Body of ``POST sim/people``; ``started`` opens the chat as ``/start`` would, without an update."""

    id: int = Field(gt=0)
    first_name: str | None = None
    last_name: str | None = None
    username: str | None = None
    language_code: str | None = None
    started: bool = False
    bot: int | None = None


class InjectedUpdate(BaseModel):
    """Body of ``POST sim/update``: a raw ``Update``; the same id may come often."""

    update: Json
    times: int = Field(1, ge=1, le=1000)
    bot: int | None = None


class RepeatOrder(BaseModel):
    """Body of ``POST sim/repeat``: deliver an update again."""

    update_id: int
    times: int = Field(1, ge=1, le=1000)
    bot: int | None = None


class DiceOrder(BaseModel):
    """Body of ``POST sim/dice``: what the next dice show."""

    values: list[int]


class Sim:
    """Routes of the person's side."""

    def __init__(self, world: World, api: BotApi) -> None:
        self.world = world
        self.api = api
        self.views = Views(world)

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
            "people": self.add_person,
            "dice": self.dice,
            "limits": self.limits,
        }
        gets: dict[str, Route] = {
            "chat/{id}": self.views.chat,
            "invoice/{slug}": self.views.invoice,
            "outbox": self.views.outbox,
            "file/{file_id}": self.views.file,
            "state": self.views.state,
            "people": self.views.people,
        }
        for path, route in posts.items():
            router.add_post(f"{prefix}/sim/{path}", self._guarded(route))
        for path, route in gets.items():
            router.add_get(f"{prefix}/sim/{path}", self._guarded(route))
        router.add_delete(f"{prefix}/sim/fault", self._guarded(self.clear_faults))

    def _guarded(self, route: Route) -> Route:
        async def guarded(request: web.Request) -> web.StreamResponse:
            try:
                return await route(request)
            except SimError as error:
                return json_answer({"error": str(error)}, error.status)
            except ValidationError as error:
                first = error.errors(include_url=False, include_context=False)[0]
                where = ".".join(str(part) for part in first["loc"])
                return json_answer({"error": f"{where}: {first['msg']}" if where else first["msg"]}, 400)
            finally:
                self.world.store.commit()

        return guarded

    async def message(self, request: web.Request) -> web.StreamResponse:
        fields, upload = await read_form(request)
        return json_answer(write(self.world, MessageOrder.model_validate(fields), upload))

    async def callback(self, request: web.Request) -> web.StreamResponse:
        return json_answer(tap(self.world, await read_body(request, TapOrder)))

    async def pay(self, request: web.Request) -> web.StreamResponse:
        return json_answer(await pay(self.world, self.api.checkouts, await read_body(request, PayOrder)))

    async def renew(self, request: web.Request) -> web.StreamResponse:
        return json_answer(renew(self.world, await read_body(request, RenewOrder)))

    async def block(self, request: web.Request) -> web.StreamResponse:
        return json_answer(block(self.world, await read_body(request, BlockOrder)))

    async def dice(self, request: web.Request) -> web.StreamResponse:
        self.world.dice.extend((await read_body(request, DiceOrder)).values)
        return json_answer({"next": self.world.dice})

    async def update(self, request: web.Request) -> web.StreamResponse:
        order = await read_body(request, InjectedUpdate)
        bot = self.world.chosen_bot(order.bot)
        queue, update = self.world.queues[bot.id], order.update
        for _ in range(order.times):
            update = {"update_id": queue.inject(update, lane_of(update)), **update}
        return json_answer({"update_id": update["update_id"], "times": order.times})

    async def repeat(self, request: web.Request) -> web.StreamResponse:
        order = await read_body(request, RepeatOrder)
        bot = self.world.chosen_bot(order.bot)
        if not self.world.queues[bot.id].repeat(order.update_id, order.times):
            raise SimError(f"no update {order.update_id} was ever queued", 404)
        return json_answer({"update_id": order.update_id, "times": order.times})

    async def fault(self, request: web.Request) -> web.StreamResponse:
        self.world.faults.add(await read_body(request, FaultOrder))
        return json_answer({"faults": self.world.faults.state()})

    async def limits(self, request: web.Request) -> web.StreamResponse:
        self.world.limits.set(await read_body(request, LimitsOrder))
        return json_answer(self.world.limits.state())

    async def clear_faults(self, _request: web.Request) -> web.StreamResponse:
        return json_answer({"cleared": self.world.faults.clear()})

    async def reset(self, _request: web.Request) -> web.StreamResponse:
        self.world.reset()
        return json_answer({"reset": True})

    async def add_person(self, request: web.Request) -> web.StreamResponse:
        note = await read_body(request, PersonNote)
        person = self.world.person(note.id, note.model_dump(exclude={"id", "started", "bot"}, exclude_none=True))
        if note.started:
            chat = self.world.chat(self.world.chosen_bot(note.bot).id, person.id)
            chat.started = True
            self.world.save_chat(chat)
        return json_answer({"person": asdict(person)})
