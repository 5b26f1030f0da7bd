"""Updates by long polling."""

import asyncio

from aiogram import Bot
from aiogram.exceptions import TelegramAPIError
from aiogram.types import Update
from loguru import logger

from bot.telegram.setup_calls import ALLOWED_UPDATES, RETRY_SECONDS, until_done
from bot.telegram.update_processor import Intake
from services.core.background import Background

_POLL_SECONDS = 25
_UPDATE_SECONDS = 30.0
_SLOW_SECONDS = 0.3
"""How long the next updates wait for those before."""


async def poll(bot: Bot, intake: Intake, background: Background) -> None:
    """Fetch the bot's updates and take them in, for ever.

    Telegram is told that an update is done only when all before it are, too: a process that dies in between gets
    them again. One that takes long holds nobody up: until it is done, what came after it is asked for again and
    again. At a stop, what was begun goes on in the background.
    """
    await until_done("deleteWebhook", lambda: bot.delete_webhook(drop_pending_updates=False))
    begun: dict[int, asyncio.Task[bool]] = {}
    offset: int | None = None
    while True:
        try:
            updates = await bot.get_updates(
                offset=offset,
                timeout=0 if begun else _POLL_SECONDS,
                allowed_updates=ALLOWED_UPDATES,
                request_timeout=60,
            )
        except TelegramAPIError as error:
            logger.warning("getUpdates: {}", error.message)
            await asyncio.sleep(RETRY_SECONDS)
            continue
        for update in updates:
            if update.update_id not in begun:
                begun[update.update_id] = background.spawn(_take(bot, intake, update), "update")
        if begun:
            await asyncio.wait(begun.values(), timeout=_SLOW_SECONDS)
        offset, again = _confirm(begun, offset)
        if again:
            await asyncio.sleep(RETRY_SECONDS)


def _confirm(begun: dict[int, asyncio.Task[bool]], offset: int | None) -> tuple[int | None, bool]:
    """Drop what is done, up to the first that is not. What to ask for next, and whether one has to come again."""
    for update_id in sorted(begun):
        if not begun[update_id].done():
            break
        if not begun.pop(update_id).result():
            return update_id, True
        offset = update_id + 1
    return offset, False


async def _take(bot: Bot, intake: Intake, update: Update) -> bool:
    try:
        async with asyncio.timeout(_UPDATE_SECONDS):
            return await intake.take(bot, update, alone=True)
    except TimeoutError:
        logger.error("update {} was not handled within {} s", update.update_id, _UPDATE_SECONDS)
        return True
    except Exception as error:  # noqa: BLE001 - one update must not stop the polling
        logger.opt(exception=error).error("update {} failed", update.update_id)
        return True
