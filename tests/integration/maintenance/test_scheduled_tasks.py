"""Scheduled tasks: run once for each time they are due, by Inngest's cron or by our process; and what they do."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from bot.telegram.bots import create_bots
from inngest_functions.functions.scheduled_tasks import create_scheduled_task_function
from services.billing.payments import Payments
from services.billing.reconciliation import Reconciliation
from services.billing.refunds import Refunds
from services.core.i18n import Texts
from services.job_kinds import JOB_KINDS
from services.jobs.routing import PlanRouter
from services.maintenance.cleanup import clean_up
from services.maintenance.scheduled_tasks import ScheduledTask, Scheduler, create_scheduled_tasks, run_task
from services.messaging.bots import Bots
from services.messaging.messenger import Messenger
from services.messaging.stars import StarsApi
from services.monitoring.daily_summary import send_daily_summary
from services.notifications.admins import AdminNotifier
from storage.money.ledger import check_ledger, get_balance
from storage.pool import Pool
from tests.support.environments.environment import BOT_TOKEN, TEXTS, SandboxTelegram, SandboxUser
from tests.support.environments.plan_a import FakePlanA
from tests.support.inngest_kit import FakeStep, RecordingClient, build_event, run_function
from tests.support.test_data.factories import add_user

ADMIN = 7


@dataclass
class RecordedTask:
    """A task's work: records its runs, waits until it may end, and fails the first `fail` times."""

    done: list[datetime] = field(default_factory=list)
    fail: int = 0
    may_end: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scheduled_for: datetime) -> None:
        await self.may_end.wait()
        if self.fail:
            self.fail -= 1
            raise RuntimeError("not this time")
        self.done.append(scheduled_for)


@pytest.fixture
def recorded_task() -> RecordedTask:
    work = RecordedTask()
    work.may_end.set()
    return work


@pytest.fixture
def task(recorded_task: RecordedTask) -> ScheduledTask:
    return ScheduledTask("sweep", recorded_task, "hour")


def scheduler(db: Pool, inngest: FakePlanA, *tasks: ScheduledTask) -> Scheduler:
    return Scheduler(db, PlanRouter(db, inngest, list(JOB_KINDS)), tasks)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "now", "scheduled_for", "cron"),
    [
        (("hour", 7, 0), "2026-03-01T10:06:59", "2026-03-01T09:07", "7 * * * *"),
        (("hour", 7, 0), "2026-03-01T10:07:00", "2026-03-01T10:07", "7 * * * *"),
        (("hour", 7, 0), "2026-03-01T00:03:00", "2026-02-28T23:07", "7 * * * *"),
        (("day", 20, 4), "2026-03-01T04:19:00", "2026-02-28T04:20", "20 4 * * *"),
        (("day", 20, 4), "2026-03-01T23:00:00", "2026-03-01T04:20", "20 4 * * *"),
    ],
)
def test_last_due_at_is_the_latest_time_by_its_cron(
    schedule: Any, now: str, scheduled_for: str, cron: str, recorded_task: RecordedTask
) -> None:
    interval, minute, hour = schedule
    made = ScheduledTask("sweep", recorded_task, interval, minute=minute, hour=hour)
    assert (made.last_due_at(at(now)), made.cron) == (at(scheduled_for), cron)


async def test_run_task_from_two_plans_and_ten_processes_runs_once(
    db: Pool, task: ScheduledTask, recorded_task: RecordedTask
) -> None:
    scheduled_for = task.last_due_at()
    ran = await asyncio.gather(*(run_task(db, task, scheduled_for, plan) for plan in ("A", "B") * 5))
    assert ran.count(True) == 1
    assert recorded_task.done == [scheduled_for]
    assert not await run_task(db, task, scheduled_for, "B"), "it is not done again later"


async def test_run_task_after_a_failure_can_be_retried_at_once(
    db: Pool, task: ScheduledTask, recorded_task: RecordedTask
) -> None:
    recorded_task.fail = 1
    with pytest.raises(RuntimeError):
        await run_task(db, task, task.last_due_at(), "A")
    assert await run_task(db, task, task.last_due_at(), "B")


async def test_run_task_after_a_crash_can_be_retried_when_the_claim_has_expired(
    db: Pool, task: ScheduledTask
) -> None:
    scheduled_for = task.last_due_at()
    await db.execute(
        "INSERT INTO scheduled_tasks VALUES ('sweep', $1, 'A', now() + interval '1 minute')", scheduled_for
    )
    assert not await run_task(db, task, scheduled_for, "B")
    await db.execute("UPDATE scheduled_tasks SET claimed_until = now() - interval '1 second'")
    assert await run_task(db, task, scheduled_for, "B")


async def make_overdue(db: Pool, task: ScheduledTask) -> None:
    """Make it look as if the task was known before its last due time and has not run since."""
    await db.execute("DELETE FROM scheduled_tasks WHERE id = $1", task.id)
    earlier = task.last_due_at() - timedelta(hours=1)
    await db.execute("INSERT INTO scheduled_tasks VALUES ($1, $2, 'B', now(), now())", task.id, earlier)


async def test_scheduler_with_inngest_unavailable_runs_what_is_due(
    db: Pool, task: ScheduledTask, recorded_task: RecordedTask
) -> None:
    await make_overdue(db, task)
    process = scheduler(db, FakePlanA(), task)
    await process.run_due()
    await process.run_due()
    assert recorded_task.done == [task.last_due_at()]


