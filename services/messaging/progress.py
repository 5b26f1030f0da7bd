"""The message that shows how far an order is: edited in place; an error in it never fails the order."""

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
    """The text, or its beginning and an ellipsis: `limit` characters at most."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def headline(texts: Texts, job: Job) -> str:
    """What was ordered, in a few lines of HTML: the service, the selected options and the prompts."""
    spec, t = SERVICES[job.service], texts.t
    lines = [
        t(job.language, "progress.headline", emoji=spec.emoji, name=t(job.language, f"service.{spec.id}.name"))
    ]
    if job.summary:
        lines[0] += f" · {escape(job.summary, quote=False)}"
    lines += [t(job.language, "progress.words", words=truncate(prompt)) for prompt in spec.prompts(job.inputs)]
    return "\n".join(lines)


def _progress_bar(percent: int) -> str:
    """A bar of ten characters."""
    filled = max(0, min(_BAR_LENGTH, percent * _BAR_LENGTH // 100))
    return "▰" * filled + "▱" * (_BAR_LENGTH - filled)


def running_text(texts: Texts, job: Job, percent: int | None) -> str:
    """What the message shows while the job runs; `percent` is None where the provider does not say."""
    if percent is None:
        state = texts.t(job.language, "progress.running")
    else:
        state = texts.t(job.language, "progress.percent", bar=_progress_bar(percent), percent=percent)
    return f"{headline(texts, job)}\n{state}"


def queued_text(texts: Texts, job: Job, position: int | None) -> str:
    """What the message shows while the job waits; `position` is its place in Plan B's queue, from 1."""
    if position is None:
        state = texts.t(job.language, "progress.queued")
    else:
        state = texts.t(job.language, "progress.place", place=position)
    return f"{headline(texts, job)}\n{state}"


def waiting_text(texts: Texts, job: Job) -> str:
    """For an order that waits until Plan A is back, because an admin allows no other plan."""
    return f"{headline(texts, job)}\n{texts.t(job.language, 'progress.waiting')}"


async def show_waiting(messenger: Messenger, job: Job, text: str) -> None:
    """Show a text of a job that has not started, unless the message was edited a moment ago."""
    if messenger.throttle.allow(job.id, text):
        await _edit_progress(messenger, job, text, cancel_keyboard(messenger.texts, job))


async def show_progress(messenger: Messenger, job: Job, percent: int | None) -> None:
    """Show that the job runs, and how far it is where the provider says so."""
    if percent is None and messenger.throttle.shows_running(job.id):
        return
    text = running_text(messenger.texts, job, percent)
    if messenger.throttle.allow(job.id, text, running=True):
        await _edit_progress(messenger, job, text, cancel_keyboard(messenger.texts, job))


async def finalize_progress(messenger: Messenger, job: Job) -> None:
    """Show in the message how the order ended. Where that fails, `finalize_missed` tries again."""
    messenger.throttle.forget(job.id)
    state = messenger.texts.t(job.language, f"progress.{job.state}", price=job.price)
    if await _edit_progress(messenger, job, Html(f"{headline(messenger.texts, job)}\n{state}")):
        await mark_finalized(messenger.db, job.id)


async def finalize_missed(messenger: Messenger) -> None:
    """Finalize the messages of orders that ended a while ago and do not show it, after any failure."""
    for job in await unfinalized_jobs(messenger.db, seconds=_GRACE_SECONDS, limit=_BATCH_SIZE):
        await finalize_progress(messenger, job)


async def _edit_progress(
    messenger: Messenger, job: Job, text: str, reply_markup: InlineKeyboardMarkup | None = None
) -> bool:
    """Edit the message.

    A text with a button, which is not the last one, may arrive late: after the end that another process has shown.
    Then the end is shown once more (`finalize_missed`).

    Args:
        messenger: Sends.
        job: Whose message it is; where it has none, there is nothing to do.
        text: HTML.
        reply_markup: The button that cancels the order, while it can be cancelled.

    Returns:
        False where Telegram cannot be reached, so that trying again may help.
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
