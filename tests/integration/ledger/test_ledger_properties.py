"""Whatever happens to users' credits, in any order and concurrently: the ledger stays consistent.

Hypothesis generates what several tasks do at the same time with the same few users, payments and orders. Each
uses the functions that the bot uses, on the real database.
"""

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import NoneType, SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

from aiogram.exceptions import TelegramAPIError, TelegramBadRequest, TelegramServerError
from aiogram.methods import RefundStarPayment
from aiogram.types import LabeledPrice
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from services.admin.admin_actions import ActionConflict, AdminActions
from services.billing.bonuses import give_bonus_credits
from services.billing.payments import CREDIT_PACKS, Payments, ReceivedPayment
from services.billing.promo_codes import redeem_promo_code
from services.billing.refunds import Refunds
from services.billing.subscriptions import SUBSCRIPTION_PERIOD, TIERS
from services.core.errors import InvalidRequest, LeaseLost
from services.core.i18n import Texts
from services.jobs.settlement import end_and_settle
from services.ledger import credits as ledger
from services.messaging.bots import Bots
from services.messaging.messenger import Messenger
from services.messaging.stars import StarsApi
from services.notifications.admins import AdminNotifier
from storage.jobs.jobs import Job, JobState, claim_for_cancellation, claim_job, get_job
from storage.money.ledger import Balance, BalanceTooLow, check_ledger, get_balance
from storage.money.promo_codes import add_promo
from storage.pool import Pool
from tests.support.test_data.factories import add_job, add_user, new_job
from tests.support.test_data.ledger_totals import ledger_totals

USERS = 2
_ids = itertools.count(1, USERS)
TEXTS = Texts()
_METHOD = RefundStarPayment(user_id=1, telegram_payment_charge_id="x")
ANSWERS: tuple[TelegramAPIError | None, ...] = (
    None,
    TelegramServerError(_METHOD, "Bad Gateway"),
    TelegramBadRequest(_METHOD, "Bad Request: CHARGE_ALREADY_REFUNDED"),
    TelegramBadRequest(_METHOD, "Bad Request: CHARGE_NOT_FOUND"),
)


@dataclass
class FakeBot:
    """A bot that sends nothing, and whose refunds end in any way that Telegram's may."""

    rng: random.Random
    token: str = "1000000001:property"
    payloads: dict[tuple[int, int], list[str]] = field(default_factory=dict)
    """Of the invoices that nobody has paid yet, by user and Stars."""

    async def send_message(self, *_: Any, **__: Any) -> SimpleNamespace:
        await asyncio.sleep(0)
        return SimpleNamespace(message_id=1)

    async def send_invoice(self, user_id: int, *, payload: str, prices: list[LabeledPrice], **_: Any) -> None:
        self.payloads.setdefault((user_id, prices[0].amount), []).append(payload)

    async def create_invoice_link(self, *, payload: str, **_: Any) -> str:
        return payload

    async def refund_star_payment(self, *_: Any) -> bool:
        await asyncio.sleep(0)
        if error := self.rng.choice(ANSWERS):
            raise error
        return True

    async def edit_user_star_subscription(self, *_: Any, **__: Any) -> bool:
        return True


