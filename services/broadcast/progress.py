"""How far a broadcast is: one message in the admin's chat, edited; and the same in numbers, for the dashboard."""

from dataclasses import dataclass

from aiogram.exceptions import TelegramAPIError
from aiogram.types import InlineKeyboardMarkup
from loguru import logger

from services.broadcast.buttons import progress_keyboard
from services.broadcast.content import versions_of
from services.core.i18n import DEFAULT_LANGUAGE, Texts
from services.messaging.app_context import Studio
from services.messaging.telegram_errors import nothing_to_edit
from storage.messaging.broadcast_recipients import Counts, count_recipients, reasons
from storage.messaging.broadcasts import Broadcast, get_broadcast, latest_broadcast, set_progress_message
from storage.pool import Executor
from storage.users.users import get_user


@dataclass(frozen=True)
class Progress:
    """`left` is the people still to come, `seconds_left` how long they take at the rate of the last 10 s."""

    broadcast: Broadcast
    counts: Counts

    @property
    def left(self) -> int:
        return self.counts.waiting if self.broadcast.task == "send" else self.counts.unrevised

    @property
    def seconds_left(self) -> float | None:
        running = self.broadcast.state == "running" and self.counts.rate > 0
        return self.left / self.counts.rate if running else None


async def broadcast_progress(db: Executor) -> Progress | None:
    """How far the broadcast is that runs, or else the last one. None where there never was one."""
    broadcast = await latest_broadcast(db)
    return None if broadcast is None else Progress(broadcast, await count_recipients(db, broadcast.id))


def progress_text(texts: Texts, language: str, progress: Progress, refusals: list[tuple[str, int]]) -> str:
    broadcast, counts = progress.broadcast, progress.counts

    def t(key: str, **params: str | int) -> str:
        return texts.t(language, key, **params)

    lines = [t(f"broadcast.title.{broadcast.task}", state=t(f"broadcast.state.{broadcast.state}")), ""]
    if broadcast.task == "send":
        lines.append(t("broadcast.sent", sent=counts.sent, total=counts.total))
    else:
        total = counts.unrevised + counts.revised + counts.refused
        lines.append(t("broadcast.revised", done=counts.revised, total=total))
        if counts.refused:
            lines.append(t("broadcast.refused", count=counts.refused))
    for key, count in (("failed", counts.failed), ("blocked", counts.blocked), ("unknown", counts.unknown)):
        if broadcast.task == "send":
            lines.append(t(f"broadcast.{key}", count=count))
    lines += [t("broadcast.reason", why=why, count=count) for why, count in refusals]
    if (seconds := progress.seconds_left) is not None:
        lines.append(t("broadcast.rate", rate=f"{counts.rate:.1f}", left=_clock(seconds)))
    return "\n".join(lines)


async def show_progress(studio: Studio, broadcast: Broadcast) -> None:
    """Edit the message that tells; send it where there is none (any more). Telegram's refusal harms nobody."""
    user = await get_user(studio.db, broadcast.admin_id)
    language = user.language if user else DEFAULT_LANGUAGE
    refusals = await reasons(studio.db, broadcast.id, revision=broadcast.task != "send")
    progress = Progress(broadcast, await count_recipients(studio.db, broadcast.id))
    text = progress_text(studio.texts, language, progress, refusals)
    editable = [key for key, version in versions_of(broadcast).items() if version.kind != "other"]
    markup = progress_keyboard(studio.texts, language, broadcast, editable)
    try:
        if not await _edit(studio, broadcast, text, markup):
            shown = await studio.bot(broadcast.bot_name).send_message(
                broadcast.admin_id, text, reply_markup=markup
            )
            await set_progress_message(studio.db, broadcast.id, shown.message_id)
    except TelegramAPIError as error:
        logger.debug("broadcast {}: its progress is not shown: {}", broadcast.id, error.message)


async def _edit(studio: Studio, broadcast: Broadcast, text: str, markup: InlineKeyboardMarkup) -> bool:
    """False where there is no message to edit (any more)."""
    message_id = broadcast.progress_message_id
    if message_id is None:
        return False
    bot, chat = studio.bot(broadcast.bot_name), broadcast.admin_id
    try:
        await bot.edit_message_text(text, chat_id=chat, message_id=message_id, reply_markup=markup)
    except TelegramAPIError as error:
        if "not modified" in error.message:
            return True
        if nothing_to_edit(error):
            return False
        raise
    return True


async def show_end(studio: Studio, broadcast: Broadcast) -> None:
    """How it ended, or that it does not run just now; as it stands in the database by then."""
    now = await get_broadcast(studio.db, broadcast.id)
    if now is not None:
        await show_progress(studio, now)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"
