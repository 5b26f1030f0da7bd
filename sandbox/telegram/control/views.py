"""What the control API shows: transcripts, Bot API calls, files, users and the server's state."""

import json
import time
from dataclasses import asdict
from functools import partial

from aiohttp import web

from sandbox.telegram.errors import ControlApiError
from sandbox.telegram.json_types import Json
from sandbox.telegram.state.bots import localized
from sandbox.telegram.state.chats import Chat, Entry
from sandbox.telegram.state.server_state import ServerState
from sandbox.telegram.state.users import DEFAULT_USER_ID
from sandbox.telegram.text.formatting import to_html

_MAX_WAIT_SECONDS = 55.0


def json_response(body: Json, status: int = 200) -> web.Response:
    """Return a JSON response."""
    return web.json_response(body, status=status, dumps=partial(json.dumps, ensure_ascii=False))


def query_int(request: web.Request, name: str) -> int | None:
    """Return a number of the query, or None when it is missing or empty.

    Raises:
        ControlApiError: 400 when it is not a number.
    """
    return _to_int(name, request.query[name], 400) if request.query.get(name) else None


def _to_int(name: str, text: str, status: int) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise ControlApiError(f"{name} must be a number", status) from error


class StateViews:
    """The routes of the control API that only read."""

    def __init__(self, state: ServerState) -> None:
        self._state = state

    async def users(self, _request: web.Request) -> web.StreamResponse:
        """``GET sim/people``: all users."""
        return json_response({"people": [asdict(user) for user in self._state.users.values()]})

    async def chat(self, request: web.Request) -> web.StreamResponse:
        """``GET sim/chat/{id}``: a transcript.

        The query may have ``after`` (a version) and ``wait`` (seconds, at most 55) to be answered when something
        has changed, ``delta`` for the changed messages only, and ``format=text``.
        """
        bot_id, chat_id = query_int(request, "bot"), _to_int("id", request.match_info["id"], 404)
        after = query_int(request, "after")
        if not self._state.bots and bot_id is None:
            return json_response({"chat_id": chat_id, "version": 0, "messages": []})
        bot = self._state.resolve_bot(bot_id)
        chat = self._state.get_or_create_chat(bot.id, chat_id)
        wait = min(float(request.query.get("wait", "0")), _MAX_WAIT_SECONDS)
        if after is not None and wait > 0:
            await chat.condition.wait_until(lambda: chat.version != after or self._state.closing, wait)
            chat = self._state.get_or_create_chat(bot.id, chat_id)
        if request.query.get("format") == "text":
            return web.Response(text=_transcript_text(chat), headers={"X-Version": str(chat.version)})
        delta = after if request.query.get("delta") and after is not None and after <= chat.version else None
        return json_response(self._chat_json(chat, delta))

    def _chat_json(self, chat: Chat, since_version: int | None) -> Json:
        since = since_version if since_version is not None else -1
        bot = self._state.bots[chat.bot_id]
        user = self._state.users.get(chat.id)
        language = user.language_code if user else None
        return {
            "chat_id": chat.id,
            "chat": chat.description,
            "bot": bot.to_telegram_user(),
            "version": chat.version,
            "messages": [_entry_json(e) for e in chat.entries.values() if e.version > since],
            "events": [asdict(event) for event in chat.callback_answers if event.version > since],
            "action": chat.current_action(),
            "reply_keyboard": chat.reply_keyboard,
            "started": chat.started,
            "blocked": chat.blocked,
            "pinned": chat.pinned,
            "commands": bot.visible_commands(chat.id, language),
            "description": localized(bot.descriptions, language),
        }

    async def invoice(self, request: web.Request) -> web.StreamResponse:
        """``GET sim/invoice/{slug}``: the invoice behind a link."""
        link = self._state.payments.links.get(request.match_info["slug"])
        if link is None:
            raise ControlApiError("no such invoice", 404)
        return json_response(_invoice_json(link.invoice))

    async def outbox(self, request: web.Request) -> web.StreamResponse:
        """``GET sim/outbox``: Bot API calls, oldest first.

        The query may have ``method``, ``bot``, ``since`` (a ``seq``), ``limit`` (the newest so many) and ``wait``
        (seconds, at most 55, until there is a call after ``since``).
        """
        since, wait = query_int(request, "since") or 0, float(request.query.get("wait", "0"))
        outbox = self._state.outbox
        if wait > 0:
            seconds = min(wait, _MAX_WAIT_SECONDS)
            await outbox.condition.wait_until(lambda: outbox.seq > since or self._state.closing, seconds)
        found = [
            call.to_json() for call in outbox.calls(request.query.get("method"), since, query_int(request, "bot"))
        ]
        if limit := query_int(request, "limit"):
            found = found[-limit:]
        return json_response({"seq": outbox.seq, "calls": found})

    async def file(self, request: web.Request) -> web.StreamResponse:
        """``GET sim/file/{file_id}``: the content of a file."""
        stored = self._state.files.find(request.match_info["file_id"])
        if stored is None:
            raise ControlApiError("no such file", 404)
        headers = {"Content-Type": stored.mime_type, "Cache-Control": "private, max-age=86400"}
        headers["Content-Security-Policy"] = "sandbox"
        return web.FileResponse(self._state.files.disk_path(stored), headers=headers)

    async def server_state(self, _request: web.Request) -> web.StreamResponse:
        """``GET sim/state``: bots, users, chats, faults, limits and payments."""
        state = self._state
        bots = [
            {
                **bot.to_telegram_user(),
                "pending_updates": len(state.queues[bot.id].pending()),
                "webhook": bot.webhook["url"] if bot.webhook else None,
                "stars": state.payments.star_balance(bot.id),
                "commands": bot.visible_commands(DEFAULT_USER_ID, None),
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
                "faults": [fault.snapshot() for fault in state.faults],
                "limits": state.limits.snapshot(),
                "payments": [asdict(payment) for payment in state.payments.payments.values()],
                "subscriptions": [asdict(each) for each in state.payments.subscriptions.values()],
                "files": len(state.files),
                "outbox": state.outbox.seq,
            }
        )


