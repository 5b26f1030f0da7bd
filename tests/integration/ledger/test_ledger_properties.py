"""Whatever happens to people's money, in whatever order and at once: the ledger is right in the end.

Hypothesis makes up what several tasks do at the same time with the same few people, payments and orders; each
does it through the functions that the bot uses, on the real database.
"""

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import NoneType, SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

from aiogram.exceptions import TelegramAPIError, TelegramBadRequest, TelegramServerError
from aiogram.methods import RefundStarPayment
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from services.admin.admin_actions import AdminActions
from services.billing.bonuses import give_bonus_credits
from services.billing.payments import CREDIT_PACKS, Payments, ReceivedPayment
from services.billing.promo_codes import redeem_promo_code
from services.billing.refunds import _process_refund, handle_external_refund, request_payment_refund
from services.billing.tiers import SUBSCRIPTION_PERIOD, TIERS, Tier
from services.core.errors import InvalidRequest
from services.core.i18n import Texts
from services.ledger import credits as ledger
from services.messaging.app_context import AppContext
from storage.jobs.jobs import claim_for_cancellation, claim_job, end_job, get_job
from storage.money.ledger import Balance, BalanceTooLow, check_ledger, get_balance
from storage.money.promo_codes import add_promo
from storage.money.refunds import claim_refunds
from storage.money.topups import add_topup
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
    """A bot that reaches nobody, and whose refunds end as they may at Telegram."""

    chance: random.Random
    token: str = "1000000001:property"

    async def send_message(self, *_: Any, **__: Any) -> None:
        await asyncio.sleep(0)

    async def refund_star_payment(self, *_: Any) -> bool:
        await asyncio.sleep(0)
        if error := self.chance.choice(ANSWERS):
            raise error
        return True

    async def edit_user_star_subscription(self, *_: Any, **__: Any) -> bool:
        return True


@dataclass
class LedgerScenario:
    """A few people whose money is moved by many; `charges` and `jobs` are what there is to move it by."""

    studio: AppContext
    users: list[int]
    chance: random.Random
    promo: str
    charges: list[ReceivedPayment] = field(default_factory=list)
    jobs: list[UUID] = field(default_factory=list)

    @property
    def db(self) -> Pool:
        return self.studio.db

    async def pay(self, user_id: int, n: int) -> None:
        await self._credit(await self._offer(self.users[user_id], CREDIT_PACKS[n % 3]))

    async def pay_again(self, user_id: int, n: int) -> None:
        """The same payment comes once more."""
        if self.charges:
            await self._credit(self.charges[n % len(self.charges)])

    async def subscribe(self, user_id: int, n: int) -> None:
        plan = list(TIERS.values())[n % len(TIERS)]
        await self._credit(await self._offer(self.users[user_id], plan.stars, plan))

    async def renew(self, user_id: int, n: int) -> None:
        """Telegram takes the next month by itself."""
        first = [charge for charge in self.charges if charge.expires_at and not charge.recurring]
        if first:
            old = first[n % len(first)]
            until = datetime.now(UTC) + 2 * SUBSCRIPTION_PERIOD
            charge = ReceivedPayment(
                f"stx{uuid4()}", old.user_id, old.stars, old.payload, recurring=True, expires_at=until
            )
            await self._credit(charge)

    async def order(self, user_id: int, n: int) -> None:
        try:
            job = await add_job(self.db, self.users[user_id], price=1 + n * 3)
        except BalanceTooLow:
            return
        self.jobs.append(job.id)

    async def succeed(self, user_id: int, n: int) -> None:
        await self._end(n, "succeeded")

    async def fail(self, user_id: int, n: int) -> None:
        await self._end(n, "failed")

    async def cancel(self, user_id: int, n: int) -> None:
        if self.jobs and (job := await get_job(self.db, self.jobs[n % len(self.jobs)])):
            async with self.db.acquire() as connection, connection.transaction():
                stopped = await claim_for_cancellation(connection, job.id, job.user_id, "stopper", seconds=0.0)
            if stopped is not None:
                await self._settle(stopped.id, stopped.epoch, "cancelled")

    async def return_credits(self, user_id: int, n: int) -> None:
        """An admin gives the price of a made order back."""
        if (
            self.jobs
            and (job := await get_job(self.db, self.jobs[n % len(self.jobs)]))
            and job.state == "succeeded"
        ):
            await AdminActions(cast("Any", SimpleNamespace(studio=self.studio)))._return_price(job)

    async def refund(self, user_id: int, n: int) -> None:
        """Ask, and take the outbox once; a claim of no time lets another take the same refund meanwhile."""
        if self.charges:
            await request_payment_refund(self.studio, self.charges[n % len(self.charges)].id, 7)
            for claimed in await claim_refunds(self.db, seconds=0.0, limit=5):
                await _process_refund(self.studio, claimed)

    async def refund_elsewhere(self, user_id: int, n: int) -> None:
        if self.charges:
            await handle_external_refund(self.studio, self.charges[n % len(self.charges)].id)

    async def grant(self, person: int, n: int) -> None:
        user_id = self.users[person]
        await give_bonus_credits(
            self.studio, key=f"{user_id}:{n % 4}", user_id=user_id, credits=n + 1, admin_id=7, reason=""
        )

    async def redeem(self, user_id: int, n: int) -> None:
        try:
            await redeem_promo_code(self.studio, self.promo, self.users[user_id])
        except InvalidRequest:
            return

    async def _offer(self, user_id: int, stars: int, plan: Tier | None = None) -> ReceivedPayment:
        topup = uuid4()
        await add_topup(
            self.db, topup, user_id=user_id, bot_name="main", stars=stars, tier=plan.id if plan else None
        )
        until = datetime.now(UTC) + SUBSCRIPTION_PERIOD if plan else None
        charge = ReceivedPayment(
            f"stx{uuid4()}", user_id, stars, Payments(self.studio)._build_payload("main", topup), expires_at=until
        )
        self.charges.append(charge)
        return charge

    async def _credit(self, charge: ReceivedPayment) -> None:
        await Payments(self.studio).credit(charge, bot_name="main")

    async def _end(self, n: int, state: Any) -> None:
        """As a runner does whose lease another may take at any moment."""
        if self.jobs:
            job_id = self.jobs[n % len(self.jobs)]
            claimed = await claim_job(self.db, job_id, f"runner-{self.chance.random()}", "B", seconds=0.0)
            if claimed is not None:
                await self._settle(job_id, claimed.epoch, state)

    async def _settle(self, job_id: UUID, epoch: int, state: Any) -> None:
        async with self.db.acquire() as connection, connection.transaction():
            ended = await end_job(connection, job_id, epoch, state, failure=None, result=None)
            if ended is not None:
                await (ledger.capture if state == "succeeded" else ledger.release)(connection, ended)


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
)
actions = st.tuples(st.sampled_from(ACTIONS), st.integers(0, USERS - 1), st.integers(0, 9))
tasks = st.lists(st.lists(actions, min_size=4, max_size=10), min_size=4, max_size=8)


