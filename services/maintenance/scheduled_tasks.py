"""Scheduled tasks: work that is due every hour or day, done once per due time across all processes and plans.

Inngest's cron runs them. If Inngest is unavailable or late, one of our processes does. Both call `run_task`, which
claims the due time in the database, so that only one of them runs the task.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final, Literal

from loguru import logger

from services.billing.reconciliation import Reconciliation
from services.billing.subscriptions import send_subscription_reminders
from services.core.i18n import Texts
from services.jobs.expiry import expire_stale_jobs
from services.jobs.routing import PlanRouter
from services.ledger.proof import verify_ledger
from services.maintenance.cleanup import clean_up
from services.monitoring.daily_summary import send_daily_summary
from services.notifications.admins import AdminNotifier
from storage.jobs.jobs import Plan
from storage.pool import DATABASE_UNAVAILABLE, Pool
from storage.scheduled_tasks import claim_task, finish_task, is_task_done, register_task, release_task

_CLAIM_SECONDS: Final = 600.0
_INNGEST_GRACE: Final = timedelta(seconds=90)
"""How long to wait for Inngest, while it is available, before one of our processes runs a due task."""


@dataclass(frozen=True)
class ScheduledTask:
    """A task due every hour at `minute`, or every day at `hour`:`minute`, in UTC.

    Attributes:
        id: The task's id in the database.
        run: Does the work. Called with the time for which the task was due, and again if it failed.
        interval: How often the task is due.
        minute: The minute of the hour.
        hour: The hour of the day, for a daily task.
    """

    id: str
    run: Callable[[datetime], Awaitable[None]]
    interval: Literal["hour", "day"]
    minute: int = 0
    hour: int = 0

    @property
    def function_id(self) -> str:
        """The id of the Inngest function that runs the task."""
        return self.id.replace("_", "-")

    @property
    def cron(self) -> str:
        """The schedule, as a cron expression in UTC."""
        return f"{self.minute} {'*' if self.interval == 'hour' else self.hour} * * *"

    def last_due_at(self, now: datetime | None = None) -> datetime:
        """Return the latest due time at or before `now`."""
        now = now or datetime.now(UTC)
        due = now.replace(minute=self.minute, second=0, microsecond=0)
        if self.interval == "day":
            due = due.replace(hour=self.hour)
        step = timedelta(hours=1) if self.interval == "hour" else timedelta(days=1)
        return due if due <= now else due - step


def create_scheduled_tasks(
    db: Pool, texts: Texts, admins: AdminNotifier, reconciliation: Reconciliation
) -> tuple[ScheduledTask, ...]:
    """Create all scheduled tasks.

    Args:
        db: The database.
        texts: The texts, for subscription reminders.
        admins: Sends the daily summary to the admins.
        reconciliation: Compares our payments with Telegram's list.
    """
    return (
        ScheduledTask("expire_stale_jobs", partial(expire_stale_jobs, db), "hour", minute=7),
        ScheduledTask("cleanup", partial(clean_up, db), "hour", minute=22),
        ScheduledTask("check_ledger", partial(verify_ledger, db), "hour", minute=37),
        ScheduledTask("tell_ends", partial(send_subscription_reminders, db, texts), "hour", minute=37),
        ScheduledTask("reconcile_stars", reconciliation.run_daily, "day", hour=4, minute=20),
        ScheduledTask("daily_summary", partial(send_daily_summary, db, admins), "day", hour=6, minute=0),
    )


async def run_task(db: Pool, task: ScheduledTask, scheduled_for: datetime, plan: Plan) -> bool:
    """Run a task for one of its due times, unless it is done or another process is running it.

    Args:
        db: The database.
        task: The task.
        scheduled_for: The time for which the task was due.
        plan: The plan that runs it, for the record.

    Returns:
        Whether this call ran the task.

    Raises:
        Exception: The task's exception. Another process may then run the task at once.
    """
    if not await claim_task(db, task.id, scheduled_for, plan, seconds=_CLAIM_SECONDS):
        return False
    try:
        await task.run(scheduled_for)
    except BaseException:
        await asyncio.shield(release_task(db, task.id, scheduled_for))
        raise
    await finish_task(db, task.id, scheduled_for)
    logger.info("scheduled task done", task=task.id, scheduled_for=scheduled_for, plan=plan)
    return True


class Scheduler:
    """Runs the scheduled tasks that Inngest did not run.

    Args:
        db: The database.
        router: Tells whether Inngest is available.
        tasks: All scheduled tasks.
    """

    def __init__(self, db: Pool, router: PlanRouter, tasks: Sequence[ScheduledTask]) -> None:
        self._db = db
        self._router = router
        self._tasks = tasks
        self._registered = False
        self._waiting: set[str] = set()

    async def run_due(self) -> None:
        """Run the overdue tasks. To be called every few seconds.

        A failed task is logged and retried at the next call; the others still run. If the database is unavailable or
        too slow, that is logged only once per outage.

        Raises:
            OSError: Or another of DATABASE_UNAVAILABLE, if the tasks could not be registered.
        """
        if not self._registered:
            for task in self._tasks:
                await register_task(self._db, task.id, task.last_due_at())
            self._registered = True
        for task in self._tasks:
            try:
                await self._run_if_overdue(task)
                self._waiting.discard(task.id)
            except DATABASE_UNAVAILABLE as error:
                if task.id not in self._waiting:
                    logger.warning("scheduled task waits, database unavailable", task=task.id, error=error)
                self._waiting.add(task.id)
            except Exception as error:  # noqa: BLE001 - one task must not keep the others from running
                logger.opt(exception=error).error("scheduled task failed", task=task.id, plan="B")

    async def _run_if_overdue(self, task: ScheduledTask) -> None:
        scheduled_for = task.last_due_at()
        if self._router.plan_a.healthy and datetime.now(UTC) - scheduled_for < _INNGEST_GRACE:
            return
        if not await is_task_done(self._db, task.id, scheduled_for):
            await run_task(self._db, task, scheduled_for, "B")
