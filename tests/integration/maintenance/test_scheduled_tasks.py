"""Chores are done once for each time they are due, by Inngest's cron or by a process of ours; and what they do."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from bot.telegram.bots import create_bots
from inngest_functions.functions.scheduled_tasks import create_chore_function
from services.billing.payments import Payments
from services.billing.reconciliation import reconcile, reconcile_stars
from services.core.background import Background
from services.core.i18n import Texts
from services.job_kinds import JOBS
from services.jobs.routing import Plans
from services.maintenance.scheduled_tasks import CHORES, Chore, keep_chores, perform
from services.messaging.app_context import Studio
from services.monitoring.daily_summary import send_summary
from storage.money.ledger import check_ledger, get_balance
from storage.pool import Pool
from tests.support.environments.environment import BOT_TOKEN, Person, TelegramStand, until
from tests.support.inngest_kit import RecordingClient, StepDouble, build_event, run_function
from tests.support.test_data.factories import add_user

ADMIN = 7


@dataclass
class Work:
    """What a chore does here: counts, waits if told to, fails if told to."""

    done: list[datetime] = field(default_factory=list)
    fail: int = 0
    may_end: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, studio: Studio, slot: datetime) -> None:
        await self.may_end.wait()
        if self.fail:
            self.fail -= 1
            raise RuntimeError("not this time")
        self.done.append(slot)


@dataclass
class Inngest:
    healthy: bool = False


@pytest.fixture
def work() -> Work:
    work = Work()
    work.may_end.set()
    return work


@pytest.fixture
def chore(work: Work) -> Chore:
    return Chore("sweep", work, "hour")


@pytest.fixture
def studio(db: Pool) -> Studio:
    return Studio(db, {}, Texts(), cast("Any", None))


async def keep(studio: Studio, chore: Chore, inngest: Inngest) -> AsyncIterator[None]:
    background = Background()
    plans = Plans(studio.db, cast("Any", inngest), list(JOBS))
    background.keep(lambda: keep_chores(studio, plans, [chore]), "chores")
    yield
    await background.drain(0)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("chore", "now", "slot", "cron"),
    [
        (("hour", 7, 0), "2026-03-01T10:06:59", "2026-03-01T09:07", "7 * * * *"),
        (("hour", 7, 0), "2026-03-01T10:07:00", "2026-03-01T10:07", "7 * * * *"),
        (("hour", 7, 0), "2026-03-01T00:03:00", "2026-02-28T23:07", "7 * * * *"),
        (("day", 20, 4), "2026-03-01T04:19:00", "2026-02-28T04:20", "20 4 * * *"),
        (("day", 20, 4), "2026-03-01T23:00:00", "2026-03-01T04:20", "20 4 * * *"),
    ],
)
def test_when_a_chore_is_due(chore: Any, now: str, slot: str, cron: str, work: Work) -> None:
    every, minute, hour = chore
    made = Chore("sweep", work, every, minute=minute, hour=hour)
    assert (made.slot(at(now)), made.cron) == (at(slot), cron)


async def test_two_plans_and_ten_processes_do_it_once(studio: Studio, chore: Chore, work: Work) -> None:
    slot = chore.slot()
    did = await asyncio.gather(*(perform(studio, chore, slot, plan) for plan in ("A", "B") * 5))
    assert did.count(True) == 1
    assert work.done == [slot]
    assert not await perform(studio, chore, slot, "B"), "a slot that is done stays done"


async def test_one_that_failed_can_be_had_by_another_at_once(studio: Studio, chore: Chore, work: Work) -> None:
    work.fail = 1
    with pytest.raises(RuntimeError):
        await perform(studio, chore, chore.slot(), "A")
    assert await perform(studio, chore, chore.slot(), "B")


async def test_one_whose_process_died_is_had_again_after_its_claim(studio: Studio, chore: Chore, db: Pool) -> None:
    slot = chore.slot()
    await db.execute("INSERT INTO chores VALUES ('sweep', $1, 'A', now() + interval '1 minute')", slot)
    assert not await perform(studio, chore, slot, "B")
    await db.execute("UPDATE chores SET claimed_until = now() - interval '1 second'")
    assert await perform(studio, chore, slot, "B")


async def due(studio: Studio, chore: Chore) -> None:
    """As if the chore had been known before its last slot, and not done since."""
    await studio.db.execute("DELETE FROM chores")
    earlier = chore.slot() - timedelta(hours=1)
    await studio.db.execute("INSERT INTO chores VALUES ($1, $2, 'B', now(), now())", chore.id, earlier)


async def test_a_process_does_it_while_inngest_is_away(studio: Studio, chore: Chore, work: Work) -> None:
    await due(studio, chore)
    async for _ in keep(studio, chore, Inngest(healthy=False)):
        await until(lambda: _true(work.done == [chore.slot()]), what="the chore is done")


async def test_a_healthy_inngest_has_its_time_first(
    studio: Studio, chore: Chore, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is freshly due is left to it; its cron function does the work, and then nobody else."""
    await due(studio, chore)
    monkeypatch.setattr("services.maintenance.scheduled_tasks._INNGEST_HAS", timedelta(hours=2))
    monkeypatch.setattr("services.maintenance.scheduled_tasks._LOOK_EVERY", 0.01)
    inngest = Inngest(healthy=True)
    async for _ in keep(studio, chore, inngest):
        client = RecordingClient()
        step = StepDouble()
        function = create_chore_function(client, studio, chore)
        end = await run_function(function, build_event("demo/hello.world"), step)
        assert end.output == {"slot": chore.slot().isoformat(), "done": True}
        inngest.healthy = False
    assert work.done == [chore.slot()]