@dataclass
class LedgerScenario:
    """A few users and everything that moves their credits. `received` and `jobs` are what actions pick from."""

    db: Pool
    bot: FakeBot
    payments: Payments
    refunds: Refunds
    admin_actions: AdminActions
    users: list[int]
    rng: random.Random
    promo: str
    received: list[ReceivedPayment] = field(default_factory=list)
    jobs: list[UUID] = field(default_factory=list)

    async def pay(self, user: int, n: int) -> None:
        user_id, stars = self.users[user], CREDIT_PACKS[n % 3]
        await self.payments.send_invoice(
            user_id=user_id, bot_name="main", chat_id=user_id, language="en", stars=stars
        )
        await self._pay(user_id, stars, self.bot.payloads[user_id, stars].pop())

    async def pay_again(self, user: int, n: int) -> None:
        """Telegram reports the same payment once more."""
        if self.received:
            await self._credit(self.received[n % len(self.received)])

    async def subscribe(self, user: int, n: int) -> None:
        tier = list(TIERS.values())[n % len(TIERS)]
        user_id = self.users[user]
        payload = await self.payments.subscription_link(tier, user_id=user_id, bot_name="main", language="en")
        await self._pay(user_id, tier.stars, payload, expires_at=datetime.now(UTC) + SUBSCRIPTION_PERIOD)

    async def renew(self, user: int, n: int) -> None:
        """Telegram charges for the next month by itself."""
        first = [payment for payment in self.received if payment.expires_at and not payment.recurring]
        if first:
            old = first[n % len(first)]
            until = datetime.now(UTC) + 2 * SUBSCRIPTION_PERIOD
            payment = ReceivedPayment(
                f"stx{uuid4()}", old.user_id, old.stars, old.payload, recurring=True, expires_at=until
            )
            await self._credit(payment)

    async def order(self, user: int, n: int) -> None:
        try:
            job = await add_job(self.db, self.users[user], price=1 + n * 3)
        except BalanceTooLow:
            return
        self.jobs.append(job.id)

    async def succeed(self, user: int, n: int) -> None:
        await self._end(n, "succeeded")

    async def fail(self, user: int, n: int) -> None:
        await self._end(n, "failed")

    async def cancel(self, user: int, n: int) -> None:
        if self.jobs and (job := await get_job(self.db, self.jobs[n % len(self.jobs)])):
            async with self.db.acquire() as connection, connection.transaction():
                cancelled = await claim_for_cancellation(connection, job.id, job.user_id, "canceller", seconds=0.0)
            if cancelled is not None:
                await self._settle(cancelled, "cancelled")

    async def return_credits(self, user: int, n: int) -> None:
        """An admin returns the price of a completed order."""
        if self.jobs:
            with suppress(ActionConflict):
                await self.admin_actions.refund(self.jobs[n % len(self.jobs)], 7)

    async def refund(self, user: int, n: int) -> None:
        """Request a refund and process what is due; what another task is processing is due as well."""
        if self.received:
            await self.refunds.request(self.received[n % len(self.received)].id, 7)
            await self.db.execute("UPDATE refunds SET next_attempt_at = now() WHERE done_at IS NULL")
            await self.refunds.process_due()

    async def refund_elsewhere(self, user: int, n: int) -> None:
        if self.received:
            await self.refunds.handle_external(self.received[n % len(self.received)].id)

    async def grant(self, user: int, n: int) -> None:
        user_id = self.users[user]
        await give_bonus_credits(
            self.db, key=f"{user_id}:{n % 4}", user_id=user_id, credits=n + 1, admin_id=7, reason=""
        )

    async def prove(self, user: int, n: int) -> None:
        """At any moment, whatever the others have half done."""
        check = await check_ledger(self.db)
        assert check.is_consistent, check

    async def redeem(self, user: int, n: int) -> None:
        try:
            await redeem_promo_code(self.db, self.promo, self.users[user])
        except InvalidRequest:
            return

    async def _pay(self, user_id: int, stars: int, payload: str, *, expires_at: datetime | None = None) -> None:
        payment = ReceivedPayment(f"stx{uuid4()}", user_id, stars, payload, expires_at=expires_at)
        self.received.append(payment)
        await self._credit(payment)

    async def _credit(self, payment: ReceivedPayment) -> None:
        await self.payments.credit(payment, bot_name="main")

    async def _end(self, n: int, state: JobState) -> None:
        """End a job like a worker whose lease another may take at any moment."""
        if self.jobs:
            job_id = self.jobs[n % len(self.jobs)]
            claimed = await claim_job(self.db, job_id, f"worker-{self.rng.random()}", "B", seconds=0.0)
            if claimed is not None:
                await self._settle(claimed, state)

    async def _settle(self, job: Job, state: JobState) -> None:
        with suppress(LeaseLost):
            await end_and_settle(self.db, job, state)


ACTIONS: tuple[Callable[[LedgerScenario, int, int], Awaitable[None]], ...] = (
    LedgerScenario.pay,
    LedgerScenario.pay_again,
    LedgerScenario.subscribe,
    LedgerScenario.renew,
    LedgerScenario.order,
    LedgerScenario.order,
    LedgerScenario.succeed,
    LedgerScenario.fail,
    LedgerScenario.cancel,
    LedgerScenario.return_credits,
    LedgerScenario.refund,
    LedgerScenario.refund_elsewhere,
    LedgerScenario.grant,
    LedgerScenario.redeem,
    LedgerScenario.prove,
)
actions = st.tuples(st.sampled_from(ACTIONS), st.integers(0, USERS - 1), st.integers(0, 9))
tasks = st.lists(st.lists(actions, min_size=4, max_size=10), min_size=4, max_size=8)