@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.generate,),  # a ledger that went wrong stays so: smaller examples would fail for it
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(tasks=tasks, seed=st.integers(0, 1000))
async def test_the_ledger_is_right_whatever_happens_at_once(db: Pool, tasks: Any, seed: int) -> None:
    """One database for all examples: each has people, payments and a promo code of its own."""
    first, chance = next(_ids), random.Random(seed)
    studio = AppContext(db, {"main": cast("Any", FakeBot(chance))}, TEXTS, cast("Any", None), frozenset({7}))
    town = LedgerScenario(studio, list(range(first, first + USERS)), chance, f"CODE{first}")
    for person in town.users:
        await add_user(db, person, credits=25)
    until = datetime.now(UTC) + timedelta(days=1)
    await add_promo(db, town.promo, credits=40, max_uses=USERS - 1, expires_at=until, created_by=7)

    async def work(acts: Any) -> None:
        for act, person, n in acts:
            await act(town, person, n)

    async with asyncio.TaskGroup() as group:
        for acts in tasks:
            group.create_task(work(acts))
    await _assert_ledger_balanced(db)
    while open_jobs := await db.fetch("SELECT id, epoch FROM jobs WHERE ended_at IS NULL AND NOT internal"):
        for number, job in enumerate(open_jobs):
            town.jobs = [job["id"]]
            await (town.succeed, town.fail, town.cancel)[number % 3](0, 0)
    await _assert_ledger_balanced(db)
    assert await db.fetchval("SELECT sum(held) FROM balances") == 0, (
        "nothing stays held when all orders have ended"
    )


async def _assert_ledger_balanced(db: Pool) -> None:
    check = await check_ledger(db)
    assert check.is_consistent, check
    assert await db.fetchval("SELECT count(*) FROM balances WHERE available < 0 OR held < 0 OR debt < 0") == 0
    kept = await db.fetchval("SELECT coalesce(sum(stars), 0) FROM payments WHERE refunded_at IS NULL")
    assert -(await ledger_totals(db)).get("stars", 0) == kept, "what was paid and not refunded is what there is"
    twice = "SELECT count(*) FROM promo_redemptions r JOIN promo_codes c USING (code) GROUP BY c.code, c.max_uses"
    assert await db.fetchval(f"SELECT count(*) FROM ({twice} HAVING count(*) > c.max_uses) over_used") == 0


async def test_refunds_orders_and_debts_of_one_person_at_the_same_moment(db: Pool) -> None:
    """Each sees what the others left: nothing is taken twice, and nothing fails for it."""
    await add_user(db, credits=100)
    refunds = [ledger.claw_back(db, f"stx{number}", 1001, 20) for number in range(10)]
    orders = [ledger.hold(db, new_job()) for _ in range(10)]
    ends = await asyncio.gather(*refunds, *orders, return_exceptions=True)
    assert {type(end) for end in ends} <= {int, NoneType, BalanceTooLow}
    taken = 200 - sum(end for end in ends if isinstance(end, int))
    held = 4 * ends.count(None)
    assert await get_balance(db, 1001) == Balance(100 - taken - held, held, 200 - taken)
    await ledger.give_bonus(db, key="gift", kind="grant", user_id=1001, amount=300)
    settled = await asyncio.gather(*(ledger.settle_debt(db, f"{number}", 1001) for number in range(10)))
    assert (sum(settled), sorted(settled)[:-1]) == (200 - taken, [0] * 9)
    assert (await get_balance(db, 1001)).debt == 0


def test_all_acts_are_played() -> None:
    names = {
        name
        for name in vars(LedgerScenario)
        if not name.startswith("_") and callable(getattr(LedgerScenario, name))
    }
    assert {act.__name__ for act in ACTIONS} == names
