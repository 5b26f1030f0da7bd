"""Brings an order's end to the person's chat: the result, or why there is none."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from aiogram import Bot
from aiogram.exceptions import TelegramAPIError
from aiogram.types import BufferedInputFile, InlineKeyboardMarkup, InputMediaPhoto, Message, ReplyParameters
from loguru import logger

from services.core.errors import Broken, Failure
from services.generation.result import Media, Result
from services.messaging.app_context import Studio
from services.messaging.buttons import failure_keyboard, result_keyboard
from services.messaging.progress import headline, shorten
from services.messaging.telegram_errors import delivery_failure, person_is_gone
from storage.jobs.blobs import get_blob
from storage.jobs.jobs import Job
from storage.money.ledger import get_balance
from storage.users.users import set_inactive

T = TypeVar("T")
Sent = dict[str, Any]
"""Telegram's ids of what was sent: of the messages, and of the files, by which they can be sent again."""

_NAMES = {"photo": "png", "video": "mp4", "voice": "ogg"}
_TEXT = 3000


async def deliver(studio: Studio, job: Job, result: Result) -> Sent:
    """Send the result: one piece with its words and buttons, several as an album. Raises Failure.

    A person who blocked the bot gets nothing, so the order fails and costs nothing.
    """
    files = [await _download(studio, job, media, number) for number, media in enumerate(result.media, 1)]
    words, markup = await _words(studio, job, result)
    sent = await reach(studio, job, lambda bot: _send(bot, job, result, files, words, markup))
    if sent is None:
        raise Broken("failure.unreachable")
    return {"message_ids": [m.message_id for m in sent], "file_ids": [i for m in sent if (i := _file_id(m))]}


async def deliver_words(studio: Studio, job: Job, result: Result, sent: Sent) -> Sent:
    """An album cannot carry buttons, so its words and buttons are a message of their own. Raises Failure."""
    words, markup = await _words(studio, job, result)
    album = ReplyParameters(message_id=sent["message_ids"][0], allow_sending_without_reply=True)
    message = await reach(
        studio, job, lambda bot: bot.send_message(job.chat_id, words, reply_markup=markup, reply_parameters=album)
    )
    return _sent(message)


async def tell_failure(studio: Studio, job: Job, failure: Failure) -> Sent:
    """Say what went wrong, what to do now, and that the Stars are back."""
    t = studio.texts.t
    lines = [t(job.language, failure.key, **failure.params)]
    if job.price:
        lines.append(t(job.language, "failure.returned", job.price))
    text = "\n".join([headline(studio, job), *lines])
    markup = failure_keyboard(studio.texts, job)
    return _sent(await reach(studio, job, lambda bot: bot.send_message(job.chat_id, text, reply_markup=markup)))


def _sent(message: Message | None) -> Sent:
    return {"message_ids": [message.message_id] if message else []}


async def reach(studio: Studio, job: Job, send: Callable[[Bot], Awaitable[T]]) -> T | None:
    """What `send` gives, or None where nothing can reach the person any more. Raises Failure."""
    try:
        return await send(studio.bot(job.bot_name))
    except TelegramAPIError as error:
        if not person_is_gone(error):
            raise delivery_failure(error) from error
        logger.info("job {}: person {} cannot be reached: {}", job.id, job.user_id, error.message)
        await set_inactive(studio.db, job.user_id)
        return None


async def _download(studio: Studio, job: Job, media: Media, number: int) -> BufferedInputFile:
    if media.blob:
        content = await get_blob(studio.db, job.id, media.output)
        if content is None:
            raise Broken("failure.delivery", detail=f"blob {media.output} is gone")
    else:
        content = await studio.providers.media.fetch(media.output)
    return BufferedInputFile(content, filename=f"diptych-{number}.{_NAMES[media.kind]}")


async def _words(studio: Studio, job: Job, result: Result) -> tuple[str, InlineKeyboardMarkup]:
    """What stands under a result: what it is, what it cost, what can be done next."""
    t, balance = studio.texts.t, (await get_balance(studio.db, job.user_id)).available
    lines = [headline(studio, job)]
    if result.text:
        lines.append(t(job.language, "result.text", text=shorten(result.text, _TEXT)))
    if result.note:
        lines.append(t(job.language, result.note))
    lines.append(t(job.language, "result.paid", price=job.price, balance=balance))
    if result.offline:
        lines.append(t(job.language, "result.offline"))
    return "\n".join(lines), result_keyboard(studio.texts, job)


async def _send(
    bot: Bot,
    job: Job,
    result: Result,
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
