"""Receives updates by long polling."""

import asyncio
from typing import Final

from aiogram import Bot
from aiogram.exceptions import TelegramAPIError
from aiogram.types import Update
from loguru import logger

from bot.telegram.setup_calls import ALLOWED_UPDATES, RETRY_SECONDS, until_done
from bot.telegram.update_processor import UpdateProcessor
from services.core.background import BackgroundTasks

_POLL_SECONDS: Final = 25
_REQUEST_TIMEOUT_SECONDS: Final = 60
_UPDATE_SECONDS: Final = 30.0
_BATCH_WAIT_SECONDS: Final = 0.3
"""How long to wait for a batch to be processed before the next one is fetched."""


async def poll_updates(bot: Bot, update_processor: UpdateProcessor, background: BackgroundTasks) -> None:
    """Fetch a bot's updates and process them, until cancelled.

    An update is confirmed to Telegram only when it and all updates before it are done, so that Telegram delivers the
    others again after a crash. A slow update does not delay the ones after it: they are processed meanwhile, and
    skipped when they are fetched again. On cancellation, the updates in progress continue in the background.

    Args:
        bot: The bot. Its webhook is deleted first, because Telegram does not allow polling while one is set:
            https://core.telegram.org/bots/api#getupdates
        update_processor: Processes the updates.
        background: Runs the processing, at most 30 s per update.
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
                request_timeout=_REQUEST_TIMEOUT_SECONDS,
            )
        except TelegramAPIError as error:
            logger.warning("updates not fetched, retrying", seconds=RETRY_SECONDS, error=error.message)
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
    """Confirm the updates that are done, up to the first that is not.

    Args:
        in_progress: The tasks of the updates, by id. Those of confirmed updates are removed.
        offset: The id of the first unconfirmed update.

    Returns:
        The new id of the first unconfirmed update, and whether Telegram must deliver that one again.
    """
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
        logger.error("update timed out", update=update.update_id, seconds=_UPDATE_SECONDS)
        return True
    except Exception as error:  # noqa: BLE001 - one update must not stop the polling
        logger.opt(exception=error).error("update failed", update=update.update_id)
        return True
