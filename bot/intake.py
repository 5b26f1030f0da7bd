"""Takes Telegram's updates in: each once, one person's in order, different people's side by side."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiogram import Bot, Dispatcher
from aiogram.types import Update
from loguru import logger

from storage.pool import DATABASE_AWAY, Pool
from storage.updates import Claim, claim_update, finish_update, give_up_update

OTHERS_CLAIM_SECONDS = 5.0
"""How long an update stays with a process that may have died while it handled it."""


class Turns:
    """A lock for each person, kept only while somebody waits for it."""

    def __init__(self) -> None:
        self._locks: dict[int, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def turn(self, key: int) -> AsyncIterator[None]:
        lock, waiting = self._locks.get(key, (asyncio.Lock(), 0))
        self._locks[key] = (lock, waiting + 1)
        try:
            async with lock:
                yield
        finally:
            lock, waiting = self._locks[key]
            if waiting > 1:
                self._locks[key] = (lock, waiting - 1)
            else:
                del self._locks[key]


class Intake:
    def __init__(self, db: Pool, dispatcher: Dispatcher) -> None:
        self._db = db
        self._dispatcher = dispatcher
        self._turns = Turns()

    async def take(self, bot: Bot, update: Update, *, alone: bool = False) -> bool:
        """Handle the update. False when it is not done, and Telegram must bring it again.

        `alone` says that no other process gets this bot's updates, so that one which a process left
        half done is taken up at once.
        """
        seconds = 0.0 if alone else OTHERS_CLAIM_SECONDS
        async with self._turns.turn(_person(update)):
            try:
                claim = await claim_update(self._db, bot.id, update.update_id, seconds=seconds)
                if claim is not Claim.MINE:
                    return claim is Claim.DONE
                return await self._handle(bot, update)
            except DATABASE_AWAY as error:
                logger.warning("update {} waits, the database is away: {}", update.update_id, error)
                return False

    async def _handle(self, bot: Bot, update: Update) -> bool:
        try:
            await self._dispatcher.feed_update(bot, update)
        except BaseException:
            await asyncio.shield(give_up_update(self._db, bot.id, update.update_id))
            raise
        await finish_update(self._db, bot.id, update.update_id)
        return True


def _person(update: Update) -> int:
    """Whose turn it is; updates of nobody in particular take turns of their own."""
    event = update.event
    if update.pre_checkout_query is not None:  # Telegram waits 10 s for its answer: past everything else
        return -update.update_id
    person = getattr(event, "from_user", None) or getattr(event, "user", None)
    return person.id if person else -update.update_id
