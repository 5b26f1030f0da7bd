"""What messages consist of besides text: media, captions and keyboards, validated as Telegram validates them.

Rules and limits for media: https://core.telegram.org/bots/api#sending-files.
"""

import re
from typing import Any

from aiogram.types import (
    ForceReply,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputFile,
    ReplyKeyboardMarkup,
    ReplyKeyboardRemove,
)

from sandbox.telegram.api.call import ApiCall
from sandbox.telegram.api.requests import Upload
from sandbox.telegram.errors import bad_request
from sandbox.telegram.json_types import Json
from sandbox.telegram.state.files import StoredFile
from sandbox.telegram.text.formatting import parse_caption

_MAX_CALLBACK_DATA_BYTES = 64
_MAX_BUTTONS = 100
_LOOKS = ("text", "style", "icon_custom_emoji_id")
_URL = re.compile(r"(?i)((https?|tg|ton)://\S+|[\w\-]+(\.[\w\-]+)+(/\S*)?)")
_PHOTO_LIMIT = 10 * 1024 * 1024
_TYPE_NAMES = {"voice": "VoiceNote", "video_note": "VideoNote"}


def resolve_file(call: ApiCall, kind: str, value: str | InputFile | None) -> StoredFile:
    """Return the stored file that a media field refers to, and store it first if it is new.

    Args:
        call: The call; holds the uploads.
        kind: The media type, such as ``photo``.
        value: An ``attach://`` reference to an upload, or a ``file_id``. URLs cannot be fetched: the sandbox
            reaches no other machine.

    Raises:
        ApiError: 400 when Telegram would refuse the file.
    """
    if not isinstance(value, str) or not value:
        raise bad_request(f"there is no {kind} in the request")
    if value.startswith("attach://"):
        return _store_upload(call, kind, call.uploads.get(value.removeprefix("attach://")))
    if value.startswith(("http://", "https://")):
        raise bad_request("failed to get HTTP URL content")
    return _find_file(call, kind, value)


def _store_upload(call: ApiCall, kind: str, upload: Upload | None) -> StoredFile:
    """Store a file of the request, validated as Telegram validates that kind."""
    if upload is None:
        raise bad_request(f"there is no {kind} in the request")
    size = len(upload.data)
    if not size:
        raise bad_request("file must be non-empty")
    if kind == "photo" and size > _PHOTO_LIMIT:
        raise bad_request(
            f"file of size {size} bytes is too big for a photo; the maximum size is {_PHOTO_LIMIT} bytes"
        )
    stored = call.state.files.add(call.bot.id, kind, upload.data, upload.file_name, upload.content_type)
    if kind == "photo":
        shorter, longer = sorted((stored.width, stored.height))
        if not stored.mime_type.startswith("image/") or shorter == 0:
            raise bad_request("IMAGE_PROCESS_FAILED")
        if shorter + longer > 10_000 or longer / shorter > 20:
            raise bad_request("PHOTO_INVALID_DIMENSIONS")
    return stored


def _find_file(call: ApiCall, kind: str, file_id: str) -> StoredFile:
    stored = call.state.files.find(file_id)
    if stored is None or stored.bot_id != call.bot.id:
        raise bad_request("wrong file identifier/HTTP URL specified")
    same = {kind, "document", "animation" if kind == "video" else kind}
    if stored.kind not in same and kind != "document":
        actual, wanted = (_TYPE_NAMES.get(each, each.capitalize()) for each in (stored.kind, kind))
        raise bad_request(f"can't use file of type {actual} as {wanted}")
    return stored


def caption_fields(source: Any) -> Json:
    """Return caption and entities of a method or an ``InputMedia`` as fields of ``Message``.

    Raises:
        ApiError: 400 for a caption that Telegram would refuse.
    """
    caption, entities = parse_caption(source.caption, source.parse_mode, source.caption_entities)
    above = getattr(source, "show_caption_above_media", None) is True
    fields: Json = {"caption": caption, "caption_entities": entities, "show_caption_above_media": above}
    return {name: value for name, value in fields.items() if value}


