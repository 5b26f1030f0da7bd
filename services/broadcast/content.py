"""What a broadcast says and to whom: messages of the admin's chat, copied, so that they keep their looks."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup, Message
from pydantic import BaseModel, ConfigDict

from services.core.errors import InvalidRequest
from services.core.i18n import DEFAULT_LANGUAGE
from services.messaging.rate_limiter import MESSAGES_PER_SECOND, PAID_MESSAGES_PER_SECOND
from storage.messaging.broadcast_recipients import AudienceFilter
from storage.messaging.broadcasts import Broadcast

FOR_ALL = "*"
MAX_BUTTONS = 10
_PREVIEW_LENGTH = 60
_LINK = re.compile(r"(https?|tg)://\S+")
_MESSAGES_PER_STAR = 10


class LinkButton(BaseModel):
    model_config = ConfigDict(frozen=True)

    text: str
    url: str


class Content(BaseModel):
    """Messages of the admin's chat: one, or an album. `kind` says what an edit can change: a text, a caption, or
    neither. `captioned` is the place of the message that has the caption; `album` Telegram's id of the group."""

    model_config = ConfigDict(frozen=True)

    chat_id: int
    message_ids: tuple[int, ...]
    kind: Literal["text", "media", "other"]
    html: str = ""
    captioned: int = 0
    album: str = ""
    buttons: tuple[LinkButton, ...] = ()

    @property
    def is_album(self) -> bool:
        return len(self.message_ids) > 1

    @property
    def preview(self) -> str:
        """Its first words, without formatting."""
        text = re.sub(r"<[^>]+>", "", self.html).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
        return text if len(text) <= _PREVIEW_LENGTH else f"{text[:_PREVIEW_LENGTH]}…"

    @property
    def keyboard(self) -> InlineKeyboardMarkup | None:
        if not self.buttons:
            return None
        rows = [[InlineKeyboardButton(text=button.text, url=button.url)] for button in self.buttons]
        return InlineKeyboardMarkup(inline_keyboard=rows)

    def with_message(self, message: Message) -> "Content":
        """The album with one more message."""
        captioned = len(self.message_ids) if message.caption and not self.html else self.captioned
        ids = tuple(sorted({*self.message_ids, message.message_id}))
        html = self.html or (message.html_text if message.caption else "")
        return self.model_copy(update={"message_ids": ids, "captioned": captioned, "html": html, "buttons": ()})


class Audience(BaseModel):
    """Empty: everybody who speaks with this bot and wants news."""

    model_config = ConfigDict(frozen=True)

    language: str = ""
    active_days: int = 0
    orders: Literal["", "paid", "never"] = ""


def content_from_message(message: Message) -> Content:
    """A message as content."""
    kind: Literal["text", "media", "other"] = "other"
    if message.text is not None:
        kind = "text"
    elif message.photo or message.video or message.animation or message.audio or message.document or message.voice:
        kind = "media"
    has_text = message.text is not None or message.caption is not None
    return Content(
        chat_id=message.chat.id,
        message_ids=(message.message_id,),
        kind=kind,
        html=message.html_text if has_text else "",
        album=message.media_group_id or "",
    )


def parse_buttons(text: str) -> tuple[LinkButton, ...]:
    """Lines `Text | https://…`. Raises Refused for a line that is none."""
    buttons = []
    for line in filter(None, map(str.strip, text.splitlines())):
        label, _, url = (part.strip() for part in line.rpartition("|"))
        if not label or not _LINK.fullmatch(url):
            raise InvalidRequest("broadcast.wrong_button", line=line)
        buttons.append(LinkButton(text=label, url=url))
    if not buttons or len(buttons) > MAX_BUTTONS:
        raise InvalidRequest("broadcast.wrong_buttons", most=MAX_BUTTONS)
    return tuple(buttons)


def content_versions(broadcast: Broadcast) -> dict[str, Content]:
    return {key: Content.model_validate(version) for key, version in broadcast.content.items()}


def broadcast_audience(broadcast: Broadcast) -> Audience:
    return Audience.model_validate(broadcast.audience)


def fallback_version(versions: Mapping[str, Any]) -> str:
    """The version for people whose language has none; empty where there is none for them."""
    return next((key for key in (FOR_ALL, DEFAULT_LANGUAGE) if key in versions), "")


def build_audience_filter(broadcast: Broadcast) -> AudienceFilter:
    """Whom it goes to: people of its bot, in the audience, for whose language there is a version."""
    audience = broadcast_audience(broadcast)
    languages: Sequence[str] | None = None if fallback_version(broadcast.content) else list(broadcast.content)
    return AudienceFilter(broadcast.bot_name, audience.language, audience.active_days, audience.orders, languages)


def can_be_paid(versions: Mapping[str, Content]) -> bool:
    """copyMessages, which sends albums, cannot be paid for."""
    return not any(version.is_album for version in versions.values())


def max_price_in_stars(recipients: int) -> int:
    """What a paid broadcast takes from the bot's Stars at most: a tenth of one for each message over the 30 that
    are free in each second. https://core.telegram.org/bots/faq#how-can-i-message-all-of-my-bot-39s-subscribers-at-once"""
    free = MESSAGES_PER_SECOND * math.ceil(recipients / PAID_MESSAGES_PER_SECOND)
    return math.ceil(max(0, recipients - free) / _MESSAGES_PER_STAR)
