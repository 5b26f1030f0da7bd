"""A chat as its people see it, for the page, for tests, and as text to read."""

import time
from typing import Any

from sandbox.telegram.state.chats import Chat, Entry
from sandbox.telegram.text.formatting import to_html

Json = dict[str, Any]

_MEDIA_KINDS = ("photo", "video", "animation", "audio", "voice", "video_note", "sticker", "document")
_MEDIA_FIELDS = (
    *("file_id", "width", "height", "duration", "mime_type"),
    *("file_name", "title", "performer", "emoji"),
)
_SERVICE_FIELDS = ("successful_payment", "refunded_payment", "location", "contact", "pinned_message")


def list_media(message: Json) -> list[Json]:
    """The files a message shows: kind, ids, size in bytes, pixels, seconds."""
    for kind in _MEDIA_KINDS:
        part = message.get(kind)
        if part is not None:
            shown = part[-1] if kind == "photo" else part
            fields = (
                "file_id",
                "width",
                "height",
                "duration",
                "mime_type",
                "file_name",
                "title",
                "performer",
                "emoji",
            )
            media = {name: shown[name] for name in fields if name in shown}
            return [{"kind": kind, "size": shown.get("file_size"), **media}]
    return []


def entry_json(entry: Entry) -> Json:
    """One message of the transcript."""
    message = entry.message
    body: Json = {
        "message_id": entry.id,
        "version": entry.version,
        "from": "bot" if entry.by_bot else "person",
        "user": {name: message["from"].get(name) for name in ("id", "first_name", "username")},
        "date": message["date"],
        "text": message.get("text"),
        "caption": message.get("caption"),
        "html": _message_html(message),
        "media": list_media(message),
        "media_group_id": message.get("media_group_id"),
        "keyboard": [[_button(button) for button in row] for row in entry.button_rows()],
        "reply_keyboard": entry.reply_keyboard,
        "edited": entry.edits > 0,
        "edits": entry.edits,
        "deleted": entry.deleted,
        "reply_to": message.get("reply_to_message", {}).get("message_id"),
        "reactions": entry.reactions,
        "dice": message.get("dice"),
        "invoice": invoice_json(entry.invoice) if entry.invoice else None,
        "forwarded": "forward_origin" in message,
    }
    for name in _SERVICE_FIELDS:
        if name in message:
            body[name] = message[name]
    return body


def _message_html(message: Json) -> str | None:
    if message.get("text") is not None:
        return to_html(message["text"], message.get("entities"))
    if message.get("caption") is not None:
        return to_html(message["caption"], message.get("caption_entities"))
    return None


def _button(button: Json) -> Json:
    return {"text": button["text"], **{name: value for name, value in button.items() if name != "text"}}


def invoice_json(invoice: Json) -> Json:
    """What a person sees of an invoice before they pay it."""
    known = ("title", "description", "amount", "photo_url", "subscription_period")
    return {**{name: invoice.get(name) for name in known}, "paid": bool(invoice.get("paid"))}


def transcript_text(chat: Chat) -> str:
    """The transcript for reading, oldest first."""
    title = chat.description.get("title") or chat.description.get("first_name")
    lines = [f"chat {chat.id} · {title}"]
    for entry in chat.entries.values():
        lines.extend(_entry_lines(entry))
    return "\n".join(lines) + "\n"


def _entry_lines(entry: Entry) -> list[str]:
    shown = entry_json(entry)
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
