"""The message that tells a person how far their order is: edited in place, and never worth failing for."""

from html import escape

from aiogram.exceptions import TelegramAPIError
from aiogram.types import InlineKeyboardMarkup
from loguru import logger

from services.core.errors import Unavailable
from services.core.i18n import Html
from services.generation.registry import SERVICES
from services.messaging.app_context import AppContext
from services.messaging.buttons import cancel_keyboard
from services.messaging.telegram_errors import is_edit_unnecessary, to_delivery_failure
from storage.jobs.jobs import Job, clear_finalized, mark_finalized
from storage.pool import DATABASE_UNAVAILABLE

_PROMPT_PREVIEW_CHARS = 200
_BAR_LENGTH = 10


def truncate(text: str, limit: int = _PROMPT_PREVIEW_CHARS) -> str:
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def headline(studio: AppContext, job: Job) -> str:
    """What was ordered, in a few lines of HTML: the service and what was chosen, and the words."""
    spec, t = SERVICES[job.service], studio.texts.t
    lines = [
        t(job.language, "progress.headline", emoji=spec.emoji, name=t(job.language, f"service.{spec.id}.name"))
    ]
    if job.summary:
        lines[0] += f" · {escape(job.summary, quote=False)}"
    lines += [t(job.language, "progress.words", words=truncate(words)) for words in spec.prompts(job.inputs)]
    return "\n".join(lines)


def progress_bar(percent: int) -> str:
    filled = max(0, min(_BAR_LENGTH, percent * _BAR_LENGTH // 100))
    return "▰" * filled + "▱" * (_BAR_LENGTH - filled)


def running_text(studio: AppContext, job: Job, percent: int | None) -> str:
    t = studio.texts.t
    if percent is None:
        state = t(job.language, "progress.running")
    else:
        state = t(job.language, "progress.percent", bar=progress_bar(percent), percent=percent)
    return f"{headline(studio, job)}\n{state}"


def queued_text(studio: AppContext, job: Job, position: int | None) -> str:
    t = studio.texts.t
    state = (
        t(job.language, "progress.queued")
        if position is None
        else t(job.language, "progress.place", place=position)
    )
    return f"{headline(studio, job)}\n{state}"


def waiting_text(studio: AppContext, job: Job) -> str:
    """For an order that waits until Plan A is back, because an admin allows no other plan."""
    return f"{headline(studio, job)}\n{studio.texts.t(job.language, 'progress.waiting')}"


async def show_progress(studio: AppContext, job: Job, percent: int | None) -> None:
    """Say that the job runs, and how far it is where that is known."""
    if percent is None and studio.throttle.shows_running(job.id):
        return
    text = running_text(studio, job, percent)
    if studio.throttle.allow(job.id, text, running=True):
        await edit_progress(studio, job, text, cancel_keyboard(studio.texts, job))


async def finalize_progress(studio: AppContext, job: Job) -> None:
    """Turn the progress message into the order's last line; where that fails, last_words.py tries again."""
    studio.throttle.forget(job.id)
    state = studio.texts.t(job.language, f"progress.{job.state}", price=job.price)
    if await edit_progress(studio, job, Html(f"{headline(studio, job)}\n{state}")):
        await mark_finalized(studio.db, job.id)


async def edit_progress(
    studio: AppContext, job: Job, text: str, reply_markup: InlineKeyboardMarkup | None = None
) -> bool:
    """False where it may be worth trying again: Telegram cannot be reached just now.

    A text that is not the last one, which has a button to stop the order, may come late: after the end that
    another process has shown. Then that is said again (last_words.py).
    """
    if job.progress_message_id is None:
        return True
    try:
        await studio.bot_or_default(job.bot_name).edit_message_text(
            text, chat_id=job.chat_id, message_id=job.progress_message_id, reply_markup=reply_markup
        )
    except TelegramAPIError as error:
        if not is_edit_unnecessary(error):
            logger.warning("job {}: its progress message was not edited: {}", job.id, error.message)
            return not isinstance(to_delivery_failure(error), Unavailable)
    if reply_markup is not None:
        try:
            await clear_finalized(studio.db, job.id)
        except DATABASE_UNAVAILABLE as error:
            logger.warning("job {}: whether it ended meanwhile is not known: {}", job.id, error)
    return True
