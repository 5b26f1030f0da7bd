"""Processes Telegram's updates: each one once, one user's in order, different users' concurrently."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

from aiogram import Bot, Dispatcher
from aiogram.types import Update
from aiogram.types import User as TelegramUser
from loguru import logger

from bot.telegram.groups import Groups
from bot.telegram.sender import get_sender, to_profile
from services.core.i18n import Texts
from services.users.registration import UserRegistration
from storage.pool import DATABASE_UNAVAILABLE, Pool
from storage.updates import Claim, claim_update, finish_update, release_update

_STALE_CLAIM_SECONDS: Final = 5.0
"""After this time, an unfinished update may be claimed by another process."""


class KeyedLock:
    """One lock per key, which exists only while it is held or waited for."""

    def __init__(self) -> None:
        self._locks: dict[int, tuple[asyncio.Lock, int]] = {}

    def __len__(self) -> int:
        """How many locks exist."""
        return len(self._locks)

    @asynccontextmanager
    async def hold(self, key: int) -> AsyncIterator[None]:
        """Hold the lock of this key. Waiters get it in the order of their arrival."""
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
    """Claims an update, finds its sender and passes it to the handlers.

    Args:
        db: The connection pool.
        texts: The texts of answers in groups. They also determine the language of a sender.
        dispatcher: aiogram's dispatcher with all handlers.
        user_registration: Registers new users.
        bot_names: The bots' names in the settings, by Telegram's id of the bot.
        on_refund: Called with the charge id when Telegram reports a refunded payment. Handlers do not get that message.
    """

    def __init__(
        self,
        db: Pool,
        texts: Texts,
        dispatcher: Dispatcher,
        user_registration: UserRegistration,
        bot_names: Mapping[int, str],
        on_refund: Callable[[str], Awaitable[None]],
    ) -> None:
        self._db = db
        self._texts = texts
        self._dispatcher = dispatcher
        self._user_registration = user_registration
        self._bot_names = bot_names
        self._on_refund = on_refund
        self._user_locks = KeyedLock()
        self._groups = Groups(texts)

    async def process(self, bot: Bot, update: Update, *, sole_consumer: bool = False) -> bool:
        """Handle an update.

        Args:
            bot: The bot that received it.
            update: The update.
            sole_consumer: No other process receives this bot's updates, so an update that a dead process left
                unfinished can be claimed at once.

        Returns:
            False if the update is not done and Telegram must deliver it again, because the database is unavailable or
            another process is handling the update.

        Raises:
            Exception: A handler failed and the error middleware did not catch it. The claim is released first.
        """
        stale_after = 0.0 if sole_consumer else _STALE_CLAIM_SECONDS
        sender, chat_id = get_sender(update)
        with logger.contextualize(
            bot=self._bot_names[bot.id], update=update.update_id, user=sender.id if sender else None, chat=chat_id
        ):
            async with self._user_locks.hold(_lock_key(update, sender)):
                try:
                    return await self._claim_and_process(bot, update, sender, chat_id, stale_after)
                except DATABASE_UNAVAILABLE as error:
                    logger.warning("update postponed, database unavailable", error=error)
                    return False

    async def _claim_and_process(
        self, bot: Bot, update: Update, sender: TelegramUser | None, chat_id: int | None, stale_after: float
    ) -> bool:
        profile = to_profile(sender, self._bot_names[bot.id], self._texts) if sender else None
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
    """The key of the lock that an update is processed under: the updates of one user wait for each other.

    Updates without a sender wait for none, and neither does a pre-checkout query, which must be answered within 10 s:
    https://core.telegram.org/bots/api#answerprecheckoutquery
    """
    if update.pre_checkout_query is not None or sender is None:
        return -update.update_id
    return sender.id
