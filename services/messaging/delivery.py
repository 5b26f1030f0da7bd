"""Brings an order's end to the person's chat: the result, or why there is none."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from aiogram import Bot
from aiogram.exceptions import TelegramAPIError
from aiogram.types import BufferedInputFile, InlineKeyboardMarkup, InputMediaPhoto, Message, ReplyParameters
from loguru import logger

from services.core.errors import Failure, PermanentFailure
from services.generation.result import JobResult, Media
from services.messaging.app_context import AppContext
from services.messaging.buttons import failure_keyboard, result_keyboard
from services.messaging.progress import headline, truncate
from services.messaging.telegram_errors import is_user_unreachable, to_delivery_failure
from storage.jobs.blobs import get_blob
from storage.jobs.jobs import Job
from storage.money.ledger import get_balance
from storage.users.users import set_inactive

T = TypeVar("T")
SentIds = dict[str, Any]
"""Telegram's ids of what was sent: of the messages, and of the files, by which they can be sent again."""

_EXTENSIONS = {"photo": "png", "video": "mp4", "voice": "ogg"}
_MAX_TEXT_CHARS = 3000


async def deliver_result(studio: AppContext, job: Job, result: JobResult) -> SentIds:
    """Send the result: one piece with its words and buttons, several as an album. Raises Failure.

    A person who blocked the bot gets nothing, so the order fails and costs nothing.
    """
    files = [await _download(studio, job, media, number) for number, media in enumerate(result.media, 1)]
    caption, markup = await _caption(studio, job, result)
    messages = await send_if_reachable(studio, job, lambda bot: _send(bot, job, result, files, caption, markup))
    if messages is None:
        raise PermanentFailure("failure.unreachable")
    return {
        "message_ids": [m.message_id for m in messages],
        "file_ids": [i for m in messages if (i := _file_id(m))],
    }


async def deliver_caption(studio: AppContext, job: Job, result: JobResult, sent_ids: SentIds) -> SentIds:
    """An album cannot carry buttons, so its words and buttons are a message of their own. Raises Failure."""
    caption, markup = await _caption(studio, job, result)
    album = ReplyParameters(message_id=sent_ids["message_ids"][0], allow_sending_without_reply=True)
    message = await send_if_reachable(
        studio,
        job,
        lambda bot: bot.send_message(job.chat_id, caption, reply_markup=markup, reply_parameters=album),
    )
    return _message_ids(message)


async def send_failure(studio: AppContext, job: Job, failure: Failure) -> SentIds:
    """Say what went wrong, what to do now, and that the Stars are back."""
    t = studio.texts.t
    lines = [t(job.language, failure.key, **failure.params)]
    if job.price:
        lines.append(t(job.language, "failure.returned", job.price))
    text = "\n".join([headline(studio, job), *lines])
    markup = failure_keyboard(studio.texts, job)
    return _message_ids(
        await send_if_reachable(studio, job, lambda bot: bot.send_message(job.chat_id, text, reply_markup=markup))
    )


def _message_ids(message: Message | None) -> SentIds:
    return {"message_ids": [message.message_id] if message else []}


async def send_if_reachable(studio: AppContext, job: Job, send: Callable[[Bot], Awaitable[T]]) -> T | None:
    """What `send` gives, or None where nothing can reach the person any more. Raises Failure."""
    try:
        return await send(studio.bot_or_default(job.bot_name))
    except TelegramAPIError as error:
        if not is_user_unreachable(error):
            raise to_delivery_failure(error) from error
        logger.info("job {}: person {} cannot be reached: {}", job.id, job.user_id, error.message)
        await set_inactive(studio.db, job.user_id)
        return None


async def _download(studio: AppContext, job: Job, media: Media, number: int) -> BufferedInputFile:
    if media.blob:
        content = await get_blob(studio.db, job.id, media.output)
        if content is None:
            raise PermanentFailure("failure.delivery", detail=f"blob {media.output} is gone")
    else:
        content = await studio.providers.media.fetch(media.output)
    return BufferedInputFile(content, filename=f"diptych-{number}.{_EXTENSIONS[media.kind]}")


async def _caption(studio: AppContext, job: Job, result: JobResult) -> tuple[str, InlineKeyboardMarkup]:
    """What stands under a result: what it is, what it cost, what can be done next."""
    t, balance = studio.texts.t, (await get_balance(studio.db, job.user_id)).available
    lines = [headline(studio, job)]
    if result.text:
        lines.append(t(job.language, "result.text", text=truncate(result.text, _MAX_TEXT_CHARS)))
    if result.note:
        lines.append(t(job.language, result.note))
    lines.append(t(job.language, "result.paid", price=job.price, balance=balance))
    if result.offline:
        lines.append(t(job.language, "result.offline"))
    return "\n".join(lines), result_keyboard(studio.texts, job)


async def _send(
    bot: Bot,
    job: Job,
    result: JobResult,
    files: Sequence[BufferedInputFile],
    caption: str,
    markup: InlineKeyboardMarkup,
) -> list[Message]:
    if not files:
        return [await bot.send_message(job.chat_id, caption, reply_markup=markup)]
    if len(files) > 1:
        return await bot.send_media_group(job.chat_id, [InputMediaPhoto(media=file) for file in files])
    send = {"photo": bot.send_photo, "video": bot.send_video, "voice": bot.send_voice}[result.media[0].kind]
    return [await send(job.chat_id, files[0], caption=caption, reply_markup=markup)]  # type: ignore[operator]


def _file_id(message: Message) -> str | None:
    if message.photo:
        return message.photo[-1].file_id
    media = message.video or message.voice or message.animation
    return media.file_id if media else None
