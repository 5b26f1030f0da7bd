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

from services.admin.admin_actions import Interventions
from services.billing.bonuses import grant
from services.billing.payments import PACKS, Charge, Payments
from services.billing.promo_codes import redeem
from services.billing.refunds import _refund, ask, refunded_elsewhere
from services.billing.tiers import PERIOD, PLANS, Plan
from services.core.errors import Refused
from services.core.i18n import Texts
from services.ledger import credits as ledger
from services.messaging.app_context import Studio
from storage.jobs.jobs import claim_job, end_job, get_job, stop_job
from storage.money.ledger import Balance, NotEnoughCredits, check_ledger, get_balance, ledger_totals
from storage.money.payments import claim_refunds
from storage.money.promo_codes import add_promo
from storage.money.topups import add_topup
from storage.pool import Pool
from tests.support.test_data.factories import add_job, add_user, new_job

PEOPLE = 2
_ids = itertools.count(1, PEOPLE)
TEXTS = Texts()
_METHOD = RefundStarPayment(user_id=1, telegram_payment_charge_id="x")
ANSWERS: tuple[TelegramAPIError | None, ...] = (
    None,
    TelegramServerError(_METHOD, "Bad Gateway"),
    TelegramBadRequest(_METHOD, "Bad Request: CHARGE_ALREADY_REFUNDED"),
    TelegramBadRequest(_METHOD, "Bad Request: CHARGE_NOT_FOUND"),
)


@dataclass
class QuietBot:
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
class Town:
    """A few people whose money is moved by many; `charges` and `jobs` are what there is to move it by."""

    studio: Studio
    people: list[int]
    chance: random.Random
    promo: str
    charges: list[Charge] = field(default_factory=list)
    jobs: list[UUID] = field(default_factory=list)

    @property
    def db(self) -> Pool:
        return self.studio.db

    async def pay(self, person: int, n: int) -> None:
        await self._credit(await self._offer(self.people[person], PACKS[n % 3]))

    async def pay_again(self, person: int, n: int) -> None:
        """The same payment comes once more."""
        if self.charges:
            await self._credit(self.charges[n % len(self.charges)])

    async def subscribe(self, person: int, n: int) -> None:
        plan = list(PLANS.values())[n % len(PLANS)]
        await self._credit(await self._offer(self.people[person], plan.stars, plan))

    async def renew(self, person: int, n: int) -> None:
        """Telegram takes the next month by itself."""
        first = [charge for charge in self.charges if charge.expires_at and not charge.recurring]
        if first:
            old = first[n % len(first)]
            until = datetime.now(UTC) + 2 * PERIOD
            charge = Charge(f"stx{uuid4()}", old.user_id, old.stars, old.payload, recurring=True, expires_at=until)
            await self._credit(charge)

    async def order(self, person: int, n: int) -> None:
        try:
            job = await add_job(self.db, self.people[person], price=1 + n * 3)
        except NotEnoughCredits:
            return
        self.jobs.append(job.id)

    async def succeed(self, person: int, n: int) -> None:
        await self._end(n, "succeeded")

    async def fail(self, person: int, n: int) -> None:
        await self._end(n, "failed")

    async def cancel(self, person: int, n: int) -> None:
        if self.jobs and (job := await get_job(self.db, self.jobs[n % len(self.jobs)])):
            async with self.db.acquire() as connection, connection.transaction():
                stopped = await stop_job(connection, job.id, job.user_id, "stopper", seconds=0.0)
            if stopped is not None:
                await self._settle(stopped.id, stopped.epoch, "cancelled")

    async def give_back(self, person: int, n: int) -> None:
        """An admin gives the price of a made order back."""
        if (
            self.jobs
            and (job := await get_job(self.db, self.jobs[n % len(self.jobs)]))
            and job.state == "succeeded"
        ):
            await Interventions(cast("Any", SimpleNamespace(studio=self.studio)))._give_back(job)

    async def refund(self, person: int, n: int) -> None:
        """Ask, and take the outbox once; a claim of no time lets another take the same refund meanwhile."""
        if self.charges:
            await ask(self.studio, self.charges[n % len(self.charges)].id, 7)
            for claimed in await claim_refunds(self.db, seconds=0.0, limit=5):
                await _refund(self.studio, claimed)

    async def refund_elsewhere(self, person: int, n: int) -> None:
        if self.charges:
            await refunded_elsewhere(self.studio, self.charges[n % len(self.charges)].id)

    async def grant(self, person: int, n: int) -> None:
        user_id = self.people[person]
        await grant(self.studio, key=f"{user_id}:{n % 4}", user_id=user_id, stars=n + 1, admin=7, reason="")

    async def redeem(self, person: int, n: int) -> None:
        try:
            await redeem(self.studio, self.promo, self.people[person])
        except Refused:
            return

    async def _offer(self, user_id: int, stars: int, plan: Plan | None = None) -> Charge:
        topup = uuid4()
        await add_topup(
            self.db, topup, user_id=user_id, bot_name="main", stars=stars, subscription=plan.id if plan else None
        )
        until = datetime.now(UTC) + PERIOD if plan else None
        charge = Charge(
            f"stx{uuid4()}", user_id, stars, Payments(self.studio)._payload("main", topup), expires_at=until
        )
        self.charges.append(charge)
        return charge

    async def _credit(self, charge: Charge) -> None:
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


