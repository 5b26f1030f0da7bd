"""Chores: what has to be done every hour or day, once over all processes and both plans.

Inngest's cron does them; where Inngest is unavailable, or late, one of our processes does.
Both go through `perform`, and a slot in the database can be had by one of them only.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from loguru import logger

from services.billing.reconciliation import run_daily_reconciliation
from services.billing.subscriptions import send_subscription_reminders
from services.jobs.expiry import expire_stale_jobs
from services.jobs.routing import PlanRouter
from services.ledger.proof import verify_ledger
from services.messaging.app_context import AppContext
from services.monitoring.daily_summary import send_daily_summary
from storage.jobs.jobs import Plan
from storage.pool import DATABASE_UNAVAILABLE
from storage.scheduled_tasks import claim_task, finish_task, is_task_done, register_task, release_task

_POLL_SECONDS: Final = 5.0
_CLAIM_SECONDS: Final = 600.0
_INNGEST_GRACE: Final = timedelta(seconds=90)
"""How long a healthy Inngest has to do what is due before a process of ours does."""


@dataclass(frozen=True)
class ScheduledTask:
    """Due every hour at `minute`, or every day at `hour`:`minute`, in UTC."""

    id: str
    run: Callable[[AppContext, datetime], Awaitable[None]]
    """Given the slot it is for."""
    interval: Literal["hour", "day"]
    minute: int = 0
    hour: int = 0

    @property
    def function_id(self) -> str:
        return self.id.replace("_", "-")

    @property
    def cron(self) -> str:
        return f"{self.minute} {'*' if self.interval == 'hour' else self.hour} * * *"

    def last_due_at(self, now: datetime | None = None) -> datetime:
        """The latest moment at which it was due."""
        now = now or datetime.now(UTC)
        due = now.replace(minute=self.minute, second=0, microsecond=0)
        if self.interval == "day":
            due = due.replace(hour=self.hour)
        step = timedelta(hours=1) if self.interval == "hour" else timedelta(days=1)
        return due if due <= now else due - step


SCHEDULED_TASKS: Final[Sequence[ScheduledTask]] = (
    ScheduledTask("expire_stale_jobs", expire_stale_jobs, "hour", minute=7),
    ScheduledTask("check_ledger", verify_ledger, "hour", minute=37),
    ScheduledTask("tell_ends", send_subscription_reminders, "hour", minute=37),
    ScheduledTask("reconcile_stars", run_daily_reconciliation, "day", hour=4, minute=20),
    ScheduledTask("daily_summary", send_daily_summary, "day", hour=6, minute=0),
)


async def run_task(studio: AppContext, task: ScheduledTask, scheduled_for: datetime, plan: Plan) -> bool:
    """Do what is due, unless it is done or another is at it; says whether this call did it."""
    if not await claim_task(studio.db, task.id, scheduled_for, plan, seconds=_CLAIM_SECONDS):
        return False
    try:
        await task.run(studio, scheduled_for)
    except BaseException:
        await asyncio.shield(release_task(studio.db, task.id, scheduled_for))
        raise
    await finish_task(studio.db, task.id, scheduled_for)
    logger.info("chore {} of {} is done on plan {}", task.id, scheduled_for.isoformat(), plan)
    return True


async def run_scheduler(
    studio: AppContext, plans: PlanRouter, tasks: Sequence[ScheduledTask] = SCHEDULED_TASKS
) -> None:
    """Do what Inngest does not, for ever."""
    for task in tasks:
        await register_task(studio.db, task.id, task.last_due_at())
    while True:
        for task in tasks:
            try:
                await _run_if_overdue(studio, plans, task)
            except DATABASE_UNAVAILABLE as error:
                logger.warning("chore {} waits, the database is away: {}", task.id, error)
            except Exception as error:  # noqa: BLE001 - one chore must not keep the others from being done
                logger.opt(exception=error).error("chore {} failed on plan B; it is tried again", task.id)
        await asyncio.sleep(_POLL_SECONDS)


async def _run_if_overdue(studio: AppContext, plans: PlanRouter, task: ScheduledTask) -> None:
    scheduled_for = task.last_due_at()
    if plans.plan_a.healthy and datetime.now(UTC) - scheduled_for < _INNGEST_GRACE:
        return
    if not await is_task_done(studio.db, task.id, scheduled_for):
        await run_task(studio, task, scheduled_for, "B")
