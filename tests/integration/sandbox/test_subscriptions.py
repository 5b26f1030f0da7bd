"""Subscriptions: started by a link, renewed after a month, cancelled by the bot."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import TelegramBadRequest
from aiogram.types import LabeledPrice, SuccessfulPayment, TransactionPartnerUser

from sandbox.telegram.client import ControlApiClient
from sandbox.telegram.errors import ControlApiError
from sandbox.telegram.server import running_server

MONTH = 2_592_000


@dataclass
class SubscriptionSandbox:
    user: ControlApiClient
    bot: Bot

    async def subscribe(self) -> SuccessfulPayment:
        link = await self.bot.create_invoice_link(
            "Club", "A month", "sub", "XTR", [LabeledPrice(label="Month", amount=200)], subscription_period=MONTH
        )
        shown = await self.user.get(f"invoice/{link.rpartition('/')[2]}")
        assert (shown["title"], shown["amount"], shown["subscription_period"]) == ("Club", 200, MONTH)
        async with asyncio.TaskGroup() as group:
            paying = group.create_task(self.user.pay(link=link))
            await self.bot.answer_pre_checkout_query(await self._pre_checkout_id(), ok=True)
        return receipt(paying.result())

    async def _pre_checkout_id(self) -> str:
        """Return the id of the pre-checkout query, which stays in the queue."""
        while True:
            for update in await self.bot.get_updates(timeout=5):
                if update.pre_checkout_query:
                    return update.pre_checkout_query.id
            await asyncio.sleep(0)


def receipt(answer: dict[str, object]) -> SuccessfulPayment:
    return SuccessfulPayment.model_validate(answer["message"]["successful_payment"])  # type: ignore[index]


@pytest.fixture
async def sandbox() -> AsyncIterator[SubscriptionSandbox]:
    async with running_server() as (_, url), ControlApiClient(url) as user:
        bot = Bot("4242:sandbox-test", AiohttpSession(api=TelegramAPIServer.from_base(url)))
        await bot.get_me()
        await user.message("/start")
        yield SubscriptionSandbox(user, bot)
        await bot.session.close()


async def test_renewal_takes_stars_without_pre_checkout(sandbox: SubscriptionSandbox) -> None:
    first = await sandbox.subscribe()
    assert (first.is_recurring, first.is_first_recurring) == (True, True)
    assert first.subscription_expiration_date is not None
    second = receipt(await sandbox.user.post("subscription/renew", user_id=1001))
    assert (second.is_recurring, second.is_first_recurring) == (True, None)
    assert second.subscription_expiration_date == first.subscription_expiration_date + MONTH
    assert (second.invoice_payload, second.total_amount) == ("sub", 200)
    assert second.telegram_payment_charge_id != first.telegram_payment_charge_id
    updates = await sandbox.bot.get_updates(timeout=5)
    assert [bool(update.pre_checkout_query) for update in updates].count(True) == 1, (
        "only the first payment has a pre-checkout"
    )
    listed = (await sandbox.bot.get_star_transactions()).transactions
    periods = [t.source.subscription_period for t in listed if isinstance(t.source, TransactionPartnerUser)]
    assert periods == [MONTH, MONTH]


async def test_cancelled_subscription_is_renewed_only_when_resumed(sandbox: SubscriptionSandbox) -> None:
    charge = (await sandbox.subscribe()).telegram_payment_charge_id
    assert await sandbox.bot.edit_user_star_subscription(1001, charge, is_canceled=True)
    with pytest.raises(ControlApiError, match="cancelled"):
        await sandbox.user.post("subscription/renew", user_id=1001)
    assert await sandbox.bot.edit_user_star_subscription(1001, charge, is_canceled=False)
    assert (await sandbox.user.post("subscription/renew", user_id=1001))["paid"]


async def test_unknown_subscription_or_invoice_raises(sandbox: SubscriptionSandbox) -> None:
    with pytest.raises(ControlApiError, match="no such subscription"):
        await sandbox.user.post("subscription/renew", user_id=1001)
    with pytest.raises(ControlApiError, match="no such invoice"):
        await sandbox.user.get("invoice/$nothing")
    charge = (await sandbox.subscribe()).telegram_payment_charge_id
    for user_id, name in ((1002, charge), (1001, "stx-unknown")):
        with pytest.raises(TelegramBadRequest, match="CHARGE_NOT_FOUND"):
            await sandbox.bot.edit_user_star_subscription(user_id, name, is_canceled=True)
