"""Chores are done once for each time they are due, by Inngest's cron or by a process of ours; and what they do."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from bot.telegram.bots import create_bots
from inngest_functions.functions.scheduled_tasks import create_scheduled_task_function
from services.billing.payments import Payments
from services.billing.reconciliation import reconcile_payments, run_daily_reconciliation
from services.core.background import BackgroundTasks
from services.core.i18n import Texts
from services.job_kinds import JOB_KINDS
from services.jobs.routing import PlanRouter
from services.maintenance.scheduled_tasks import SCHEDULED_TASKS, ScheduledTask, run_scheduler, run_task
from services.messaging.app_context import AppContext
from services.monitoring.daily_summary import send_daily_summary
from storage.money.ledger import check_ledger, get_balance
from storage.pool import Pool
from tests.support.environments.environment import BOT_TOKEN, SandboxTelegram, SandboxUser, wait_until
from tests.support.inngest_kit import FakeStep, RecordingClient, build_event, run_function
from tests.support.test_data.factories import add_user

ADMIN = 7


@dataclass
class RecordedTask:
    """What a chore does here: counts, waits if told to, fails if told to."""

    done: list[datetime] = field(default_factory=list)
    fail: int = 0
    may_end: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, app_context: AppContext, slot: datetime) -> None:
        await self.may_end.wait()
        if self.fail:
            self.fail -= 1
            raise RuntimeError("not this time")
        self.done.append(slot)


@dataclass
class FakeInngest:
    healthy: bool = False


@pytest.fixture
def recorded_task() -> RecordedTask:
    work = RecordedTask()
    work.may_end.set()
    return work


@pytest.fixture
def task(recorded_task: RecordedTask) -> ScheduledTask:
    return ScheduledTask("sweep", recorded_task, "hour")


@pytest.fixture
def app_context(db: Pool) -> AppContext:
    return AppContext(db, {}, Texts(), cast("Any", None))


async def scheduler(app_context: AppContext, chore: ScheduledTask, inngest: FakeInngest) -> AsyncIterator[None]:
    background = BackgroundTasks()
    plans = PlanRouter(app_context.db, cast("Any", inngest), list(JOB_KINDS))
    background.run_forever(lambda: run_scheduler(app_context, plans, [chore]), "chores")
    yield
    await background.drain(0)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("task", "now", "slot", "cron"),
    [
        (("hour", 7, 0), "2026-03-01T10:06:59", "2026-03-01T09:07", "7 * * * *"),
        (("hour", 7, 0), "2026-03-01T10:07:00", "2026-03-01T10:07", "7 * * * *"),
        (("hour", 7, 0), "2026-03-01T00:03:00", "2026-02-28T23:07", "7 * * * *"),
        (("day", 20, 4), "2026-03-01T04:19:00", "2026-02-28T04:20", "20 4 * * *"),
        (("day", 20, 4), "2026-03-01T23:00:00", "2026-03-01T04:20", "20 4 * * *"),
    ],
)
def test_when_a_scheduled_task_is_due(
    task: Any, now: str, slot: str, cron: str, recorded_task: RecordedTask
) -> None:
    every, minute, hour = task
    made = ScheduledTask("sweep", recorded_task, every, minute=minute, hour=hour)
    assert (made.last_due_at(at(now)), made.cron) == (at(slot), cron)


async def test_two_plans_and_ten_processes_do_it_once(
    app_context: AppContext, task: ScheduledTask, recorded_task: RecordedTask
) -> None:
    slot = task.last_due_at()
    did = await asyncio.gather(*(run_task(app_context, task, slot, plan) for plan in ("A", "B") * 5))
    assert did.count(True) == 1
    assert recorded_task.done == [slot]
    assert not await run_task(app_context, task, slot, "B"), "a slot that is done stays done"


async def test_one_that_failed_can_be_had_by_another_at_once(
    app_context: AppContext, task: ScheduledTask, recorded_task: RecordedTask
) -> None:
    recorded_task.fail = 1
    with pytest.raises(RuntimeError):
        await run_task(app_context, task, task.last_due_at(), "A")
    assert await run_task(app_context, task, task.last_due_at(), "B")


async def test_one_whose_process_died_is_had_again_after_its_claim(
    app_context: AppContext, task: ScheduledTask, db: Pool
) -> None:
    slot = task.last_due_at()
    await db.execute("INSERT INTO scheduled_tasks VALUES ('sweep', $1, 'A', now() + interval '1 minute')", slot)
    assert not await run_task(app_context, task, slot, "B")
    await db.execute("UPDATE scheduled_tasks SET claimed_until = now() - interval '1 second'")
    assert await run_task(app_context, task, slot, "B")


async def due_tasks(app_context: AppContext, chore: ScheduledTask) -> None:
    """As if the chore had been known before its last slot, and not done since."""
    await app_context.db.execute("DELETE FROM scheduled_tasks")
    earlier = chore.last_due_at() - timedelta(hours=1)
    done = "INSERT INTO scheduled_tasks VALUES ($1, $2, 'B', now(), now())"
    await app_context.db.execute(done, chore.id, earlier)


async def test_a_process_does_it_while_inngest_is_unavailable(
    app_context: AppContext, task: ScheduledTask, recorded_task: RecordedTask
) -> None:
    await due_tasks(app_context, task)
    async for _ in scheduler(app_context, task, FakeInngest(healthy=False)):
        await wait_until(lambda: _true(recorded_task.done == [task.last_due_at()]), what="the chore is done")


async def test_a_healthy_inngest_has_its_time_first(
    app_context: AppContext, task: ScheduledTask, recorded_task: RecordedTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is freshly due is left to it; its cron function does the work, and then nobody else."""
    await due_tasks(app_context, task)
    monkeypatch.setattr("services.maintenance.scheduled_tasks._INNGEST_GRACE", timedelta(hours=2))
    monkeypatch.setattr("services.maintenance.scheduled_tasks._POLL_SECONDS", 0.01)
    inngest = FakeInngest(healthy=True)
    async for _ in scheduler(app_context, task, inngest):
        client = RecordingClient()
        step = FakeStep()
        function = create_scheduled_task_function(client, app_context, task)
        end = await run_function(function, build_event("demo/hello.world"), step)
        assert end.output == {"slot": task.last_due_at().isoformat(), "done": True}
        inngest.healthy = False
    assert recorded_task.done == [task.last_due_at()]


