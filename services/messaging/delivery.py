"""Delivers the outcome of an order to the user's chat: the result, or the reason why it failed."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from aiogram import Bot
from aiogram.types import BufferedInputFile, InlineKeyboardMarkup, InputMediaPhoto, Message

from providers.protocols import PredictionProvider
from services.core.errors import Failure, PermanentFailure
from services.core.i18n import Texts
from services.generation.result import JobResult, Media
from services.messaging.buttons import failure_keyboard, result_keyboard
from services.messaging.messenger import Messenger
from services.messaging.progress import headline, truncate
from storage.jobs.blobs import get_blob
from storage.jobs.jobs import Job
from storage.money.ledger import get_balance

SentIds = dict[str, Any]
"""Telegram's ids of the sent messages and files. The file ids allow the files to be sent again."""

_EXTENSIONS: Final = {"photo": "png", "video": "mp4", "voice": "ogg"}
_MAX_RESULT_TEXT_CHARS: Final = 3000


async def deliver_result(
    messenger: Messenger, provider: PredictionProvider, job: Job, result: JobResult
) -> SentIds:
    """Send a result: a single file with caption and buttons, or several files as an album.

    Args:
        messenger: Sends the messages.
        provider: The provider from which the media are downloaded.
        job: The order.
        result: The result.

    Returns:
        Telegram's ids of the messages and files.

    Raises:
        Failure: Telegram cannot be reached or refuses, or the user has blocked the bot.
    """
    files = [await _load(messenger, provider, job, media, number) for number, media in enumerate(result.media, 1)]
    caption, markup = await _caption(messenger, job, result)
    messages = await messenger.call(
        job.user_id, job.bot_name, lambda bot: _send(bot, job, result, files, caption, markup)
    )
    if messages is None:
        raise PermanentFailure("failure.unreachable")
    return {
        "message_ids": [message.message_id for message in messages],
        "file_ids": [file_id for message in messages if (file_id := _file_id(message))],
    }


async def deliver_caption(messenger: Messenger, job: Job, result: JobResult, sent_ids: SentIds) -> SentIds:
    """Send an album's caption and buttons as a separate message, because albums cannot have buttons.

    Args:
        messenger: Sends the message.
        job: The order.
        result: The result.
        sent_ids: The ids returned by `deliver_result`. The message replies to the album.

    Returns:
        Telegram's id of the message.

    Raises:
        Failure: Telegram cannot be reached or refuses.
    """
    caption, markup = await _caption(messenger, job, result)
    album = sent_ids["message_ids"][0]
    return _sent_ids(await messenger.send_text(job.user_id, job.bot_name, caption, markup, reply_to=album))


async def send_failure(messenger: Messenger, job: Job, failure: Failure) -> SentIds:
    """Tell the user why the order failed, what to do now, and that the credits are returned. Raises Failure."""
    text = failure_text(messenger.texts, job, failure.key, failure.params)
    markup = failure_keyboard(messenger.texts, job)
    return _sent_ids(await messenger.send_text(job.user_id, job.bot_name, text, markup))


def caption_text(texts: Texts, job: Job, result: JobResult, balance: int | None) -> str:
    """Build the caption of a result: what was ordered, and what it cost.

    Args:
        texts: The texts.
        job: The order.
        result: The result.
        balance: The user's available credits; None omits the line with price and balance.
    """
    t = texts.t
    lines = [headline(texts, job)]
    if result.text:
        lines.append(t(job.language, "result.text", text=truncate(result.text, _MAX_RESULT_TEXT_CHARS)))
    if result.note:
        lines.append(t(job.language, result.note))
    if balance is not None:
        lines.append(t(job.language, "result.paid", price=job.price, balance=balance))
    if result.offline:
        lines.append(t(job.language, "result.offline"))
    return "\n".join(lines)


def failure_text(texts: Texts, job: Job, key: str, params: Mapping[str, Any]) -> str:
    """Build the message about a failed order: the reason, what to do now, and that the credits are returned.

    Args:
        texts: The texts.
        job: The order.
        key: The key of the failure's text, such as `failure.provider`.
        params: Values for the text's placeholders.
    """
    lines = [headline(texts, job), texts.t(job.language, key, **params)]
    if job.price:
        lines.append(texts.t(job.language, "failure.returned", job.price))
    return "\n".join(lines)


def _sent_ids(message_id: int | None) -> SentIds:
    return {"message_ids": [message_id] if message_id is not None else []}


async def _load(
    messenger: Messenger, provider: PredictionProvider, job: Job, media: Media, number: int
) -> BufferedInputFile:
    if media.blob:
        content = await get_blob(messenger.db, job.id, media.output)
        if content is None:
            raise PermanentFailure("failure.delivery", detail=f"blob {media.output} does not exist")
    else:
        content = await provider.fetch(media.output)
    return BufferedInputFile(content, filename=f"diptych-{number}.{_EXTENSIONS[media.kind]}")


async def _caption(messenger: Messenger, job: Job, result: JobResult) -> tuple[str, InlineKeyboardMarkup]:
    """Build the caption and buttons of a result."""
    balance = (await get_balance(messenger.db, job.user_id)).available
    return caption_text(messenger.texts, job, result, balance), result_keyboard(messenger.texts, job)


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
