"""The progress message of a broadcast: one message in the admin's chat that is edited, with buttons under it."""

from dataclasses import dataclass
from uuid import UUID

from aiogram import Bot
from aiogram.exceptions import TelegramAPIError
from aiogram.filters.callback_data import CallbackData
from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup
from loguru import logger

from services.broadcast.content import FOR_ALL, content_versions
from services.core.i18n import DEFAULT_LANGUAGE, Texts
from services.messaging.buttons import button, keyboard
from services.messaging.messenger import Messenger
from services.messaging.telegram_errors import is_edit_unnecessary
from storage.messaging.broadcast_recipients import RecipientCounts, count_recipients, failure_reasons
from storage.messaging.broadcasts import Broadcast, latest_broadcast, set_progress_message
from storage.pool import Executor
from storage.users.users import get_user


class BroadcastCallback(CallbackData, prefix="bc"):
    """Act on a broadcast, from its card or progress message.

    Attributes:
        id: The broadcast's id.
        action: The action: `write`, `send`, `pause` …
        value: The key of a version, or a condition for the audience.
    """

    id: UUID
    action: str
    value: str = ""


@dataclass(frozen=True)
class BroadcastProgress:
    """A broadcast and the number of its recipients in each state."""

    broadcast: Broadcast
    counts: RecipientCounts

    @property
    def remaining(self) -> int:
        """The number of recipients still pending in the current task (send, edit or delete)."""
        return self.counts.waiting if self.broadcast.task == "send" else self.counts.edits_waiting

    @property
    def seconds_left(self) -> float | None:
        """Estimated seconds until it is done, at the rate of the last 10 seconds; None while nothing is being sent."""
        running = self.broadcast.state == "running" and self.counts.rate > 0
        return self.remaining / self.counts.rate if running else None


async def get_broadcast_progress(db: Executor) -> BroadcastProgress | None:
    """Return the progress of the running broadcast or else of the latest one; None if none was ever started."""
    broadcast = await latest_broadcast(db)
    return None if broadcast is None else BroadcastProgress(broadcast, await count_recipients(db, broadcast.id))


async def show_progress(messenger: Messenger, broadcast: Broadcast) -> None:
    """Edit the progress message, or send a new one if there is none or it can no longer be edited.

    Telegram's errors are only logged, because a broadcast does not depend on its progress message.

    Args:
        messenger: The bots, texts and database.
        broadcast: The broadcast's current row, since the message shows its state.
    """
    db, texts, bot = messenger.db, messenger.texts, messenger.bots.get(broadcast.bot_name)
    user = await get_user(db, broadcast.admin_id)
    language = user.language if user else DEFAULT_LANGUAGE
    reason_counts = await failure_reasons(db, broadcast.id, edits=broadcast.task != "send")
    progress = BroadcastProgress(broadcast, await count_recipients(db, broadcast.id))
    text = _progress_text(texts, language, progress, reason_counts)
    markup = _progress_keyboard(texts, language, broadcast)
    try:
        if not await _try_edit(bot, broadcast, text, markup):
            message = await bot.send_message(broadcast.admin_id, text, reply_markup=markup)
            await set_progress_message(db, broadcast.id, message.message_id)
    except TelegramAPIError as error:
        logger.debug("broadcast progress not shown", broadcast=broadcast.id, error=error.message)


async def _try_edit(bot: Bot, broadcast: Broadcast, text: str, markup: InlineKeyboardMarkup) -> bool:
    """Edit the progress message. Returns False if there is none that can be edited."""
    message_id = broadcast.progress_message_id
    if message_id is None:
        return False
    try:
        await bot.edit_message_text(text, chat_id=broadcast.admin_id, message_id=message_id, reply_markup=markup)
    except TelegramAPIError as error:
        if "not modified" in error.message:
            return True
        if is_edit_unnecessary(error):
            return False
        raise
    return True


def _progress_text(
    texts: Texts, language: str, progress: BroadcastProgress, reason_counts: list[tuple[str, int]]
) -> str:
    broadcast, counts = progress.broadcast, progress.counts

    def t(key: str, **params: str | int) -> str:
        return texts.t(language, key, **params)

    lines = [t(f"broadcast.title.{broadcast.task}", state=t(f"broadcast.state.{broadcast.state}")), ""]
    if broadcast.task == "send":
        lines.append(t("broadcast.sent", sent=counts.sent, total=counts.total))
        for key, count in (("failed", counts.failed), ("blocked", counts.blocked), ("unknown", counts.unknown)):
            lines.append(t(f"broadcast.{key}", count=count))
    else:
        total = counts.edits_waiting + counts.edits_done + counts.edits_refused
        lines.append(t("broadcast.revised", done=counts.edits_done, total=total))
        if counts.edits_refused:
            lines.append(t("broadcast.refused", count=counts.edits_refused))
    lines += [t("broadcast.reason", why=reason, count=count) for reason, count in reason_counts]
    if (seconds := progress.seconds_left) is not None:
        minutes, remainder = divmod(round(seconds), 60)
        lines.append(t("broadcast.rate", rate=f"{counts.rate:.1f}", left=f"{minutes}:{remainder:02}"))
    return "\n".join(lines)


def _progress_keyboard(texts: Texts, language: str, broadcast: Broadcast) -> InlineKeyboardMarkup:
    """Create the buttons for the broadcast's state. There is an edit button for each editable version."""
    editable = [key for key, version in content_versions(broadcast).items() if version.kind != "other"]

    def action_button(action: str, value: str = "") -> InlineKeyboardButton:
        label = texts.t(language, f"broadcast.button.{action}")
        if len(editable) > 1 and value:
            label += f" · {texts.t(language, 'broadcast.for_all') if value == FOR_ALL else value}"
        return button(label, BroadcastCallback(id=broadcast.id, action=action, value=value))

    if broadcast.state == "running":
        return keyboard([[action_button("pause"), action_button("stop")]])
    if broadcast.state == "paused":
        return keyboard([[action_button("resume"), action_button("stop")]])
    return keyboard([*([action_button("edit", version)] for version in editable), [action_button("delete")]])
