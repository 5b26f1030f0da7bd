"""How far a broadcast is: one message in the admin's chat, edited; and the same in numbers, for the dashboard."""

from dataclasses import dataclass

from aiogram.exceptions import TelegramAPIError
from aiogram.types import InlineKeyboardMarkup
from loguru import logger

from services.broadcast.buttons import progress_keyboard
from services.broadcast.content import content_versions
from services.core.i18n import DEFAULT_LANGUAGE, Texts
from services.messaging.app_context import AppContext
from services.messaging.telegram_errors import is_edit_unnecessary
from storage.messaging.broadcast_recipients import RecipientCounts, count_recipients, failure_reasons
from storage.messaging.broadcasts import Broadcast, get_broadcast, latest_broadcast, set_progress_message
from storage.pool import Executor
from storage.users.users import get_user


@dataclass(frozen=True)
class BroadcastProgress:
    """`left` is the people still to come, `seconds_left` how long they take at the rate of the last 10 s."""

    broadcast: Broadcast
    counts: RecipientCounts

    @property
    def remaining(self) -> int:
        return self.counts.waiting if self.broadcast.task == "send" else self.counts.edits_waiting

    @property
    def seconds_left(self) -> float | None:
        running = self.broadcast.state == "running" and self.counts.rate > 0
        return self.remaining / self.counts.rate if running else None


async def get_broadcast_progress(db: Executor) -> BroadcastProgress | None:
    """How far the broadcast is that runs, or else the last one. None where there never was one."""
    broadcast = await latest_broadcast(db)
    return None if broadcast is None else BroadcastProgress(broadcast, await count_recipients(db, broadcast.id))


def progress_text(
    texts: Texts, language: str, progress: BroadcastProgress, reason_counts: list[tuple[str, int]]
) -> str:
    broadcast, counts = progress.broadcast, progress.counts

    def t(key: str, **params: str | int) -> str:
        return texts.t(language, key, **params)

    lines = [t(f"broadcast.title.{broadcast.task}", state=t(f"broadcast.state.{broadcast.state}")), ""]
    if broadcast.task == "send":
        lines.append(t("broadcast.sent", sent=counts.sent, total=counts.total))
    else:
        total = counts.edits_waiting + counts.edits_done + counts.edits_refused
        lines.append(t("broadcast.revised", done=counts.edits_done, total=total))
        if counts.edits_refused:
            lines.append(t("broadcast.refused", count=counts.edits_refused))
    for key, count in (("failed", counts.failed), ("blocked", counts.blocked), ("unknown", counts.unknown)):
        if broadcast.task == "send":
            lines.append(t(f"broadcast.{key}", count=count))
    lines += [t("broadcast.reason", why=reason, count=count) for reason, count in reason_counts]
    if (seconds := progress.seconds_left) is not None:
        lines.append(t("broadcast.rate", rate=f"{counts.rate:.1f}", left=_format_duration(seconds)))
    return "\n".join(lines)


async def show_progress(studio: AppContext, broadcast: Broadcast) -> None:
    """Edit the message that tells; send it where there is none (any more). Telegram's refusal harms nobody."""
    user = await get_user(studio.db, broadcast.admin_id)
    language = user.language if user else DEFAULT_LANGUAGE
    reason_counts = await failure_reasons(studio.db, broadcast.id, edits=broadcast.task != "send")
    progress = BroadcastProgress(broadcast, await count_recipients(studio.db, broadcast.id))
    text = progress_text(studio.texts, language, progress, reason_counts)
    editable = [key for key, version in content_versions(broadcast).items() if version.kind != "other"]
    markup = progress_keyboard(studio.texts, language, broadcast, editable)
    try:
        if not await _try_edit(studio, broadcast, text, markup):
            message = await studio.bot_or_default(broadcast.bot_name).send_message(
                broadcast.admin_id, text, reply_markup=markup
            )
            await set_progress_message(studio.db, broadcast.id, message.message_id)
    except TelegramAPIError as error:
        logger.debug("broadcast {}: its progress is not shown: {}", broadcast.id, error.message)


async def _try_edit(studio: AppContext, broadcast: Broadcast, text: str, markup: InlineKeyboardMarkup) -> bool:
    """False where there is no message to edit (any more)."""
    message_id = broadcast.progress_message_id
    if message_id is None:
        return False
    bot, chat = studio.bot_or_default(broadcast.bot_name), broadcast.admin_id
    try:
        await bot.edit_message_text(text, chat_id=chat, message_id=message_id, reply_markup=markup)
    except TelegramAPIError as error:
        if "not modified" in error.message:
            return True
        if is_edit_unnecessary(error):
            return False
        raise
    return True


async def show_final_progress(studio: AppContext, broadcast: Broadcast) -> None:
    """How it ended, or that it does not run just now; as it stands in the database by then."""
    current = await get_broadcast(studio.db, broadcast.id)
    if current is not None:
        await show_progress(studio, current)


def _format_duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"
