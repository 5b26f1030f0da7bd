"""Inline and reply keyboards, validated as Telegram validates them."""

import re
from typing import Any

from aiogram.types import InlineKeyboardMarkup, ReplyKeyboardMarkup
from pydantic import BaseModel

from sandbox.telegram.errors import bad_request
from sandbox.telegram.json_types import Json

_MAX_CALLBACK_DATA_BYTES = 64
_MAX_BUTTONS = 100
_URL = re.compile(r"(?i)((https?|tg|ton)://\S+|[\w\-]+(\.[\w\-]+)+(/\S*)?)")


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


def _parse_button(button: BaseModel) -> Json:
    shown = {name: _to_json(value) for name, value in button if value is not None}
    if not shown["text"]:
        raise bad_request("inline keyboard button text must be non-empty")
    style = {"text", "style", "icon_custom_emoji_id"}
    if not any(value not in ("", None) for name, value in shown.items() if name not in style):
        raise bad_request("can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard")
    data = shown.get("callback_data")
    if data is not None and len(data.encode()) > _MAX_CALLBACK_DATA_BYTES:
        raise bad_request("BUTTON_DATA_INVALID")
    url = shown.get("url")
    if url is not None and not _URL.fullmatch(url):
        raise bad_request(f"inline keyboard button URL '{url}' is invalid: Wrong HTTP URL")
    return shown


def _to_json(value: Any) -> Any:
    return value.model_dump(exclude_none=True, mode="json") if isinstance(value, BaseModel) else value


def parse_reply_keyboard(markup: object) -> Json | None:
    """Return a reply keyboard, its removal or a forced reply as JSON.

    Args:
        markup: The ``reply_markup`` of a method, of any kind.

    Returns:
        The markup, or None when it is none of these.

    Raises:
        ApiError: 400 for a button without text.
    """
    if markup is None or isinstance(markup, InlineKeyboardMarkup) or not isinstance(markup, BaseModel):
        return None
    shown = markup.model_dump(exclude_none=True, exclude_defaults=True, mode="json")
    if isinstance(markup, ReplyKeyboardMarkup):
        for row in shown["keyboard"]:
            if any(not button.get("text") for button in row):
                raise bad_request("keyboard button text must be non-empty")
    else:
        shown.setdefault("remove_keyboard" if "Remove" in type(markup).__name__ else "force_reply", True)
    return shown
