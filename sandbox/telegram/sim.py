"""The person's side over HTTP: JSON in, JSON out, errors as ``{"error": …}``."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any, TypeVar

from aiohttp import BodyPartReader, web
from pydantic import BaseModel, Field, ValidationError

from sandbox.telegram.acts import BlockOrder, MessageOrder, TapOrder, block, tap, write
from sandbox.telegram.api import BotApi
from sandbox.telegram.chats import Chat
from sandbox.telegram.checkout import PayOrder, pay
from sandbox.telegram.errors import SimError
from sandbox.telegram.faults import FaultOrder
from sandbox.telegram.methods_payments import balance
from sandbox.telegram.methods_profile import shown_commands
from sandbox.telegram.people import DEFAULT_PERSON_ID
from sandbox.telegram.requests import Upload
from sandbox.telegram.transcript import as_text, view
from sandbox.telegram.world import World

Json = dict[str, Any]
Route = Callable[[web.Request], Awaitable[web.StreamResponse]]
Model = TypeVar("Model", bound=BaseModel)

LONGEST_WAIT_SECONDS = 55.0


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
        self.closing = False

    def add_routes(self, router: web.UrlDispatcher, prefix: str) -> None:
        """Put the routes under ``{prefix}/sim``."""
        posts: dict[str, Route] = {
            "message": self.message,
            "callback": self.callback,
            "pay": self.pay,
            "fault": self.fault,
            "reset": self.reset,
            "block": self.block,
            "update": self.update,
            "repeat": self.repeat,
            "people": self.add_person,
            "dice": self.dice,
        }
        gets: dict[str, Route] = {
            "chat/{id}": self.chat,
            "outbox": self.outbox,
            "file/{file_id}": self.file,
            "state": self.state,
            "people": self.people,
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
                return _json({"error": str(error)}, error.status)
            except ValidationError as error:
                first = error.errors(include_url=False, include_context=False)[0]
                where = ".".join(str(part) for part in first["loc"])
                return _json({"error": f"{where}: {first['msg']}" if where else first["msg"]}, 400)
            finally:
                self.world.store.commit()

        return guarded

    async def message(self, request: web.Request) -> web.StreamResponse:
        fields, upload = await _form(request)
        return _json(write(self.world, MessageOrder.model_validate(fields), upload))

    async def callback(self, request: web.Request) -> web.StreamResponse:
        return _json(tap(self.world, await _body(request, TapOrder)))

    async def pay(self, request: web.Request) -> web.StreamResponse:
        return _json(await pay(self.world, self.api.checkouts, await _body(request, PayOrder)))

    async def block(self, request: web.Request) -> web.StreamResponse:
        return _json(block(self.world, await _body(request, BlockOrder)))

    async def dice(self, request: web.Request) -> web.StreamResponse:
        self.world.dice.extend((await _body(request, DiceOrder)).values)
        return _json({"next": self.world.dice})

    async def update(self, request: web.Request) -> web.StreamResponse:
        order = await _body(request, InjectedUpdate)
        bot = self.world.chosen_bot(order.bot)
        queue, update = self.world.queues[bot.id], order.update
        for _ in range(order.times):
            update = {"update_id": queue.inject(update, _lane_of(update)), **update}
        return _json({"update_id": update["update_id"], "times": order.times})

    async def repeat(self, request: web.Request) -> web.StreamResponse:
        order = await _body(request, RepeatOrder)
        bot = self.world.chosen_bot(order.bot)
        if not self.world.queues[bot.id].repeat(order.update_id, order.times):
            raise SimError(f"no update {order.update_id} was ever queued", 404)
        return _json({"update_id": order.update_id, "times": order.times})

    async def fault(self, request: web.Request) -> web.StreamResponse:
        self.world.faults.add(await _body(request, FaultOrder))
        return _json({"faults": self.world.faults.state()})

    async def clear_faults(self, _request: web.Request) -> web.StreamResponse:
        return _json({"cleared": self.world.faults.clear()})

    async def reset(self, _request: web.Request) -> web.StreamResponse:
        self.world.reset()
        return _json({"reset": True})

    async def people(self, _request: web.Request) -> web.StreamResponse:
        return _json({"people": [asdict(person) for person in self.world.people.values()]})

    async def add_person(self, request: web.Request) -> web.StreamResponse:
        note = await _body(request, PersonNote)
        person = self.world.person(note.id, note.model_dump(exclude={"id", "started", "bot"}, exclude_none=True))
        if note.started:
            chat = self.world.chat(self.world.chosen_bot(note.bot).id, person.id)
            chat.started = True
            self.world.save_chat(chat)
        return _json({"person": asdict(person)})

    async def chat(self, request: web.Request) -> web.StreamResponse:
        bot_id, chat_id = _number(request, "bot"), int(_path_number(request, "id"))
        after = _number(request, "after")
        if not self.world.bots and bot_id is None:
            return _json({"chat_id": chat_id, "version": 0, "messages": []})
        bot = self.world.chosen_bot(bot_id)
        chat = self.world.chat(bot.id, chat_id)
        wait = min(float(request.query.get("wait", "0")), LONGEST_WAIT_SECONDS)
        if after is not None and wait > 0:
            await chat.notice.wait_until(lambda: chat.version != after or self.closing, wait)
            chat = self.world.chat(bot.id, chat_id)
        if request.query.get("format") == "text":
            return web.Response(text=as_text(chat), headers={"X-Version": str(chat.version)})
        delta = after if request.query.get("delta") and after is not None and after <= chat.version else None
        return _json(self._chat_view(chat, delta))

    def _chat_view(self, chat: Chat, delta: int | None) -> Json:
        since = delta if delta is not None else -1
        bot = self.world.bots[chat.bot_id]
        person = self.world.people.get(chat.id)
        language = person.language_code if person else None
        return {
            "chat_id": chat.id,
            "chat": chat.description,
            "bot": bot.user(),
            "version": chat.version,
            "messages": [view(e) for e in chat.entries.values() if e.version > since],
            "events": [asdict(event) for event in chat.events if event.version > since],
            "action": chat.current_action(),
            "reply_keyboard": chat.reply_keyboard,
            "started": chat.started,
            "blocked": chat.blocked,
            "pinned": chat.pinned,
            "commands": shown_commands(bot, chat.id, language),
            "description": bot.descriptions.get(language or "") or bot.descriptions.get("", ""),
        }

    async def outbox(self, request: web.Request) -> web.StreamResponse:
        since, wait = _number(request, "since") or 0, float(request.query.get("wait", "0"))
        outbox = self.world.outbox
        if wait > 0:
            seconds = min(wait, LONGEST_WAIT_SECONDS)
            await outbox.notice.wait_until(lambda: outbox.seq > since or self.closing, seconds)
        found = [call.view() for call in outbox.calls(request.query.get("method"), since, _number(request, "bot"))]
        if limit := _number(request, "limit"):
            found = found[-limit:]
        return _json({"seq": outbox.seq, "calls": found})

    async def file(self, request: web.Request) -> web.StreamResponse:
        stored = self.world.files.find(request.match_info["file_id"])
        if stored is None:
            raise SimError("no such file", 404)
        headers = {"Content-Type": stored.mime_type, "Cache-Control": "private, max-age=86400"}
        headers["Content-Security-Policy"] = "sandbox"
        return web.FileResponse(self.world.files.location(stored), headers=headers)

    async def state(self, _request: web.Request) -> web.StreamResponse:
        world = self.world
        bots = [
            {
                **bot.user(),
                "pending_updates": len(world.queues[bot.id]),
                "webhook": bot.webhook.url if bot.webhook else None,
                "stars": balance(world.payments.of_bot(bot.id)),
                "commands": shown_commands(bot, DEFAULT_PERSON_ID, None),
            }
            for bot in world.bots.values()
        ]
        chats = [
            {"bot": chat.bot_id, "id": chat.id, "version": chat.version, "messages": len(chat.entries)}
            for chat in world.chats.values()
        ]
        return _json(
            {
                "bots": bots,
                "people": [asdict(person) for person in world.people.values()],
                "chats": chats,
                "faults": world.faults.state(),
                "payments": [asdict(payment) for payment in world.payments.payments.values()],
                "files": len(world.files),
                "outbox": world.outbox.seq,
            }
        )


def _json(body: Json, status: int = 200) -> web.Response:
    content = json.dumps(body, ensure_ascii=False).encode()
    return web.Response(status=status, body=content, content_type="application/json")


def _number(request: web.Request, name: str) -> int | None:
    text = request.query.get(name)
    if text in (None, ""):
        return None
    try:
        return int(text or "")
    except ValueError as error:
        raise SimError(f"{name} must be a number") from error


def _path_number(request: web.Request, name: str) -> int:
    try:
        return int(request.match_info[name])
    except ValueError as error:
        raise SimError(f"{name} must be a number", 404) from error


async def _body(request: web.Request, model: type[Model]) -> Model:
    """The JSON body with ``?bot=`` taken in."""
    text = await request.text()
    try:
        fields = json.loads(text or "{}")
    except ValueError as error:
        raise SimError("the body is no JSON") from error
    if not isinstance(fields, dict):
        raise SimError("the body must be a JSON object")
    if (bot := _number(request, "bot")) is not None:
        fields.setdefault("bot", bot)
    return model.model_validate(fields)


async def _form(request: web.Request) -> tuple[Json, Upload | None]:
    """Fields and at most one file of a multipart or JSON body."""
    if not request.content_type.startswith("multipart/"):
        return (await _body(request, _AnyFields)).model_dump(), None
    fields: Json = {}
    upload: Upload | None = None
    reader = await request.multipart()
    while (part := await reader.next()) is not None:
        if not isinstance(part, BodyPartReader) or part.name is None:
            continue
        data = bytes(await part.read())
        if part.filename is None:
            fields[part.name] = data.decode()
        elif upload is not None:
            raise SimError("one file a message")
        else:
            upload = Upload(data, part.filename, part.headers.get("Content-Type"))
    if (bot := _number(request, "bot")) is not None:
        fields.setdefault("bot", bot)
    if isinstance(fields.get("extra"), str):
        fields["extra"] = json.loads(fields["extra"])
    return fields, upload


class _AnyFields(BaseModel, extra="allow"):
    """Any JSON object."""


def _lane_of(update: Json) -> int:
    """The chat, else the person, whose updates stay in order with this one."""
    for name, payload in update.items():
        if name == "update_id" or not isinstance(payload, dict):
            continue
        message = payload if "chat" in payload else payload.get("message") or {}
        chat = message.get("chat") or payload.get("from") or payload.get("user") or {}
        return int(chat.get("id", 0))
    return 0