async def test_scheduler_gives_inngest_its_grace_period_first(
    db: Pool, task: ScheduledTask, recorded_task: RecordedTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task that has just become due is left to Inngest; if its cron function runs it, no process does."""
    await make_overdue(db, task)
    monkeypatch.setattr("services.maintenance.scheduled_tasks._INNGEST_GRACE", timedelta(hours=2))
    inngest = FakePlanA(healthy=True)
    process = scheduler(db, inngest, task)
    await process.run_due()
    assert recorded_task.done == []
    function = create_scheduled_task_function(RecordingClient(), db, task)
    end = await run_function(function, build_event("demo/hello.world"), FakeStep())
    assert end.output == {"scheduled_for": task.last_due_at().isoformat(), "done": True}
    inngest.healthy = False
    await process.run_due()
    assert recorded_task.done == [task.last_due_at()]


async def test_scheduler_at_the_first_start_runs_nothing(
    db: Pool, task: ScheduledTask, recorded_task: RecordedTask
) -> None:
    await scheduler(db, FakePlanA(), task).run_due()
    assert await db.fetchval("SELECT count(*) FROM scheduled_tasks") == 1
    assert recorded_task.done == []


@pytest.mark.parametrize("error", [RuntimeError("a bug"), ConnectionRefusedError()])
async def test_scheduler_with_a_failing_task_runs_the_others(
    db: Pool, task: ScheduledTask, recorded_task: RecordedTask, error: Exception
) -> None:
    async def fail(scheduled_for: datetime) -> None:
        raise error

    failing = ScheduledTask("failing", fail, "hour")
    for each in (failing, task):
        await make_overdue(db, each)
    process = scheduler(db, FakePlanA(), failing, task)
    await process.run_due()
    assert recorded_task.done == [task.last_due_at()]


# ---------------------------------------------------------------- what they do


@dataclass
class Parts:
    """What scheduled tasks work with."""

    db: Pool
    messenger: Messenger
    admins: AdminNotifier
    payments: Payments
    reconciliation: Reconciliation


@pytest.fixture
async def telegram() -> AsyncIterator[SandboxTelegram]:
    server = SandboxTelegram()
    await server.start()
    yield server
    await server.close()


@pytest.fixture
async def parts(db: Pool, telegram: SandboxTelegram) -> AsyncIterator[Parts]:
    bots = Bots(create_bots({"main": BOT_TOKEN}, telegram.url))
    await bots.get("main").get_me()
    for user_id in (1001, ADMIN):
        await SandboxUser(telegram, user_id).send_text("/start")
    messenger, stars = Messenger(db, bots, Texts()), StarsApi(bots)
    admins = AdminNotifier(db, messenger, frozenset({ADMIN}))
    payments, refunds = Payments(db, stars, TEXTS, {"main": BOT_TOKEN}), Refunds(db, stars, admins)
    reconciliation = Reconciliation(db, stars, payments, refunds, admins)
    yield Parts(db, messenger, admins, payments, reconciliation)
    await bots.get("main").session.close()


def test_create_scheduled_tasks_ids_are_unique() -> None:
    nothing = cast("Any", None)
    reconciliation = Reconciliation(nothing, nothing, nothing, nothing, nothing)
    tasks = create_scheduled_tasks(nothing, TEXTS, nothing, reconciliation)
    assert len({task.id for task in tasks}) == len(tasks)
    (cleanup,) = [task for task in tasks if task.id == "cleanup"]
    assert (cleanup.function_id, cleanup.interval) == ("cleanup", "hour")


async def test_daily_summary_counts_the_day(parts: Parts, telegram: SandboxTelegram, db: Pool) -> None:
    await add_user(db)
    await send_daily_summary(db, parts.admins, datetime.now(UTC) + timedelta(seconds=5))
    (message,) = await SandboxUser(telegram, ADMIN).bot_messages()
    assert "People: 1 new, 0 ordered" in message["text"]


async def test_clean_up_deletes_only_old_rows(db: Pool) -> None:
    await add_user(db)
    for key, age in (("old", "91 days"), ("new", "89 days")):
        await db.execute(
            "INSERT INTO notifications (key, user_id, created_at) VALUES ($1, 1001, now() - $2::text::interval)",
            key,
            age,
        )
    await clean_up(db, datetime.now(UTC))
    assert [row["key"] for row in await db.fetch("SELECT key FROM notifications")] == ["new"]


async def test_reconciliation_credits_a_payment_whose_update_was_lost_once(
    parts: Parts, telegram: SandboxTelegram, db: Pool
) -> None:
    await add_user(db, credits=0)
    await parts.payments.send_invoice(user_id=1001, bot_name="main", chat_id=1001, language="en", stars=100)
    (invoice,) = await telegram.api_calls("sendInvoice")
    telegram.pay_without_update(1001, 100, invoice["params"]["payload"])
    await parts.reconciliation.run_daily(datetime.now(UTC))
    assert (await get_balance(db, 1001)).available == 100
    assert "Missing in the ledger: 1" in (await SandboxUser(telegram, ADMIN).bot_messages())[-1]["text"]
    again = await parts.reconciliation.run()
    assert (again.payments, again.credited, again.unknown_users) == (1, 0, 0)
    assert (await check_ledger(db)).is_consistent
