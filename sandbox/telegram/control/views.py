"""What the person's side shows: transcripts, calls, files, people, the state of the stand."""

from dataclasses import asdict
from typing import Any

from aiohttp import web

from sandbox.telegram.api.methods.payments import balance
from sandbox.telegram.api.methods.profile import shown_commands
from sandbox.telegram.control.http import json_answer, path_number, query_number
from sandbox.telegram.control.transcript import as_text, invoice_view, view
from sandbox.telegram.errors import SimError
from sandbox.telegram.state.chats import Chat
from sandbox.telegram.state.server_state import World
from sandbox.telegram.state.users import DEFAULT_PERSON_ID

Json = dict[str, Any]

LONGEST_WAIT_SECONDS = 55.0


class Views:
    """Routes that only look."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.closing = False

    async def people(self, _request: web.Request) -> web.StreamResponse:
        return json_answer({"people": [asdict(person) for person in self.world.people.values()]})

    async def chat(self, request: web.Request) -> web.StreamResponse:
        bot_id, chat_id = query_number(request, "bot"), int(path_number(request, "id"))
        after = query_number(request, "after")
        if not self.world.bots and bot_id is None:
            return json_answer({"chat_id": chat_id, "version": 0, "messages": []})
        bot = self.world.chosen_bot(bot_id)
        chat = self.world.chat(bot.id, chat_id)
        wait = min(float(request.query.get("wait", "0")), LONGEST_WAIT_SECONDS)
        if after is not None and wait > 0:
            await chat.notice.wait_until(lambda: chat.version != after or self.closing, wait)
            chat = self.world.chat(bot.id, chat_id)
        if request.query.get("format") == "text":
            return web.Response(text=as_text(chat), headers={"X-Version": str(chat.version)})
        delta = after if request.query.get("delta") and after is not None and after <= chat.version else None
        return json_answer(self._chat_view(chat, delta))

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

    async def invoice(self, request: web.Request) -> web.StreamResponse:
        link = self.world.payments.links.get(request.match_info["slug"])
        if link is None:
            raise SimError("no such invoice", 404)
        return json_answer(invoice_view(link.invoice))

    async def outbox(self, request: web.Request) -> web.StreamResponse:
        since, wait = query_number(request, "since") or 0, float(request.query.get("wait", "0"))
        outbox = self.world.outbox
        if wait > 0:
            seconds = min(wait, LONGEST_WAIT_SECONDS)
            await outbox.notice.wait_until(lambda: outbox.seq > since or self.closing, seconds)
        found = [
            call.view() for call in outbox.calls(request.query.get("method"), since, query_number(request, "bot"))
        ]
        if limit := query_number(request, "limit"):
            found = found[-limit:]
        return json_answer({"seq": outbox.seq, "calls": found})

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
        return json_answer(
            {
                "bots": bots,
                "people": [asdict(person) for person in world.people.values()],
                "chats": chats,
                "faults": world.faults.state(),
                "limits": world.limits.state(),
                "payments": [asdict(payment) for payment in world.payments.payments.values()],
                "subscriptions": [asdict(each) for each in world.payments.subscriptions.values()],
                "files": len(world.files),
                "outbox": world.outbox.seq,
            }
        )