_MEDIA_KINDS = ("photo", "video", "animation", "audio", "voice", "video_note", "sticker", "document")
_MEDIA_FIELDS = (
    *("file_id", "width", "height", "duration", "mime_type"),
    *("file_name", "title", "performer", "emoji"),
)
_SERVICE_FIELDS = ("successful_payment", "refunded_payment", "location", "contact", "pinned_message")


def _list_media(message: Json) -> list[Json]:
    """The file of a message, if it has one: kind, id, size in bytes, pixels, seconds."""
    for kind in _MEDIA_KINDS:
        part = message.get(kind)
        if part is not None:
            shown = part[-1] if kind == "photo" else part
            media = {name: shown[name] for name in _MEDIA_FIELDS if name in shown}
            return [{"kind": kind, "size": shown.get("file_size"), **media}]
    return []


def _entry_json(entry: Entry) -> Json:
    """A message of the transcript as JSON."""
    message = entry.message
    text, entities = message.get("text"), message.get("entities")
    if text is None:
        text, entities = message.get("caption"), message.get("caption_entities")
    return {
        "message_id": entry.id,
        "version": entry.version,
        "from": "bot" if entry.by_bot else "person",
        "user": {name: message["from"].get(name) for name in ("id", "first_name", "username")},
        "date": message["date"],
        "text": message.get("text"),
        "caption": message.get("caption"),
        "html": None if text is None else to_html(text, entities),
        "media": _list_media(message),
        "media_group_id": message.get("media_group_id"),
        "keyboard": entry.button_rows(),
        "reply_keyboard": entry.reply_keyboard,
        "edited": entry.edits > 0,
        "edits": entry.edits,
        "deleted": entry.deleted,
        "reply_to": message.get("reply_to_message", {}).get("message_id"),
        "reactions": entry.reactions,
        "dice": message.get("dice"),
        "invoice": _invoice_json(entry.invoice) if entry.invoice else None,
        "forwarded": "forward_origin" in message,
        **{name: message[name] for name in _SERVICE_FIELDS if name in message},
    }


def _invoice_json(invoice: Json) -> Json:
    """An invoice as a user sees it before they pay."""
    known = ("title", "description", "amount", "photo_url", "subscription_period")
    return {**{name: invoice.get(name) for name in known}, "paid": bool(invoice.get("paid"))}


def _transcript_text(chat: Chat) -> str:
    """The transcript as plain text, oldest message first."""
    title = chat.description.get("title") or chat.description.get("first_name")
    lines = [f"chat {chat.id} · {title}"]
    for entry in chat.entries.values():
        lines.extend(_entry_lines(entry))
    return "\n".join(lines) + "\n"


def _entry_lines(entry: Entry) -> list[str]:
    shown = _entry_json(entry)
    who = "bot" if entry.by_bot else f"{shown['user']['first_name']} ({shown['user']['id']})"
    marks = " (deleted)" if entry.deleted else f" (edited {entry.edits}×)" if entry.edits else ""
    at = time.strftime("%H:%M:%S", time.gmtime(shown["date"]))
    body = [_media_line(media) for media in shown["media"]]
    body += (shown["text"] or shown["caption"] or "").splitlines()
    if shown["dice"]:
        body.append(f"{shown['dice']['emoji']} {shown['dice']['value']}")
    if shown["invoice"]:
        paid = ", paid" if shown["invoice"]["paid"] else ""
        body.append(f"invoice: {shown['invoice']['title']} · ⭐{shown['invoice']['amount']}{paid}")
    for name in ("successful_payment", "refunded_payment"):
        if name in shown:
            body.append(f"{name.replace('_', ' ')}: ⭐{shown[name]['total_amount']}")
    body += [" ".join(f"[{button['text']}]" for button in row) for row in shown["keyboard"]]
    rows = (entry.reply_keyboard or {}).get("keyboard", [])
    body += [" ".join(f"⌨[{button['text']}]" for button in row) for row in rows]
    return ["", f"[{at}] #{entry.id} {who}{marks}", *(f"  {line}" for line in body)]


def _media_line(media: Json) -> str:
    pixels = f" {media['width']}×{media['height']}" if media.get("width") else ""
    return f"<{media['kind']}{pixels}, {media['size']} bytes, {media['file_id']}>"
