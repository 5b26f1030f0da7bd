"""Brings an order's end to the person's chat: the result, or why there is none."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from aiogram import Bot
from aiogram.exceptions import TelegramAPIError
from aiogram.types import BufferedInputFile, InputMediaPhoto, Message
from loguru import logger

from providers.protocols import PredictionProvider
from services.buttons import failure_keyboard, result_keyboard
from services.errors import Failure
from services.generation.registry import SERVICES
from services.generation.spec import Media, Result
from services.progress import headline
from services.studio import Studio
from services.telegram_errors import delivery_failure, person_is_gone
from storage.jobs import Job
from storage.ledger import get_balance
from storage.users import set_inactive

Delivered = dict[str, Any]
"""What a job's `result` holds: the media as made, and Telegram's ids of what was sent."""


async def deliver(studio: Studio, job: Job, result: Result) -> Delivered:
    """Send the result with its buttons. Raises Failure."""
    files = await _download(studio.providers.images, result.media)
    balance = await get_balance(studio.db, job.user_id)
    caption = _caption(studio, job, result, balance.available)
    sent = await _reach(studio, job, lambda bot: _send(studio, bot, job, files, caption))
    if sent is None:
        return {"media": [asdict(media) for media in result.media], "undelivered": True}
    return {
        "media": [asdict(media) for media in result.media],
        "message_ids": [message.message_id for message in sent],
        "file_ids": [message.photo[-1].file_id for message in sent if message.photo],
        "offline": result.offline,
    }


async def tell_failure(studio: Studio, job: Job, failure: Failure) -> None:
    """Say what went wrong, what to do now, and that the Stars are back."""
    t = studio.texts.t
    lines = [t(job.language, failure.key, **failure.params)]
    if job.price:
        lines.append(t(job.language, "failure.returned", job.price))
    text = "\n".join([headline(studio, job), *lines])
    markup = failure_keyboard(studio.texts, job)
    await _reach(studio, job, lambda bot: bot.send_message(job.chat_id, text, reply_markup=markup))


async def _download(provider: PredictionProvider, media: Sequence[Media]) -> list[BufferedInputFile]:
    return [
        BufferedInputFile(await provider.fetch(each.output), filename=f"diptych-{number}.png")
        for number, each in enumerate(media, 1)
    ]


def _caption(studio: Studio, job: Job, result: Result, balance: int) -> str:
    t = studio.texts.t
    lines = [headline(studio, job), t(job.language, "result.paid", price=job.price, balance=balance)]
    if result.offline:
        lines.append(t(job.language, "result.offline"))
    return "\n".join(lines)


async def _send(
    studio: Studio, bot: Bot, job: Job, files: Sequence[BufferedInputFile], caption: str
) -> list[Message]:
    markup = result_keyboard(studio.texts, SERVICES[job.service], job)
    if len(files) == 1:
        return [await bot.send_photo(job.chat_id, files[0], caption=caption, reply_markup=markup)]
    album = await bot.send_media_group(job.chat_id, [InputMediaPhoto(media=file) for file in files])
    # An album cannot carry buttons, so its words and buttons are a message of their own.
    words = await bot.send_message(
        job.chat_id, caption, reply_markup=markup, reply_to_message_id=album[0].message_id
    )
    return [*album, words]


async def _reach(studio: Studio, job: Job, send: Any) -> Any:
    """What `send` gives, or None where nothing can reach the person any more. Raises Failure."""
    try:
        return await send(studio.bots[job.bot_name])
    except TelegramAPIError as error:
        if not person_is_gone(error):
            raise delivery_failure(error) from error
        logger.info("job {}: person {} cannot be reached: {}", job.id, job.user_id, error.message)
        await set_inactive(studio.db, job.user_id)
        return None
