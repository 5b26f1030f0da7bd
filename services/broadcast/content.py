"""The content and the audience of a broadcast.

The content is messages that the admin sent to the bot. Users get copies, which look the same.
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
"""The key of the version for users without a version in their language."""
_MAX_BUTTONS: Final = 10
_PREVIEW_LENGTH: Final = 60
_LINK: Final = re.compile(r"(https?|tg)://\S+")
_MESSAGES_PER_STAR: Final = 10


class LinkButton(BaseModel):
    """A button with a link, under a broadcast message."""

    model_config = ConfigDict(frozen=True)

    text: str
    url: str


class Content(BaseModel):
    """One version of a broadcast: a message or an album in the admin's chat.

    Attributes:
        chat_id: The id of the admin's chat.
        message_ids: The ids of the messages, in order.
        kind: `text`, whose text can be edited later; `media`, whose caption can be edited; or `other`.
        html: The text or caption as HTML; empty if there is none.
        captioned: The index in `message_ids` of the message with the caption.
        album: Telegram's id of the album; empty for a single message.
        buttons: The link buttons under the message. Albums cannot have buttons.
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
        """Whether the content is an album."""
        return len(self.message_ids) > 1

    @property
    def preview(self) -> str:
        """The beginning of the text, without formatting."""
        text = re.sub(r"<[^>]+>", "", self.html).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
        return text if len(text) <= _PREVIEW_LENGTH else f"{text[:_PREVIEW_LENGTH]}…"

    @property
    def keyboard(self) -> InlineKeyboardMarkup | None:
        """The link buttons, one per row; None if there are none."""
        if not self.buttons:
            return None
        rows = [[InlineKeyboardButton(text=button.text, url=button.url)] for button in self.buttons]
        return InlineKeyboardMarkup(inline_keyboard=rows)

    def with_message(self, message: Message) -> "Content":
        """Return the album with one more message.

        Args:
            message: The message. Its caption becomes the album's if the album has none yet.
        """
        captioned = len(self.message_ids) if message.caption and not self.html else self.captioned
        ids = tuple(sorted({*self.message_ids, message.message_id}))
        html = self.html or (message.html_text if message.caption else "")
        return self.model_copy(update={"message_ids": ids, "captioned": captioned, "html": html, "buttons": ()})


class Audience(BaseModel):
    """Conditions that users must all meet to get a broadcast. With none set, all users of the bot who want news get it.

    Attributes:
        language: The user's language; empty for any.
        active_days: The user wrote to the bot within this many days; 0 for any.
        orders: `paid`, the user has paid; `never`, the user has never ordered; empty for any.
    """

    model_config = ConfigDict(frozen=True)

    language: str = ""
    active_days: int = 0
    orders: Literal["", "paid", "never"] = ""


def content_from_message(message: Message) -> Content:
    """Create content from an admin's message, which may be the first message of an album."""
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
    """Parse link buttons from lines of the form `Text | https://…`.

    Args:
        text: The lines. Empty lines are skipped.

    Returns:
        One or more buttons.

    Raises:
        InvalidRequest: A line is not a button, or there are no buttons or too many.
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
    """Return a broadcast's versions by language. `FOR_ALL` is the key of the version for all other languages."""
    return {key: Content.model_validate(version) for key, version in broadcast.content.items()}


def broadcast_audience(broadcast: Broadcast) -> Audience:
    """Return a broadcast's audience."""
    return Audience.model_validate(broadcast.audience)


def fallback_version(versions: Mapping[str, Any]) -> str:
    """Return the key of the version for users without a version in their language; empty if they get nothing."""
    return next((key for key in (FOR_ALL, DEFAULT_LANGUAGE) if key in versions), "")


def build_audience_filter(broadcast: Broadcast) -> AudienceFilter:
    """Build the database filter for a broadcast's recipients.

    They use the broadcast's bot, belong to its audience, and there is a version for their language.
    """
    audience = broadcast_audience(broadcast)
    languages: Sequence[str] | None = None if fallback_version(broadcast.content) else list(broadcast.content)
    return AudienceFilter(broadcast.bot_name, audience.language, audience.active_days, audience.orders, languages)


async def count_audience(db: Executor, broadcast: Broadcast) -> int:
    """Count the users who would get a draft if it were sent now; 0 if it has no content."""
    if not broadcast.content:
        return 0
    return await broadcast_recipients.count_audience(db, build_audience_filter(broadcast))


def can_be_paid(versions: Mapping[str, Content]) -> bool:
    """Whether a broadcast may be sent at the paid rate.

    Albums cannot: `copyMessages`, which sends them, has no `allow_paid_broadcast`.
    https://core.telegram.org/bots/api#copymessages
    """
    return not any(version.is_album for version in versions.values())


def max_price_in_stars(recipients: int) -> int:
    """Calculate the most that a paid broadcast can cost the bot.

    Telegram charges a tenth of a Star for each message above the free 30 per second:
    https://core.telegram.org/bots/faq#how-can-i-message-all-of-my-bot-39s-subscribers-at-once

    Args:
        recipients: The number of users, who get one message each.

    Returns:
        The cost in Stars, rounded up.
    """
    free = MESSAGES_PER_SECOND * math.ceil(recipients / PAID_MESSAGES_PER_SECOND)
    return math.ceil(max(0, recipients - free) / _MESSAGES_PER_STAR)