ACTS: tuple[Callable[[Town, int, int], Awaitable[None]], ...] = (
    Town.pay, Town.pay_again, Town.subscribe, Town.renew, Town.order, Town.order, Town.succeed, Town.fail,
    Town.cancel, Town.give_back, Town.refund, Town.refund_elsewhere, Town.grant, Town.redeem,
)  # fmt: skip
an_act = st.tuples(st.sampled_from(ACTS), st.integers(0, PEOPLE - 1), st.integers(0, 9))
tasks = st.lists(st.lists(an_act, min_size=4, max_size=10), min_size=4, max_size=8)


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
    studio = Studio(db, {"main": cast("Any", QuietBot(chance))}, TEXTS, cast("Any", None), frozenset({7}))
    town = Town(studio, list(range(first, first + PEOPLE)), chance, f"CODE{first}")
    for person in town.people:
        await add_user(db, person, stars=25)
    until = datetime.now(UTC) + timedelta(days=1)
    await add_promo(db, town.promo, stars=40, uses=PEOPLE - 1, until=until, created_by=7)

    async def work(acts: Any) -> None:
        for act, person, n in acts:
            await act(town, person, n)

    async with asyncio.TaskGroup() as group:
        for acts in tasks:
            group.create_task(work(acts))
    await _is_right(db)
    while open_jobs := await db.fetch("SELECT id, epoch FROM jobs WHERE ended_at IS NULL AND NOT errand"):
        for number, job in enumerate(open_jobs):
            town.jobs = [job["id"]]
            await (town.succeed, town.fail, town.cancel)[number % 3](0, 0)
    await _is_right(db)
    assert await db.fetchval("SELECT sum(held) FROM balances") == 0, (
        "nothing stays held when all orders have ended"
    )


async def _is_right(db: Pool) -> None:
    check = await check_ledger(db)
    assert check.right, check
    assert await db.fetchval("SELECT count(*) FROM balances WHERE available < 0 OR held < 0 OR debt < 0") == 0
    kept = await db.fetchval("SELECT coalesce(sum(stars), 0) FROM charges WHERE refunded_at IS NULL")
    assert -(await ledger_totals(db)).get("stars", 0) == kept, "what was paid and not refunded is what there is"
    twice = "SELECT count(*) FROM promo_redemptions r JOIN promo_codes c USING (code) GROUP BY c.code, c.uses"
    assert await db.fetchval(f"SELECT count(*) FROM ({twice} HAVING count(*) > c.uses) over_used") == 0


async def test_refunds_orders_and_debts_of_one_person_at_the_same_moment(db: Pool) -> None:
    """Each sees what the others left: nothing is taken twice, and nothing fails for it."""
    await add_user(db, stars=100)
    refunds = [ledger.take_back(db, f"stx{number}", 1001, 20) for number in range(10)]
    orders = [ledger.hold(db, new_job()) for _ in range(10)]
    ends = await asyncio.gather(*refunds, *orders, return_exceptions=True)
    assert {type(end) for end in ends} <= {int, NoneType, NotEnoughCredits}
    taken = 200 - sum(end for end in ends if isinstance(end, int))
    held = 4 * ends.count(None)
    assert await get_balance(db, 1001) == Balance(100 - taken - held, held, 200 - taken)
    await ledger.give_bonus(db, key="gift", kind="grant", user_id=1001, amount=300)
    settled = await asyncio.gather(*(ledger.settle_debt(db, f"{number}", 1001) for number in range(10)))
    assert (sum(settled), sorted(settled)[:-1]) == (200 - taken, [0] * 9)
    assert (await get_balance(db, 1001)).debt == 0


def test_all_acts_are_played() -> None:
    names = {name for name in vars(Town) if not name.startswith("_") and callable(getattr(Town, name))}
    assert {act.__name__ for act in ACTS} == names
