"""A payment from the invoice to its follow-up, refunds and reconciliation, against the sandbox's Telegram."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from bot.telegram.bots import create_bots
from services.billing.payment_followup import PAYMENT_FOLLOW_UP, PaymentFollowUp
from services.billing.payments import CREDIT_PACKS, Checkout, Payments, ReceivedPayment
from services.billing.reconciliation import Reconciliation
from services.billing.refunds import RefundPreview, Refunds
from services.billing.subscriptions import TIERS, get_running_subscription, monthly_price, set_renewal
from services.jobs.internal_jobs import InternalJobContext
from services.messaging.bots import Bots
from services.messaging.messenger import Messenger
from services.messaging.stars import CURRENCY, StarsApi, StarsError
from services.notifications.admins import AdminNotifier
from services.notifications.notices import GENERIC, NotificationJobs
from storage.jobs.jobs import get_job_by_order_key
from storage.money.ledger import Balance, check_ledger, get_balance
from storage.money.payments import get_payment
from storage.money.subscriptions import set_cancelled
from storage.pool import Pool
from tests.support.environments.environment import BOT_TOKEN, TEXTS, SandboxTelegram, SandboxUser, message_text
from tests.support.test_data.factories import add_user

USER, ADMIN = 1001, 7
STARS = CREDIT_PACKS[0]


class ImmediateSteps:
    """Runs each step at once, without a journal."""

    async def run(self, step: str, work: Callable[[], Awaitable[Any]], **_: Any) -> Any:
        return await work()


@dataclass
class Billing:
    """The parts of billing, a user and an admin, and Telegram."""

    db: Pool
    telegram: SandboxTelegram
    messenger: Messenger
    payments: Payments
    refunds: Refunds
    reconciliation: Reconciliation

    async def buy(self, stars: int = STARS) -> ReceivedPayment:
        """Pay for a pack as Telegram reports it; the payment is not credited yet."""
        await self.payments.send_invoice(
            user_id=USER, bot_name="main", chat_id=USER, language="en", stars=stars, pending_order={"key": "o"}
        )
        payload = (await self.telegram.api_calls("sendInvoice"))[-1]["params"]["payload"]
        charge_id = self.telegram.pay_without_update(USER, stars, payload)
        return ReceivedPayment(charge_id, USER, stars, payload)

    async def subscribe(self) -> ReceivedPayment:
        """Subscribe to the smallest tier, and credit its first payment."""
        tier = TIERS["light"]
        await self.payments.subscription_link(tier, user_id=USER, bot_name="main", language="en")
        payload = (await self.telegram.api_calls("createInvoiceLink"))[-1]["params"]["payload"]
        payment = ReceivedPayment("stx1", USER, tier.stars, payload)
        assert await self.payments.credit(payment, bot_name="main")
        return payment

    async def rows(self) -> dict[str, list[Any]]:
        """Everything that a payment may change."""
        tables = ("payments", "topups", "subscriptions", "users", "balances", "ledger_postings", "jobs")
        return {table: await self.db.fetch(f"SELECT * FROM {table} ORDER BY 1") for table in tables}

    async def run_internal_job(self, key: str) -> dict[str, Any]:
        """Run the internal job with this order key and return its result."""
        job = await get_job_by_order_key(self.db, key)
        assert job is not None, key
        context = InternalJobContext(job, cast("Any", ImmediateSteps()))
        admins = AdminNotifier(self.db, self.messenger, frozenset({ADMIN}))
        if job.service == PAYMENT_FOLLOW_UP.id:
            return await PaymentFollowUp(self.db, self.messenger, admins).run(context)
        return await NotificationJobs(self.db, self.messenger).run(context)

    async def texts_of(self, user_id: int) -> list[str]:
        return [message_text(message) for message in await SandboxUser(self.telegram, user_id).bot_messages()]


@pytest.fixture
async def billing(db: Pool) -> AsyncIterator[Billing]:
    telegram = SandboxTelegram()
    await telegram.start()
    bots = Bots(create_bots({"main": BOT_TOKEN}, telegram.url))
    await bots.get("main").get_me()
    for user_id in (USER, ADMIN):
        await SandboxUser(telegram, user_id).send_text("/start")
        await add_user(db, user_id, credits=0)
    stars, messenger = StarsApi(bots), Messenger(db, bots, TEXTS)
    admins = AdminNotifier(db, messenger, frozenset({ADMIN}))
    payments, refunds = Payments(db, stars, TEXTS, {"main": BOT_TOKEN}), Refunds(db, stars, admins)
    reconciliation = Reconciliation(db, stars, payments, refunds, admins)
    yield Billing(db, telegram, messenger, payments, refunds, reconciliation)
    await bots.get("main").session.close()
    await telegram.close()


async def test_checkout_of_a_signed_invoice_is_accepted_and_all_others_are_refused(billing: Billing) -> None:
    payment = await billing.buy()
    right = Checkout(USER, CURRENCY, STARS, payment.payload)
    number, _, signature = payment.payload.partition(".")
    wrong = {
        "topup.unknown": [
            Checkout(ADMIN, CURRENCY, STARS, payment.payload),
            Checkout(USER, CURRENCY, STARS, f"{number}.{signature[::-1]}"),
            Checkout(USER, CURRENCY, STARS, "nonsense"),
        ],
        "topup.changed": [
            Checkout(USER, "USD", STARS, payment.payload),
            Checkout(USER, CURRENCY, STARS - 1, payment.payload),
        ],
    }
    for key, checkouts in wrong.items():
        for checkout in checkouts:
            assert await billing.payments.validate_checkout(checkout, "main") == key
    assert await billing.payments.validate_checkout(right, "main") is None
    assert await billing.payments.credit(payment, bot_name="main")
    assert await billing.payments.validate_checkout(right, "main") == "topup.paid_already"
    assert BOT_TOKEN not in repr(billing.payments)


async def test_credit_of_a_known_charge_returns_false(billing: Billing) -> None:
    payment = await billing.buy()
    assert await billing.payments.credit(payment, bot_name="main")
    before = await billing.rows()
    assert not await billing.payments.credit(payment, bot_name="main")
    assert await billing.rows() == before


async def test_repeated_payment_of_a_cancelled_subscription_changes_nothing(billing: Billing) -> None:
    payment = await billing.subscribe()
    subscription = await get_running_subscription(billing.db, USER)
    assert subscription is not None
    assert await set_cancelled(billing.db, subscription.id, USER, cancelled=True)
    before = await billing.rows()
    await billing.payments.credit(payment, bot_name="main")
    assert await billing.rows() == before


async def test_repeated_payment_of_a_refunded_subscription_changes_nothing(billing: Billing) -> None:
    payment = await billing.subscribe()
    await billing.refunds.handle_external(payment.id)
    assert await get_running_subscription(billing.db, USER) is None
    before = await billing.rows()
    await billing.payments.credit(payment, bot_name="main")
    assert await billing.rows() == before


async def test_payment_reported_twice_is_credited_once_and_followed_up(billing: Billing) -> None:
    payment = await billing.buy()
    assert [await billing.payments.credit(payment, bot_name="main") for _ in range(2)] == [True, False]
    assert await billing.payments.get_pending_order(payment, bot_name="main") == {"key": "o"}
    assert await get_balance(billing.db, USER) == Balance(STARS, 0)
    assert await billing.run_internal_job(f"{PAYMENT_FOLLOW_UP.id}:{payment.id}") == {"rewarded": None}
    assert TEXTS.t("en", "topup.thanks", STARS) in (await billing.texts_of(USER))[-1]
    note_key = f"{GENERIC.id}:payment.note:{payment.id}:admin:{ADMIN}"
    assert await billing.run_internal_job(note_key) == {"outcome": "sent"}
    assert await billing.run_internal_job(note_key) == {"outcome": "sent"}
    assert len([text for text in await billing.texts_of(ADMIN) if f"{USER} paid {STARS} Stars" in text]) == 1


async def test_follow_up_of_a_user_who_blocked_the_bot_ends_and_marks_them_inactive(billing: Billing) -> None:
    payment = await billing.buy()
    await billing.payments.credit(payment, bot_name="main")
    await billing.telegram.add_fault(method="sendMessage", code=403, chat_id=USER)
    assert await billing.run_internal_job(f"{PAYMENT_FOLLOW_UP.id}:{payment.id}") == {"rewarded": None}
    assert await billing.db.fetchval("SELECT active FROM users WHERE id = $1", USER) is False


async def test_reconciliation_credits_a_lost_payment_and_takes_back_a_refunded_one(billing: Billing) -> None:
    payment = await billing.buy()
    await billing.reconciliation.run_daily(datetime.now(UTC))
    assert await get_balance(billing.db, USER) == Balance(STARS, 0)
    again = await billing.reconciliation.run()
    assert (again.payments, again.credited, again.is_consistent) == (1, 0, True)

    await billing.messenger.bots.get("main").refund_star_payment(USER, payment.id)
    report = await billing.reconciliation.run()
    assert (report.clawed_back, report.credited) == (1, 0)
    assert await get_balance(billing.db, USER) == Balance(0, 0)
    assert (await check_ledger(billing.db)).is_consistent
    await billing.telegram.add_fault(method="getStarTransactions", code=500)
    with pytest.raises(StarsError):
        await billing.reconciliation.run()


async def test_refund_is_retried_until_telegram_makes_it(billing: Billing) -> None:
    payment = await billing.buy()
    assert await billing.refunds.request(payment.id, ADMIN) == "unknown"
    await billing.payments.credit(payment, bot_name="main")
    stored = await get_payment(billing.db, payment.id)
    assert stored is not None
    assert await billing.refunds.preview(stored) == RefundPreview(recoverable=STARS, owed=0, held=0, bonus=0)
    await billing.telegram.add_fault(method="refundStarPayment", code=500)
    assert await billing.refunds.request(payment.id, ADMIN) == "asked"
    assert await billing.refunds.request(payment.id, ADMIN) == "asked_before"
    await billing.refunds.process_due()
    assert await get_balance(billing.db, USER) == Balance(STARS, 0)
    await billing.refunds.process_due()
    assert len(await billing.telegram.api_calls("refundStarPayment")) == 1, "the next attempt is not due yet"
    await billing.db.execute("UPDATE refunds SET next_attempt_at = now()")
    await billing.refunds.process_due()
    assert await get_balance(billing.db, USER) == Balance(0, 0)
    assert await billing.refunds.request(payment.id, ADMIN) == "refunded"


async def test_refund_postponed_very_often_waits_no_longer_than_the_maximum(billing: Billing) -> None:
    payment = await billing.buy()
    await billing.payments.credit(payment, bot_name="main")
    await billing.telegram.add_fault(method="refundStarPayment", code=500)
    await billing.refunds.request(payment.id, ADMIN)
    await billing.db.execute("UPDATE refunds SET attempts = 2000")
    await billing.refunds.process_due()
    wait = "SELECT extract(epoch FROM next_attempt_at - now())::float FROM refunds"
    assert await billing.db.fetchval(wait) == pytest.approx(600, abs=30)
    assert await get_balance(billing.db, USER) == Balance(STARS, 0)


async def test_subscription_that_telegram_does_not_cancel_stays_as_it_is(billing: Billing) -> None:
    tier = TIERS["light"]
    await billing.subscribe()
    assert await get_balance(billing.db, USER) == Balance(tier.credits, 0)
    subscription = await get_running_subscription(billing.db, USER)
    assert subscription is not None
    assert await monthly_price(billing.db, subscription) == tier.stars
    with pytest.raises(StarsError):
        await set_renewal(billing.db, billing.payments.stars, subscription, renews=False)
    unchanged = await get_running_subscription(billing.db, USER)
    assert unchanged is not None
    assert not unchanged.cancelled
