"""The progress message of an order. It is edited in place, and an error in an edit never fails the order."""

from html import escape
from typing import Final

from aiogram.exceptions import TelegramAPIError
from aiogram.types import InlineKeyboardMarkup
from loguru import logger

from services.core.errors import Unavailable
from services.core.i18n import Html, Texts
from services.generation.registry import SERVICES
from services.messaging.buttons import cancel_keyboard
from services.messaging.messenger import Messenger
from services.messaging.telegram_errors import is_edit_unnecessary, to_delivery_failure
from storage.jobs.jobs import Job, clear_finalized, mark_finalized, unfinalized_jobs
from storage.pool import DATABASE_UNAVAILABLE

_PROMPT_PREVIEW_CHARS: Final = 200
_BAR_LENGTH: Final = 10
_GRACE_SECONDS: Final = 3.0
_BATCH_SIZE: Final = 20


def truncate(text: str, limit: int = _PROMPT_PREVIEW_CHARS) -> str:
    """Shorten a text to `limit` characters, with an ellipsis at the end."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def headline(texts: Texts, job: Job) -> str:
    """Describe an order in a few lines of HTML: the service, the chosen options and the prompts."""
    spec, t = SERVICES[job.service], texts.t
    lines = [
        t(job.language, "progress.headline", emoji=spec.emoji, name=t(job.language, f"service.{spec.id}.name"))
    ]
    if job.summary:
        lines[0] += f" · {escape(job.summary, quote=False)}"
    lines += [t(job.language, "progress.words", words=truncate(prompt)) for prompt in spec.prompts(job.inputs)]
    return "\n".join(lines)


def _progress_bar(percent: int) -> str:
    """Draw a progress bar of ten characters."""
    filled = max(0, min(_BAR_LENGTH, percent * _BAR_LENGTH // 100))
    return "▰" * filled + "▱" * (_BAR_LENGTH - filled)


def running_text(texts: Texts, job: Job, percent: int | None) -> str:
    """Build the text for a running job. `percent` is None if the provider does not report it."""
    if percent is None:
        state = texts.t(job.language, "progress.running")
    else:
        state = texts.t(job.language, "progress.percent", bar=_progress_bar(percent), percent=percent)
    return f"{headline(texts, job)}\n{state}"


def queued_text(texts: Texts, job: Job, position: int | None) -> str:
    """Build the text for a queued job. `position` is its position in Plan B's queue, from 1."""
    if position is None:
        state = texts.t(job.language, "progress.queued")
    else:
        state = texts.t(job.language, "progress.place", place=position)
    return f"{headline(texts, job)}\n{state}"


def waiting_text(texts: Texts, job: Job) -> str:
    """Build the text for an order that waits for Inngest, because its mode allows no other plan."""
    return f"{headline(texts, job)}\n{texts.t(job.language, 'progress.waiting')}"


async def show_waiting(messenger: Messenger, job: Job, text: str) -> None:
    """Show the text of a job that has not started, unless the throttle rejects the edit."""
    if messenger.throttle.allow(job.id, text):
        await _edit_progress(messenger, job, text, cancel_keyboard(messenger.texts, job))


async def show_progress(messenger: Messenger, job: Job, percent: int | None) -> None:
    """Show that the job is running, with its progress in percent if the provider reports it."""
    if percent is None and messenger.throttle.shows_running(job.id):
        return
    text = running_text(messenger.texts, job, percent)
    if messenger.throttle.allow(job.id, text, running=True):
        await _edit_progress(messenger, job, text, cancel_keyboard(messenger.texts, job))


async def finalize_progress(messenger: Messenger, job: Job) -> None:
    """Show in the message how the order ended. If this fails, `finalize_missed` tries again."""
    messenger.throttle.forget(job.id)
    state = messenger.texts.t(job.language, f"progress.{job.state}", price=job.price)
    if await _edit_progress(messenger, job, Html(f"{headline(messenger.texts, job)}\n{state}")):
        await mark_finalized(messenger.db, job.id)


async def finalize_missed(messenger: Messenger) -> None:
    """Finalize the progress messages that `finalize_progress` missed. Called periodically."""
    for job in await unfinalized_jobs(messenger.db, seconds=_GRACE_SECONDS, limit=_BATCH_SIZE):
        await finalize_progress(messenger, job)


async def _edit_progress(
    messenger: Messenger, job: Job, text: str, reply_markup: InlineKeyboardMarkup | None = None
) -> bool:
    """Edit the progress message.

    An intermediate text, which has a button, may arrive late and overwrite the final text that another process has
    shown. So after such an edit the message is marked as not finalized, and `finalize_missed` shows the end again.

    Args:
        messenger: Makes the edit.
        job: The job. Nothing is done if it has no progress message.
        text: The new text, as HTML.
        reply_markup: The cancel button, while the order can be cancelled.

    Returns:
        False if Telegram cannot be reached, so that a retry may help.
    """
    if job.progress_message_id is None:
        return True
    try:
        await messenger.bots.get(job.bot_name).edit_message_text(
            text, chat_id=job.chat_id, message_id=job.progress_message_id, reply_markup=reply_markup
        )
    except TelegramAPIError as error:
        if not is_edit_unnecessary(error):
            logger.warning("progress not shown", job=job.id, error=error.message)
            return not isinstance(to_delivery_failure(error), Unavailable)
    if reply_markup is not None:
        try:
            await clear_finalized(messenger.db, job.id)
        except DATABASE_UNAVAILABLE as error:
            logger.warning("progress may be out of date, database unavailable", job=job.id, error=error)
    return True