@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.generate,),  # a wrong ledger stays wrong: every smaller example would fail as well
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(tasks=tasks, seed=st.integers(0, 1000))
async def test_ledger_stays_consistent_under_random_concurrent_actions(db: Pool, tasks: Any, seed: int) -> None:
    """All examples share one database; each has its own users, payments and promo code."""
    first, rng = next(_ids), random.Random(seed)
    bot = FakeBot(rng)
    bots = Bots({"main": cast("Any", bot)})
    stars = StarsApi(bots)
    messenger = Messenger(db, bots, TEXTS)
    scenario = LedgerScenario(
        db,
        bot,
        Payments(db, stars, TEXTS, {"main": bot.token}),
        Refunds(db, stars, AdminNotifier(db, messenger, frozenset({7}))),
        AdminActions(db, messenger, cast("Any", None)),
        list(range(first, first + USERS)),
        rng,
        f"CODE{first}",
    )
    for user_id in scenario.users:
        await add_user(db, user_id, credits=25)
    until = datetime.now(UTC) + timedelta(days=1)
    await add_promo(db, scenario.promo, credits=40, max_uses=USERS - 1, expires_at=until, created_by=7)

    async def run(task_actions: Any) -> None:
        for action, user, n in task_actions:
            await action(scenario, user, n)

    async with asyncio.TaskGroup() as group:
        for task_actions in tasks:
            group.create_task(run(task_actions))
    await _assert_ledger_balanced(db)
    while open_jobs := await db.fetch("SELECT id, epoch FROM jobs WHERE ended_at IS NULL AND NOT internal"):
        for number, job in enumerate(open_jobs):
            scenario.jobs = [job["id"]]
            await (scenario.succeed, scenario.fail, scenario.cancel)[number % 3](0, 0)
    await _assert_ledger_balanced(db)
    assert await db.fetchval("SELECT sum(held) FROM balances") == 0, (
        "nothing stays held when all orders have ended"
    )


async def _assert_ledger_balanced(db: Pool) -> None:
    check = await check_ledger(db)
    assert check.is_consistent, check
    assert await db.fetchval("SELECT count(*) FROM balances WHERE available < 0 OR held < 0 OR debt < 0") == 0
    kept = await db.fetchval("SELECT coalesce(sum(stars), 0) FROM payments WHERE refunded_at IS NULL")
    assert -(await ledger_totals(db)).get("stars", 0) == kept, "the account equals what was paid and not refunded"
    use_counts = (
        "SELECT count(*) FROM promo_redemptions r JOIN promo_codes c USING (code) GROUP BY c.code, c.max_uses"
    )
    assert await db.fetchval(f"SELECT count(*) FROM ({use_counts} HAVING count(*) > c.max_uses) over_used") == 0


async def test_concurrent_refunds_orders_and_debts_of_one_user_take_nothing_twice(db: Pool) -> None:
    """Each sees what the others left: nothing is taken twice, and nothing fails because of it."""
    await add_user(db, credits=100)
    refunds = [ledger.claw_back(db, f"stx{number}", 1001, 20) for number in range(10)]
    orders = [ledger.hold(db, new_job()) for _ in range(10)]
    results = await asyncio.gather(*refunds, *orders, return_exceptions=True)
    assert {type(end) for end in results} <= {int, NoneType, BalanceTooLow}
    taken = 200 - sum(end for end in results if isinstance(end, int))
    held = 4 * results.count(None)
    assert await get_balance(db, 1001) == Balance(100 - taken - held, held, 200 - taken)
    await ledger.give_bonus(db, key="gift", kind="grant", user_id=1001, amount=300)
    settled = await asyncio.gather(*(ledger.settle_debt(db, f"{number}", 1001) for number in range(10)))
    assert (sum(settled), sorted(settled)[:-1]) == (200 - taken, [0] * 9)
    assert (await get_balance(db, 1001)).debt == 0


def test_every_action_of_the_scenario_is_generated() -> None:
    names = {
        name
        for name in vars(LedgerScenario)
        if not name.startswith("_") and callable(getattr(LedgerScenario, name))
    }
    assert {action.__name__ for action in ACTIONS} == names
