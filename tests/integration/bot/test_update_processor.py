"""The order in which updates are handled: one user's one after another, different users' at the same time."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from aiogram import Bot, Dispatcher
from aiogram.types import Chat, Message, PreCheckoutQuery, Update
from aiogram.types import User as TelegramUser

from bot.telegram.update_processor import UpdateProcessor
from services.users.registration import UserRegistration
from storage.pool import Pool
from tests.support.environments.environment import BOT_TOKEN, TEXTS, wait_until

ANN, BOB = 1001, 1002


@dataclass
class RecordingHandlers:
    """Handlers that record what they do. The one of the text `wait` waits for `release`."""

    log: list[str] = field(default_factory=list)
    release: asyncio.Event = field(default_factory=asyncio.Event)

    async def on_message(self, message: Message) -> None:
        self.log.append(f"{message.chat.id} {message.text} begins")
        if message.text == "wait":
            await self.release.wait()
        self.log.append(f"{message.chat.id} {message.text} ends")

    async def on_checkout(self, query: PreCheckoutQuery) -> None:
        self.log.append(f"{query.from_user.id} checkout")

    async def began(self, user_id: int, text: str) -> bool:
        return f"{user_id} {text} begins" in self.log


@dataclass
class UpdateQueue:
    """Telegram's side: numbers updates and passes them to the processor."""

    bot: Bot
    processor: UpdateProcessor
    last_id: int = 0

    async def process(self, user_id: int, **content: Any) -> None:
        """Process an update of a user. It must be done in the end."""
        self.last_id += 1
        assert await self.processor.process(self.bot, Update(update_id=self.last_id, **content))

    async def send_text(self, user_id: int, text: str) -> None:
        user, chat = telegram_user(user_id), Chat(id=user_id, type="private")
        message = Message(message_id=self.last_id, date=datetime.now(UTC), chat=chat, from_user=user, text=text)
        await self.process(user_id, message=message)

    async def check_out(self, user_id: int) -> None:
        query = PreCheckoutQuery(
            id="1", from_user=telegram_user(user_id), currency="XTR", total_amount=50, invoice_payload="x"
        )
        await self.process(user_id, pre_checkout_query=query)


def telegram_user(user_id: int) -> TelegramUser:
    return TelegramUser(id=user_id, is_bot=False, first_name="Ann")


@pytest.fixture
def handlers() -> RecordingHandlers:
    return RecordingHandlers()


@pytest.fixture
async def updates(db: Pool, handlers: RecordingHandlers) -> AsyncIterator[UpdateQueue]:
    async def ignore_refund(charge_id: str) -> None: ...

    bot, dispatcher = Bot(BOT_TOKEN), Dispatcher()
    dispatcher.message.register(handlers.on_message)
    dispatcher.pre_checkout_query.register(handlers.on_checkout)
    registration = UserRegistration(db, initial_credits=0)
    yield UpdateQueue(bot, UpdateProcessor(db, TEXTS, dispatcher, registration, {bot.id: "main"}, ignore_refund))
    await bot.session.close()


async def test_updates_of_one_user_arriving_at_once_are_handled_in_order(
    updates: UpdateQueue, handlers: RecordingHandlers
) -> None:
    everybody = (ANN, BOB, *range(2001, 2005))
    await asyncio.gather(*(updates.send_text(user_id, "hello") for user_id in everybody))  # opens the connections
    handlers.log.clear()
    async with asyncio.TaskGroup() as group:
        group.create_task(updates.send_text(ANN, "wait"))
        await wait_until(lambda: handlers.began(ANN, "wait"), what="the first update is being handled")
        for text in ("second", "third"):
            group.create_task(updates.send_text(ANN, text))
        for number in range(5):  # each takes as long as one of Ann's would, if they did not wait
            await updates.send_text(BOB, f"{number}")
        handlers.release.set()
    assert handlers.log == [
        "1001 wait begins",
        *(f"1002 {number} {what}" for number in range(5) for what in ("begins", "ends")),
        "1001 wait ends",
        *(f"1001 {text} {what}" for text in ("second", "third") for what in ("begins", "ends")),
    ]


async def test_query_before_a_payment_does_not_wait_for_the_users_other_updates(
    updates: UpdateQueue, handlers: RecordingHandlers
) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(updates.send_text(ANN, "wait"))
        await wait_until(lambda: handlers.began(ANN, "wait"), what="the first update is being handled")
        async with asyncio.timeout(5):
            await updates.check_out(ANN)
        handlers.release.set()
    assert handlers.log == ["1001 wait begins", "1001 checkout", "1001 wait ends"]
