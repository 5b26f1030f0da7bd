"""What the person's side shows: transcripts, calls, files, people, the state of the stand."""

from dataclasses import asdict
from typing import Any

from aiohttp import web

from sandbox.telegram.api.methods.payments import star_balance
from sandbox.telegram.api.methods.profile import visible_commands
from sandbox.telegram.control.http import json_response, path_int, query_int
from sandbox.telegram.control.transcript import entry_json, invoice_json, transcript_text
from sandbox.telegram.errors import ControlApiError
from sandbox.telegram.state.chats import Chat
from sandbox.telegram.state.server_state import ServerState
from sandbox.telegram.state.users import DEFAULT_USER_ID

Json = dict[str, Any]

MAX_WAIT_SECONDS = 55.0


class StateViews:
    """Routes that only look."""

    def __init__(self, state: ServerState) -> None:
        self.state = state
        self.closing = False

    async def users(self, _request: web.Request) -> web.StreamResponse:
        return json_response({"people": [asdict(user) for user in self.state.users.values()]})

    async def chat(self, request: web.Request) -> web.StreamResponse:
        bot_id, chat_id = query_int(request, "bot"), int(path_int(request, "id"))
        after = query_int(request, "after")
        if not self.state.bots and bot_id is None:
            return json_response({"chat_id": chat_id, "version": 0, "messages": []})
        bot = self.state.resolve_bot(bot_id)
        chat = self.state.get_or_create_chat(bot.id, chat_id)
        wait = min(float(request.query.get("wait", "0")), MAX_WAIT_SECONDS)
        if after is not None and wait > 0:
            await chat.condition.wait_until(lambda: chat.version != after or self.closing, wait)
            chat = self.state.get_or_create_chat(bot.id, chat_id)
        if request.query.get("format") == "text":
            return web.Response(text=transcript_text(chat), headers={"X-Version": str(chat.version)})
        delta = after if request.query.get("delta") and after is not None and after <= chat.version else None
        return json_response(self._chat_json(chat, delta))

    def _chat_json(self, chat: Chat, since_version: int | None) -> Json:
        since = since_version if since_version is not None else -1
        bot = self.state.bots[chat.bot_id]
        user = self.state.users.get(chat.id)
        language = user.language_code if user else None
        return {
            "chat_id": chat.id,
            "chat": chat.description,
            "bot": bot.to_telegram_user(),
            "version": chat.version,
            "messages": [entry_json(e) for e in chat.entries.values() if e.version > since],
            "events": [asdict(event) for event in chat.callback_answers if event.version > since],
            "action": chat.current_action(),
            "reply_keyboard": chat.reply_keyboard,
            "started": chat.started,
            "blocked": chat.blocked,
            "pinned": chat.pinned,
            "commands": visible_commands(bot, chat.id, language),
            "description": bot.descriptions.get(language or "") or bot.descriptions.get("", ""),
        }

    async def invoice(self, request: web.Request) -> web.StreamResponse:
        link = self.state.payments.links.get(request.match_info["slug"])
        if link is None:
            raise ControlApiError("no such invoice", 404)
        return json_response(invoice_json(link.invoice))

    async def outbox(self, request: web.Request) -> web.StreamResponse:
        since, wait = query_int(request, "since") or 0, float(request.query.get("wait", "0"))
        outbox = self.state.outbox
        if wait > 0:
            seconds = min(wait, MAX_WAIT_SECONDS)
            await outbox.condition.wait_until(lambda: outbox.seq > since or self.closing, seconds)
        found = [
            call.to_json() for call in outbox.calls(request.query.get("method"), since, query_int(request, "bot"))
        ]
        if limit := query_int(request, "limit"):
            found = found[-limit:]
        return json_response({"seq": outbox.seq, "calls": found})

    async def file(self, request: web.Request) -> web.StreamResponse:
        stored = self.state.files.find(request.match_info["file_id"])
        if stored is None:
            raise ControlApiError("no such file", 404)
        headers = {"Content-Type": stored.mime_type, "Cache-Control": "private, max-age=86400"}
        headers["Content-Security-Policy"] = "sandbox"
        return web.FileResponse(self.state.files.disk_path(stored), headers=headers)

    async def server_state(self, _request: web.Request) -> web.StreamResponse:
        state = self.state
        bots = [
            {
                **bot.to_telegram_user(),
                "pending_updates": len(state.queues[bot.id]),
                "webhook": bot.webhook.url if bot.webhook else None,
                "stars": star_balance(state.payments.list_for_bot(bot.id)),
                "commands": visible_commands(bot, DEFAULT_USER_ID, None),
            }
            for bot in state.bots.values()
        ]
        chats = [
            {"bot": chat.bot_id, "id": chat.id, "version": chat.version, "messages": len(chat.entries)}
            for chat in state.chats.values()
        ]
        return json_response(
            {
                "bots": bots,
                "people": [asdict(user) for user in state.users.values()],
                "chats": chats,
                "faults": state.faults.snapshot(),
                "limits": state.limits.snapshot(),
                "payments": [asdict(payment) for payment in state.payments.payments.values()],
                "subscriptions": [asdict(each) for each in state.payments.subscriptions.values()],
                "files": len(state.files),
                "outbox": state.outbox.seq,
            }
        )
