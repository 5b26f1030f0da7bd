"""The data of the live page: collected at most once per second for all viewers, and not at all without any."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import asyncpg
from loguru import logger

from services.broadcast.progress import BroadcastProgress, get_broadcast_progress
from services.core.background import BackgroundTasks
from services.core.i18n import Texts
from services.jobs.routing import PlanRouter
from services.jobs.worker import Worker
from storage.pool import DATABASE_UNAVAILABLE, Pool
from storage.reports.dashboard import (
    MINUTES,
    AccountFlow,
    EndedStats,
    account_flows_today,
    ended_stats,
    latest_timeline,
)
from storage.reports.job_detail import JobSearch, JobSummary, search_jobs
from storage.reports.order_status import OpenOrders, count_recoveries, open_orders
from web.dashboard.formatting import service_names
from web.dashboard.timeline import timeline_entries

Sections = dict[str, str]
"""The JSON of each section, by its name, so that only changed sections have to be sent."""
ReadHealth = Callable[[], Awaitable[Mapping[str, Any]]]
"""Returns the body of `/health`."""

INTERVAL_SECONDS: Final = 1.0
_BACKOFF_FACTOR: Final = 10
"""After a read, the database is not queried again for ten times as long as the read took."""
_MONEY_INTERVAL_SECONDS: Final = 10.0
_BROADCAST_INTERVAL_SECONDS: Final = 2.0
_HOUR: Final = timedelta(hours=1)
_MAX_JOBS: Final = 8
_MAX_TIMELINE_ENTRIES: Final = 30
_PLANS: Final = ("A", "B")
_MONEY_ACCOUNTS: Final = {
    "paid": ("stars", False),
    "paid_back": ("stars", True),
    "earned": ("revenue", True),
    "given_back": ("revenue", False),
    "gifts": ("bonuses", False),
}
"""For each figure, our account, and whether the credits enter (True) or leave it (False)."""


class LiveSnapshot:
    """Collects the sections of the live page.

    Args:
        db: The database.
        texts: The names of services and incidents.
        router: The modes, and Inngest's health.
        worker: Plan B's worker in this process.
        background: Runs the reading of `/health`, which the figures do not wait for.
        read_health: Returns the body of `/health`.
    """

    def __init__(
        self,
        db: Pool,
        texts: Texts,
        router: PlanRouter,
        worker: Worker,
        background: BackgroundTasks,
        read_health: ReadHealth,
    ) -> None:
        self._db = db
        self._texts = texts
        self._router = router
        self._worker = worker
        self._background = background
        self._read_health = read_health
        self._names = service_names(texts)
        self._health_task: asyncio.Task[Mapping[str, Any]] | None = None
        self._health: Mapping[str, Any] = {}
        self._money: tuple[float, list[AccountFlow]] = (float("-inf"), [])
        self._broadcast: tuple[float, dict[str, Any]] = (float("-inf"), {})
        self._sections: Sections = {}
        self._next_read_at = 0.0
        self._lock = asyncio.Lock()

    async def latest(self) -> Sections:
        """The latest sections. Concurrent callers share one read of the database.

        While the database is unavailable, these are the last known sections, with the error in the section `trouble`.
        """
        async with self._lock:
            started_at = time.monotonic()
            if started_at >= self._next_read_at:
                try:
                    self._sections = await self._collect()
                except (*DATABASE_UNAVAILABLE, asyncpg.PostgresError) as error:
                    logger.warning("dashboard not refreshed, database unavailable", error=error)
                    self._sections = {**self._sections, "trouble": _json({"database": type(error).__name__})}
                self._next_read_at = started_at + max(
                    INTERVAL_SECONDS, _BACKOFF_FACTOR * (time.monotonic() - started_at)
                )
            return self._sections

    async def _collect(self) -> Sections:
        db = self._db
        ended, queues = await ended_stats(db), await open_orders(db)
        recoveries = await count_recoveries(db, datetime.now(UTC) - _HOUR)
        events = await latest_timeline(db, limit=_MAX_TIMELINE_ENTRIES)
        changes = await self._router.mode_changes(limit=_MAX_TIMELINE_ENTRIES)
        timeline = timeline_entries(events, changes, self._names, self._texts)
        sections = {
            "names": self._names,
            "plans": {
                **self._plan_a_state(),
                "mode": self._router.default_mode,
                "in_flight": self._worker.in_flight,
                "fell_back": recoveries.fell_back,
                "taken_over": recoveries.taken_over,
                **{plan: _plan_section(plan, ended, queues) for plan in _PLANS},
            },
            "minutes": _minutes_section(ended),
            "services": [self._service_section(service, ended, queues) for service in self._names],
            "timeline": timeline[:_MAX_TIMELINE_ENTRIES],
            "money": await self._money_section(queues),
            "broadcast": await self._broadcast_section(),
            "health": self._health_section(),
            "jobs": [_job_line(job) for job in await search_jobs(db, JobSearch(), limit=_MAX_JOBS)],
            "trouble": {},
            "pulse": {"at": time.time()},
        }
        return {name: _json(section) for name, section in sections.items()}

    def _plan_a_state(self) -> dict[str, Any]:
        plan_a = self._router.plan_a
        return {"healthy": plan_a.healthy, "state": plan_a.state, "since": plan_a.since.timestamp()}

    def _service_section(
        self, service: str, ended: Iterable[EndedStats], queues: Iterable[OpenOrders]
    ) -> dict[str, Any]:
        service_queues = [queue for queue in queues if queue.service == service]
        hour = next((each for each in ended if each.service == service), None)
        oldest = [queue.oldest.timestamp() for queue in service_queues if queue.oldest]
        return {
            "id": service,
            "mode": self._router.service_mode(service),
            "goes_to": self._router.choose_plan(service),
            "running": {plan: sum(q.running for q in service_queues if q.plan == plan) for plan in _PLANS},
            "queued": {plan: sum(q.queued for q in service_queues if q.plan == plan) for plan in _PLANS},
            "oldest": min(oldest, default=None),
            "succeeded": hour.succeeded if hour else 0,
            "failed": hour.failed if hour else 0,
        }

    async def _money_section(self, queues: Iterable[OpenOrders]) -> dict[str, Any]:
        at, flows = self._money
        if time.monotonic() - at >= _MONEY_INTERVAL_SECONDS:
            flows = await account_flows_today(self._db)
            self._money = (time.monotonic(), flows)
        by_account = {
            (flow.account, flow.incoming): {"moves": flow.count, "stars": flow.credits} for flow in flows
        }
        sums = {name: by_account.get(side, {"moves": 0, "stars": 0}) for name, side in _MONEY_ACCOUNTS.items()}
        return {**sums, "held": {"stars": sum(queue.held for queue in queues)}}

    async def _broadcast_section(self) -> dict[str, Any]:
        """Read less often than the rest: counting many recipients every second would slow down the database."""
        at, section = self._broadcast
        if time.monotonic() - at >= _BROADCAST_INTERVAL_SECONDS:
            section = _broadcast_section(await get_broadcast_progress(self._db))
            self._broadcast = (time.monotonic(), section)
        return section

    def _health_section(self) -> Mapping[str, Any]:
        """The last known health: finding out that a part is unavailable takes seconds, and the figures do not wait."""
        if self._health_task is None or self._health_task.done():
            if self._health_task and not self._health_task.cancelled() and not self._health_task.exception():
                self._health = self._health_task.result()
            self._health_task = self._background.spawn(self._fetch_health(), "dashboard health")
        return self._health

    async def _fetch_health(self) -> Mapping[str, Any]:
        return await self._read_health()


def _plan_section(plan: str, ended: Iterable[EndedStats], queues: Iterable[OpenOrders]) -> dict[str, Any]:
    hour = next((each for each in ended if each.plan == plan and each.minute is None), None)
    return {
        "succeeded": hour.succeeded if hour else 0,
        "failed": hour.failed if hour else 0,
        "took": hour.run_seconds if hour else None,
        "waited": hour.wait_seconds if hour else None,
        "running": sum(queue.running for queue in queues if queue.plan == plan),
        "queued": sum(queue.queued for queue in queues if queue.plan == plan),
    }


def _minutes_section(ended: Iterable[EndedStats]) -> dict[str, Any]:
    """The last hour by minute: how many orders succeeded and failed, and the p95 of their times in seconds."""
    last = int(time.time() // 60)
    first = last - MINUTES + 1
    minutes: dict[str, Any] = {"first": first}
    for plan in _PLANS:
        known = {each.minute: each for each in ended if each.plan == plan and each.minute is not None}
        line = [known.get(minute) for minute in range(first, last + 1)]
        minutes[plan] = {
            "succeeded": [each.succeeded if each else 0 for each in line],
            "failed": [each.failed if each else 0 for each in line],
            "took": [round(each.run_seconds[1], 3) if each and each.run_seconds else None for each in line],
            "waited": [round(each.wait_seconds[1], 3) if each and each.wait_seconds else None for each in line],
        }
    return minutes


def _broadcast_section(progress: BroadcastProgress | None) -> dict[str, Any]:
    """The running broadcast, or else the last one; empty if there has never been one."""
    if progress is None:
        return {}
    broadcast, counts = progress.broadcast, progress.counts
    sends = broadcast.task == "send"
    ended = broadcast.ended_at
    return {
        "task": broadcast.task,
        "state": broadcast.state,
        "paid": broadcast.paid,
        "total": counts.total if sends else counts.edits_waiting + counts.edits_done + counts.edits_refused,
        "done": counts.sent if sends else counts.edits_done,
        "left": progress.remaining,
        "failed": counts.failed if sends else counts.edits_refused,
        "blocked": counts.blocked,
        "unknown": counts.unknown,
        "rate": round(counts.rate, 1) if broadcast.state == "running" else None,
        "seconds_left": progress.seconds_left,
        "ended": ended.timestamp() if ended else None,
    }


def _job_line(job: JobSummary) -> dict[str, Any]:
    return {
        "id": str(job.id),
        "service": job.service,
        "user": job.user_id,
        "state": job.state,
        "plan": job.plan,
        "fell_back": job.fell_back,
        "price": job.price,
        "created": job.created_at.timestamp(),
        "started": job.started_at.timestamp() if job.started_at else None,
        "ended": job.ended_at.timestamp() if job.ended_at else None,
    }


def _json(section: Any) -> str:
    return json.dumps(section, ensure_ascii=False, separators=(",", ":"))