async def test_a_first_start_is_late_for_nothing(studio: Studio, chore: Chore, work: Work) -> None:
    async for _ in keep(studio, chore, Inngest()):
        await until(lambda: _fetch(studio.db, "SELECT count(*) FROM chores"), what="the chore is met")
    assert work.done == []


async def _true(value: bool) -> bool:
    return value


async def _fetch(db: Pool, query: str) -> bool:
    return bool(await db.fetchval(query))


def test_every_chore_has_a_name_of_its_own() -> None:
    assert len({chore.id for chore in CHORES}) == len(CHORES)


# ---------------------------------------------------------------- what they do


@pytest.fixture
async def telegram(studio: Studio) -> AsyncIterator[TelegramStand]:
    stand = TelegramStand()
    await stand.start()
    yield stand
    await stand.close()


@pytest.fixture
async def open_studio(studio: Studio, telegram: TelegramStand) -> AsyncIterator[Studio]:
    bots = create_bots({"main": BOT_TOKEN}, telegram.url)
    for bot in bots.values():
        await bot.get_me()
    for user_id in (1001, ADMIN):
        await Person(telegram, user_id).say("/start")
    yield replace(studio, bots=bots, admins=frozenset({ADMIN}))
    for bot in bots.values():
        await bot.session.close()


async def test_the_summary_counts_the_day(open_studio: Studio, telegram: TelegramStand, db: Pool) -> None:
    await add_user(db)
    await send_summary(open_studio, datetime.now(UTC) + timedelta(seconds=5))
    (message,) = await Person(telegram, ADMIN).from_bot()
    assert "People: 1 new, 0 ordered" in message["text"]


async def test_a_payment_whose_update_was_lost_is_credited_once(
    open_studio: Studio, telegram: TelegramStand, db: Pool
) -> None:
    await add_user(db, stars=0)
    await Payments(open_studio).send_invoice(user_id=1001, bot_name="main", chat_id=1001, language="en", stars=100)
    (invoice,) = await telegram.calls("sendInvoice")
    telegram.pay_without_update(1001, 100, invoice["params"]["payload"])
    await reconcile_stars(open_studio, datetime.now(UTC))
    assert (await get_balance(db, 1001)).available == 100
    assert "Missing in the ledger: 1" in (await Person(telegram, ADMIN).from_bot())[-1]["text"]
    again = await reconcile(open_studio)
    assert (again.payments, again.credited, again.unknown) == (1, 0, 0)
    assert (await check_ledger(db)).right
