"""Takes Telegram's updates in: each once, one person's in order, different people's side by side."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

from aiogram import Bot, Dispatcher
from aiogram.types import Update
from aiogram.types import User as TelegramUser
from loguru import logger

from bot.telegram.groups import Groups
from bot.telegram.sender import sender_of
from services.users.registration import People
from storage.pool import DATABASE_AWAY, Pool
from storage.updates import Claim, arrive, finish_update, give_up_update

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
    """`refunded` is told a charge's id when Telegram says that it was refunded: that message is nobody's."""

    def __init__(
        self,
        db: Pool,
        dispatcher: Dispatcher,
        people: People,
        bot_names: dict[int, str],
        refunded: Callable[[str], Awaitable[None]],
    ) -> None:
        self._refunded = refunded
        self._db = db
        self._dispatcher = dispatcher
        self._people = people
        self._bot_names = bot_names
        self._turns = Turns()
        self._groups = Groups(people.studio.texts)

    async def take(self, bot: Bot, update: Update, *, alone: bool = False) -> bool:
        """Handle the update. False when it is not done, and Telegram must bring it again.

        `alone` says that no other process gets this bot's updates, so that one which a process left
        half done is taken up at once.
        """
        seconds = 0.0 if alone else OTHERS_CLAIM_SECONDS
        person, chat_id = sender_of(update)
        async with self._turns.turn(_turn_of(update, person)):
            try:
                return await self._take(bot, update, person, chat_id, seconds)
            except DATABASE_AWAY as error:
                logger.warning("update {} waits, the database is away: {}", update.update_id, error)
                return False

    async def _take(
        self, bot: Bot, update: Update, person: TelegramUser | None, chat_id: int | None, seconds: float
    ) -> bool:
        profile = self._people.profile(person, self._bot_names[bot.id]) if person else None
        arrival = await arrive(self._db, bot.id, update.update_id, chat_id, profile, seconds=seconds)
        if arrival.claim is not Claim.MINE:
            return arrival.claim is Claim.DONE
        try:
            if update.message is not None and (refund := update.message.refunded_payment):
                await self._refunded(refund.telegram_payment_charge_id)
            elif profile is not None:
                if arrival.user is None:
                    user, balance = await self._people.welcome(profile)
                    arrival = replace(arrival, user=user, balance=balance)
                await self._dispatcher.feed_update(bot, update, arrival=arrival)
            else:
                await self._groups.take(bot, update)
        except BaseException:
            await asyncio.shield(give_up_update(self._db, bot.id, update.update_id))
            raise
        await finish_update(self._db, bot.id, update.update_id)
        return True


def _turn_of(update: Update, person: TelegramUser | None) -> int:
    """Whose turn it is. Before a payment Telegram waits 10 s for an answer: that goes past everything else, as
    do updates of nobody in particular."""
    if update.pre_checkout_query is not None or person is None:
        return -update.update_id
    return person.id
