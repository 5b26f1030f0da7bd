"""Updates by long polling."""

import asyncio

from aiogram import Bot
from aiogram.exceptions import TelegramAPIError
from aiogram.types import Update
from loguru import logger

from bot.telegram.setup_calls import ALLOWED_UPDATES, RETRY_SECONDS, until_done
from bot.telegram.update_processor import UpdateProcessor
from services.core.background import BackgroundTasks

_POLL_SECONDS = 25
_UPDATE_SECONDS = 30.0
_BATCH_WAIT_SECONDS = 0.3
"""How long the next updates wait for those before."""


async def poll_updates(bot: Bot, update_processor: UpdateProcessor, background: BackgroundTasks) -> None:
    """Fetch the bot's updates and take them in, for ever.

    Telegram is told that an update is done only when all before it are, too: a process that dies in between gets
    them again. One that takes long holds nobody up: until it is done, what came after it is asked for again and
    again. At a stop, what was begun goes on in the background.
    """
    await until_done("deleteWebhook", lambda: bot.delete_webhook(drop_pending_updates=False))
    in_progress: dict[int, asyncio.Task[bool]] = {}
    offset: int | None = None
    while True:
        try:
            updates = await bot.get_updates(
                offset=offset,
                timeout=0 if in_progress else _POLL_SECONDS,
                allowed_updates=ALLOWED_UPDATES,
                request_timeout=60,
            )
        except TelegramAPIError as error:
            logger.warning("getUpdates: {}", error.message)
            await asyncio.sleep(RETRY_SECONDS)
            continue
        for update in updates:
            if update.update_id not in in_progress:
                in_progress[update.update_id] = background.spawn(_process(bot, update_processor, update), "update")
        if in_progress:
            await asyncio.wait(in_progress.values(), timeout=_BATCH_WAIT_SECONDS)
        offset, must_retry = _confirm_done(in_progress, offset)
        if must_retry:
            await asyncio.sleep(RETRY_SECONDS)


def _confirm_done(in_progress: dict[int, asyncio.Task[bool]], offset: int | None) -> tuple[int | None, bool]:
    """Drop what is done, up to the first that is not. What to ask for next, and whether one has to come again."""
    for update_id in sorted(in_progress):
        if not in_progress[update_id].done():
            break
        if not in_progress.pop(update_id).result():
            return update_id, True
        offset = update_id + 1
    return offset, False


async def _process(bot: Bot, update_processor: UpdateProcessor, update: Update) -> bool:
    try:
        async with asyncio.timeout(_UPDATE_SECONDS):
            return await update_processor.process(bot, update, sole_consumer=True)
    except TimeoutError:
        logger.error("update {} was not handled within {} s", update.update_id, _UPDATE_SECONDS)
        return True
    except Exception as error:  # noqa: BLE001 - one update must not stop the polling
        logger.opt(exception=error).error("update {} failed", update.update_id)
        return True