def media_content(kind: str, stored: StoredFile, source: Any = None) -> Json:
    """Return the fields of ``Message`` that show a file.

    Args:
        kind: The media type, such as ``photo``.
        stored: The file.
        source: Where width, height, duration, performer, title and ``has_spoiler`` may be given: a method, an
            ``InputMedia`` or a control API request.

    Raises:
        ApiError: 400 for an unknown media type.
    """
    base: Json = {"file_id": stored.file_id, "file_unique_id": stored.unique_id, "file_size": stored.size}
    width = getattr(source, "width", None) or stored.width
    height = getattr(source, "height", None) or stored.height
    duration = {"duration": to_seconds(getattr(source, "duration", None)) or stored.duration}
    typed = {**base, "mime_type": stored.mime_type}
    named = {**typed, "file_name": stored.name}
    tags = {name: getattr(source, name, None) for name in ("performer", "title")}
    sticker = {"type": "regular", "is_animated": False, "is_video": False}
    about: dict[str, Json] = {
        "photo": {**base, "width": width or 1, "height": height or 1},
        "video": {**named, "width": width, "height": height, **duration},
        "animation": {**named, "width": width, "height": height, **duration},
        "audio": {**named, **duration, **{name: value for name, value in tags.items() if value}},
        "voice": {**typed, **duration},
        "video_note": {**base, "length": width or 240, **duration},
        "sticker": {**base, "width": stored.width or 512, "height": stored.height or 512, **sticker},
        "document": named,
    }
    if kind not in about:
        raise bad_request(f"unknown media kind {kind}")
    content: Json = {kind: [about[kind]] if kind == "photo" else about[kind]}
    if kind == "animation":
        content["document"] = named
    if getattr(source, "has_spoiler", None):
        content["has_media_spoiler"] = True
    return content


def to_seconds(value: Any) -> int:
    """Return a time span as whole seconds; aiogram reads some as numbers and some as ``timedelta``."""
    return int(value.total_seconds()) if hasattr(value, "total_seconds") else int(value or 0)


def parse_inline_keyboard(markup: object) -> Json | None:
    """Return an inline keyboard as ``Message`` shows it.

    Args:
        markup: The ``reply_markup`` of a method, of any kind.

    Returns:
        The keyboard, or None when the markup is no inline keyboard or has no buttons.

    Raises:
        ApiError: 400 for buttons that Telegram refuses.
    """
    if not isinstance(markup, InlineKeyboardMarkup):
        return None
    rows = [[_parse_button(button) for button in row] for row in markup.inline_keyboard if row]
    if sum(len(row) for row in rows) > _MAX_BUTTONS:
        raise bad_request("reply markup is too long")
    return {"inline_keyboard": rows} if rows else None


def _parse_button(button: InlineKeyboardButton) -> Json:
    shown = button.model_dump(exclude_none=True, mode="json")
    if not shown["text"]:
        raise bad_request("inline keyboard button text must be non-empty")
    if not any(value != "" for name, value in shown.items() if name not in _LOOKS):
        raise bad_request("can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard")
    if len(shown.get("callback_data", "").encode()) > _MAX_CALLBACK_DATA_BYTES:
        raise bad_request("BUTTON_DATA_INVALID")
    url = shown.get("url")
    if url is not None and not _URL.fullmatch(url):
        raise bad_request(f"inline keyboard button URL '{url}' is invalid: Wrong HTTP URL")
    return shown


def parse_reply_keyboard(markup: object) -> Json | None:
    """Return a reply keyboard, its removal or a forced reply as JSON.

    Args:
        markup: The ``reply_markup`` of a method, of any kind.

    Returns:
        The markup, or None when it is none of these.

    Raises:
        ApiError: 400 for a button without text.
    """
    if not isinstance(markup, ReplyKeyboardMarkup | ReplyKeyboardRemove | ForceReply):
        return None
    if isinstance(markup, ReplyKeyboardMarkup) and any(
        not button.text for row in markup.keyboard for button in row
    ):
        raise bad_request("keyboard button text must be non-empty")
    return markup.model_dump(exclude_none=True, mode="json")