async def test_a_first_start_is_late_for_nothing(
    app_context: AppContext, task: ScheduledTask, recorded_task: RecordedTask
) -> None:
    async for _ in scheduler(app_context, task, FakeInngest()):
        await wait_until(
            lambda: _fetch(app_context.db, "SELECT count(*) FROM scheduled_tasks"), what="the task is registered"
        )
    assert recorded_task.done == []


async def _true(value: bool) -> bool:
    return value


async def _fetch(db: Pool, query: str) -> bool:
    return bool(await db.fetchval(query))


def test_scheduled_task_names_are_unique() -> None:
    assert len({chore.id for chore in SCHEDULED_TASKS}) == len(SCHEDULED_TASKS)


# ---------------------------------------------------------------- what they do


@pytest.fixture
async def telegram(app_context: AppContext) -> AsyncIterator[SandboxTelegram]:
    server = SandboxTelegram()
    await server.start()
    yield server
    await server.close()


@pytest.fixture
async def open_studio(app_context: AppContext, telegram: SandboxTelegram) -> AsyncIterator[AppContext]:
    bots = create_bots({"main": BOT_TOKEN}, telegram.url)
    for bot in bots.values():
        await bot.get_me()
    for user_id in (1001, ADMIN):
        await SandboxUser(telegram, user_id).send_text("/start")
    yield replace(app_context, bots=bots, admins=frozenset({ADMIN}))
    for bot in bots.values():
        await bot.session.close()


async def test_the_summary_counts_the_day(open_studio: AppContext, telegram: SandboxTelegram, db: Pool) -> None:
    await add_user(db)
    await send_daily_summary(open_studio, datetime.now(UTC) + timedelta(seconds=5))
    (message,) = await SandboxUser(telegram, ADMIN).bot_messages()
    assert "People: 1 new, 0 ordered" in message["text"]


async def test_a_payment_whose_update_was_lost_is_credited_once(
    open_studio: AppContext, telegram: SandboxTelegram, db: Pool
) -> None:
    await add_user(db, credits=0)
    await Payments(open_studio).send_invoice(user_id=1001, bot_name="main", chat_id=1001, language="en", stars=100)
    (invoice,) = await telegram.api_calls("sendInvoice")
    telegram.pay_without_update(1001, 100, invoice["params"]["payload"])
    await run_daily_reconciliation(open_studio, datetime.now(UTC))
    assert (await get_balance(db, 1001)).available == 100
    assert "Missing in the ledger: 1" in (await SandboxUser(telegram, ADMIN).bot_messages())[-1]["text"]
    again = await reconcile_payments(open_studio)
    assert (again.payments, again.credited, again.unknown_users) == (1, 0, 0)
    assert (await check_ledger(db)).is_consistent
