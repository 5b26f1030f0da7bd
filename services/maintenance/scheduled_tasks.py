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

from services.billing.reconciliation import reconcile_stars
from services.billing.subscriptions import tell_ends
from services.jobs.expiry import expire_stale_jobs
from services.jobs.routing import Plans
from services.ledger.proof import prove_ledger
from services.messaging.app_context import Studio
from services.monitoring.daily_summary import send_summary
from storage.jobs.jobs import Plan
from storage.pool import DATABASE_AWAY
from storage.scheduled_tasks import chore_is_done, claim_chore, finish_chore, give_up_chore, meet_chore

_LOOK_EVERY: Final = 5.0
_CLAIM_SECONDS: Final = 600.0
_INNGEST_HAS: Final = timedelta(seconds=90)
"""How long a healthy Inngest has to do what is due before a process of ours does."""


@dataclass(frozen=True)
class Chore:
    """Due every hour at `minute`, or every day at `hour`:`minute`, in UTC."""

    id: str
    work: Callable[[Studio, datetime], Awaitable[None]]
    """Given the slot it is for."""
    every: Literal["hour", "day"]
    minute: int = 0
    hour: int = 0

    @property
    def function_id(self) -> str:
        return self.id.replace("_", "-")

    @property
    def cron(self) -> str:
        return f"{self.minute} {'*' if self.every == 'hour' else self.hour} * * *"

    def slot(self, now: datetime | None = None) -> datetime:
        """The latest moment at which it was due."""
        now = now or datetime.now(UTC)
        due = now.replace(minute=self.minute, second=0, microsecond=0)
        if self.every == "day":
            due = due.replace(hour=self.hour)
        step = timedelta(hours=1) if self.every == "hour" else timedelta(days=1)
        return due if due <= now else due - step


CHORES: Final[Sequence[Chore]] = (
    Chore("expire_stale_jobs", expire_stale_jobs, "hour", minute=7),
    Chore("check_ledger", prove_ledger, "hour", minute=37),
    Chore("tell_ends", tell_ends, "hour", minute=37),
    Chore("reconcile_stars", reconcile_stars, "day", hour=4, minute=20),
    Chore("daily_summary", send_summary, "day", hour=6, minute=0),
)


async def perform(studio: Studio, chore: Chore, slot: datetime, plan: Plan) -> bool:
    """Do what is due, unless it is done or another is at it; says whether this call did it."""
    if not await claim_chore(studio.db, chore.id, slot, plan, seconds=_CLAIM_SECONDS):
        return False
    try:
        await chore.work(studio, slot)
    except BaseException:
        await asyncio.shield(give_up_chore(studio.db, chore.id, slot))
        raise
    await finish_chore(studio.db, chore.id, slot)
    logger.info("chore {} of {} is done on plan {}", chore.id, slot.isoformat(), plan)
    return True


async def keep_chores(studio: Studio, plans: Plans, chores: Sequence[Chore] = CHORES) -> None:
    """Do what Inngest does not, for ever."""
    for chore in chores:
        await meet_chore(studio.db, chore.id, chore.slot())
    while True:
        for chore in chores:
            try:
                await _look_after(studio, plans, chore)
            except DATABASE_AWAY as error:
                logger.warning("chore {} waits, the database is away: {}", chore.id, error)
            except Exception as error:  # noqa: BLE001 - one chore must not keep the others from being done
                logger.opt(exception=error).error("chore {} failed on plan B; it is tried again", chore.id)
        await asyncio.sleep(_LOOK_EVERY)


async def _look_after(studio: Studio, plans: Plans, chore: Chore) -> None:
    slot = chore.slot()
    if plans.plan_a.healthy and datetime.now(UTC) - slot < _INNGEST_HAS:
        return
    if not await chore_is_done(studio.db, chore.id, slot):
        await perform(studio, chore, slot, "B")
