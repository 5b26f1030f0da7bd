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
from bot.telegram.sender import get_sender
from services.users.registration import UserRegistration
from storage.pool import DATABASE_UNAVAILABLE, Pool
from storage.updates import Claim, claim_update, finish_update, release_update

STALE_CLAIM_SECONDS = 5.0
"""How long an update stays with a process that may have died while it handled it."""


class KeyedLock:
    """A lock for each person, kept only while somebody waits for it."""

    def __init__(self) -> None:
        self._locks: dict[int, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def hold(self, key: int) -> AsyncIterator[None]:
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


class UpdateProcessor:
    """`refunded` is told a charge's id when Telegram says that it was refunded: that message is nobody's."""

    def __init__(
        self,
        db: Pool,
        dispatcher: Dispatcher,
        user_registration: UserRegistration,
        bot_names: dict[int, str],
        on_refund: Callable[[str], Awaitable[None]],
    ) -> None:
        self._on_refund = on_refund
        self._db = db
        self._dispatcher = dispatcher
        self._user_registration = user_registration
        self._bot_names = bot_names
        self._user_locks = KeyedLock()
        self._groups = Groups(user_registration.studio.texts)

    async def process(self, bot: Bot, update: Update, *, sole_consumer: bool = False) -> bool:
        """Handle the update. False when it is not done, and Telegram must bring it again.

        `alone` says that no other process gets this bot's updates, so that one which a process left
        half done is taken up at once.
        """
        stale_after = 0.0 if sole_consumer else STALE_CLAIM_SECONDS
        sender, chat_id = get_sender(update)
        async with self._user_locks.hold(_lock_key(update, sender)):
            try:
                return await self._claim_and_process(bot, update, sender, chat_id, stale_after)
            except DATABASE_UNAVAILABLE as error:
                logger.warning("update {} waits, the database is away: {}", update.update_id, error)
                return False

    async def _claim_and_process(
        self, bot: Bot, update: Update, sender: TelegramUser | None, chat_id: int | None, stale_after: float
    ) -> bool:
        profile = self._user_registration.to_profile(sender, self._bot_names[bot.id]) if sender else None
        arrival = await claim_update(self._db, bot.id, update.update_id, chat_id, profile, seconds=stale_after)
        if arrival.claim is not Claim.ACQUIRED:
            return arrival.claim is Claim.DONE
        try:
            if update.message is not None and (refund := update.message.refunded_payment):
                await self._on_refund(refund.telegram_payment_charge_id)
            elif profile is not None:
                if arrival.user is None:
                    user, balance = await self._user_registration.register(profile)
                    arrival = replace(arrival, user=user, balance=balance)
                await self._dispatcher.feed_update(bot, update, arrival=arrival)
            else:
                await self._groups.process(bot, update)
        except BaseException:
            await asyncio.shield(release_update(self._db, bot.id, update.update_id))
            raise
        await finish_update(self._db, bot.id, update.update_id)
        return True


def _lock_key(update: Update, sender: TelegramUser | None) -> int:
    """Whose turn it is. Before a payment Telegram waits 10 s for an answer: that goes past everything else, as
    do updates of nobody in particular."""
    if update.pre_checkout_query is not None or sender is None:
        return -update.update_id
    return sender.id
