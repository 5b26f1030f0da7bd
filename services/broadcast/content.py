"""The content of a broadcast, and who gets it.

Its messages are the admin's own, from the chat with the bot. Users get copies of them, so they look the same.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup, Message
from pydantic import BaseModel, ConfigDict

from services.core.errors import InvalidRequest
from services.core.i18n import DEFAULT_LANGUAGE
from services.messaging.rate_limiter import MESSAGES_PER_SECOND, PAID_MESSAGES_PER_SECOND
from storage.messaging import broadcast_recipients
from storage.messaging.broadcast_recipients import AudienceFilter
from storage.messaging.broadcasts import Broadcast
from storage.pool import Executor

FOR_ALL: Final = "*"
"""The key of the version for users in whose language there is none."""
_MAX_BUTTONS: Final = 10
_PREVIEW_LENGTH: Final = 60
_LINK: Final = re.compile(r"(https?|tg)://\S+")
_MESSAGES_PER_STAR: Final = 10


class LinkButton(BaseModel):
    """A button under a broadcast's message that opens a link."""

    model_config = ConfigDict(frozen=True)

    text: str
    url: str


class Content(BaseModel):
    """One version of a broadcast: a message of the admin's chat, or the messages of an album.

    Attributes:
        chat_id: The admin's chat.
        message_ids: The messages, in their order.
        kind: What an edit can change: the text, the caption of a `media`, or nothing of an `other`.
        html: The text or the caption, as HTML; empty where there is none.
        captioned: The index, in `message_ids`, of the message that has the caption.
        album: Telegram's id of the album; empty for a single message.
        buttons: Links under the message. An album can have none.
    """

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
        """Whether it is several messages."""
        return len(self.message_ids) > 1

    @property
    def preview(self) -> str:
        """The beginning of its text, without formatting."""
        text = re.sub(r"<[^>]+>", "", self.html).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
        return text if len(text) <= _PREVIEW_LENGTH else f"{text[:_PREVIEW_LENGTH]}…"

    @property
    def keyboard(self) -> InlineKeyboardMarkup | None:
        """The link buttons, one in each row; None where there are none."""
        if not self.buttons:
            return None
        rows = [[InlineKeyboardButton(text=button.text, url=button.url)] for button in self.buttons]
        return InlineKeyboardMarkup(inline_keyboard=rows)

    def with_message(self, message: Message) -> "Content":
        """The album with one more message.

        Args:
            message: The message. The album takes its caption, if it had none so far.
        """
        captioned = len(self.message_ids) if message.caption and not self.html else self.captioned
        ids = tuple(sorted({*self.message_ids, message.message_id}))
        html = self.html or (message.html_text if message.caption else "")
        return self.model_copy(update={"message_ids": ids, "captioned": captioned, "html": html, "buttons": ()})


class Audience(BaseModel):
    """Which users get a broadcast. All conditions must hold; without any, it is all users of the bot who want news.

    Attributes:
        language: The users' language; empty for every language.
        active_days: Users who wrote to the bot in the last so many days; 0 for all.
        orders: Users who have `paid`, users who `never` ordered, or all.
    """

    model_config = ConfigDict(frozen=True)

    language: str = ""
    active_days: int = 0
    orders: Literal["", "paid", "never"] = ""


def content_from_message(message: Message) -> Content:
    """The content of an admin's message; for an album, its first part."""
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
    """Read link buttons from lines of the form `Text | https://…`.

    Args:
        text: What the admin wrote. Empty lines are skipped.

    Returns:
        The buttons, one or more.

    Raises:
        InvalidRequest: A line is not a button, there is none at all, or there are too many.
    """
    buttons = []
    for line in filter(None, map(str.strip, text.splitlines())):
        label, _, url = (part.strip() for part in line.rpartition("|"))
        if not label or not _LINK.fullmatch(url):
            raise InvalidRequest("broadcast.wrong_button", line=line)
        buttons.append(LinkButton(text=label, url=url))
    if not buttons or len(buttons) > _MAX_BUTTONS:
        raise InvalidRequest("broadcast.wrong_buttons", most=_MAX_BUTTONS)
    return tuple(buttons)


def content_versions(broadcast: Broadcast) -> dict[str, Content]:
    """A broadcast's versions by language; `FOR_ALL` is the key of the version for every other language."""
    return {key: Content.model_validate(version) for key, version in broadcast.content.items()}


def broadcast_audience(broadcast: Broadcast) -> Audience:
    """Which users get a broadcast."""
    return Audience.model_validate(broadcast.audience)


def fallback_version(versions: Mapping[str, Any]) -> str:
    """The key of the version for users in whose language there is none; empty where they get nothing."""
    return next((key for key in (FOR_ALL, DEFAULT_LANGUAGE) if key in versions), "")


def build_audience_filter(broadcast: Broadcast) -> AudienceFilter:
    """What the database selects a broadcast's recipients by.

    They are users of the broadcast's bot, belong to its audience, and there is a version for their language.
    """
    audience = broadcast_audience(broadcast)
    languages: Sequence[str] | None = None if fallback_version(broadcast.content) else list(broadcast.content)
    return AudienceFilter(broadcast.bot_name, audience.language, audience.active_days, audience.orders, languages)


async def count_audience(db: Executor, broadcast: Broadcast) -> int:
    """How many users would get a draft if it were sent now; 0 while it has no content."""
    if not broadcast.content:
        return 0
    return await broadcast_recipients.count_audience(db, build_audience_filter(broadcast))


def can_be_paid(versions: Mapping[str, Content]) -> bool:
    """Whether a broadcast may be sent at the paid rate.

    An album may not: `copyMessages`, which sends albums, has no `allow_paid_broadcast`.
    https://core.telegram.org/bots/api#copymessages
    """
    return not any(version.is_album for version in versions.values())


def max_price_in_stars(recipients: int) -> int:
    """What a paid broadcast takes from the bot's Stars at most.

    That is a tenth of a Star for each message over the 30 that are free in each second:
    https://core.telegram.org/bots/faq#how-can-i-message-all-of-my-bot-39s-subscribers-at-once

    Args:
        recipients: How many users get it, one message each.

    Returns:
        Stars, rounded up.
    """
    free = MESSAGES_PER_SECOND * math.ceil(recipients / PAID_MESSAGES_PER_SECOND)
    return math.ceil(max(0, recipients - free) / _MESSAGES_PER_STAR)
