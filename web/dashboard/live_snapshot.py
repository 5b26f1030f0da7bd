"""What the dashboard shows now: gathered once a second at most for all who look, not at all when nobody does."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import asyncpg
from loguru import logger

from services.broadcast.progress import broadcast_progress
from services.dispatch import Dispatcher
from storage.pool import DATABASE_AWAY
from storage.reports.dashboard import (
    MINUTES,
    Ended,
    Moves,
    Queued,
    ended_jobs,
    latest_jobs,
    latest_moments,
    money_today,
    open_queues,
)
from storage.reports.plan_status import count_rescues
from web.dashboard.broadcasts import tell_broadcast
from web.dashboard.formatting import service_names
from web.dashboard.timeline import tell_moments

Sections = dict[str, str]
"""JSON by the name of what it is about, so that only what has changed has to be sent."""
Health = Callable[[], Awaitable[Mapping[str, Any]]]
"""The parts that `/health` speaks of, from answers that are kept for some seconds."""

_EVERY_SECONDS = 1.0
_REST = 10
"""A database that needs long to answer is left alone for ten times as long."""
_MONEY_EVERY_SECONDS = 10.0
_BROADCAST_EVERY_SECONDS = 2.0
_HOUR = 3600.0
_LATEST = 8
_MOMENTS = 30
_PLANS = ("A", "B")
_MONEY = {
    "paid": ("stars", False),
    "paid_back": ("stars", True),
    "earned": ("revenue", True),
    "given_back": ("revenue", False),
    "gifts": ("bonuses", False),
}
"""Which account of the house it leaves, or comes to (True)."""


class Board:
    def __init__(self, dispatcher: Dispatcher, health: Health) -> None:
        self._dispatcher = dispatcher
        self._studio = dispatcher.studio
        self._plans = dispatcher.plans
        self._names = service_names(dispatcher.studio.texts)
        self._ask_health = health
        self._asked: asyncio.Task[Mapping[str, Any]] | None = None
        self._health: Mapping[str, Any] = {}
        self._money: tuple[float, list[Moves]] = (float("-inf"), [])
        self._broadcast: tuple[float, dict[str, Any]] = (float("-inf"), {})
        self._sections: Sections = {}
        self._next = 0.0
        self._gathering = asyncio.Lock()

    async def latest(self) -> Sections:
        """The newest there is; whoever comes while it is gathered waits for the same."""
        async with self._gathering:
            began = time.monotonic()
            if began >= self._next:
                try:
                    self._sections = await self._gather()
                except (*DATABASE_AWAY, asyncpg.PostgresError) as error:
                    logger.warning("the dashboard's numbers cannot be read: {}", error)
                    self._sections = {**self._sections, "trouble": _json({"database": type(error).__name__})}
                self._next = began + max(_EVERY_SECONDS, _REST * (time.monotonic() - began))
            return self._sections

    async def _gather(self) -> Sections:
        db = self._studio.db
        ended, queues = await ended_jobs(db), await open_queues(db)
        rescues = await count_rescues(db, seconds=_HOUR)
        moments = await latest_moments(db, limit=_MOMENTS)
        changes = await self._plans.changes(limit=_MOMENTS)
        sections = {
            "names": self._names,
            "plans": {
                **self._plan_a(),
                "mode": self._plans.general_mode,
                "in_flight": self._dispatcher.queue.in_flight,
                "fell_back": rescues.fell_back,
                "taken_over": rescues.taken_over,
                **{plan: _plan(plan, ended, queues) for plan in _PLANS},
            },
            "minutes": _minutes(ended),
            "services": [self._service(service, ended, queues) for service in self._names],
            "moments": tell_moments(moments, changes, self._names, self._studio.texts)[:_MOMENTS],
            "money": await self._money_now(queues),
            "broadcast": await self._broadcast_now(),
            "health": self._health_now(),
            "jobs": [_line(job) for job in await latest_jobs(db, limit=_LATEST)],
            "trouble": {},
            "pulse": {"at": time.time()},
        }
        return {name: _json(section) for name, section in sections.items()}

    def _plan_a(self) -> dict[str, Any]:
        plan_a = self._plans.plan_a
        return {"healthy": plan_a.healthy, "state": plan_a.state, "since": plan_a.since.timestamp()}

    def _service(self, service: str, ended: Iterable[Ended], queues: Iterable[Queued]) -> dict[str, Any]:
        mine = [queue for queue in queues if queue.service == service]
        hour = next((each for each in ended if each.service == service), None)
        oldest = [queue.oldest.timestamp() for queue in mine if queue.oldest]
        return {
            "id": service,
            "mode": self._plans.own_mode(service),
            "goes_to": self._plans.choose(service),
            "running": {plan: sum(q.running for q in mine if q.plan == plan) for plan in _PLANS},
            "queued": {plan: sum(q.queued for q in mine if q.plan == plan) for plan in _PLANS},
            "oldest": min(oldest, default=None),
            "succeeded": hour.succeeded if hour else 0,
            "failed": hour.failed if hour else 0,
        }

    async def _money_now(self, queues: Iterable[Queued]) -> dict[str, Any]:
        at, moves = self._money
        if time.monotonic() - at >= _MONEY_EVERY_SECONDS:
            moves = await money_today(self._studio.db)
            self._money = (time.monotonic(), moves)
        known = {(move.account, move.came): {"moves": move.moves, "stars": move.stars} for move in moves}
        sums = {name: known.get(side, {"moves": 0, "stars": 0}) for name, side in _MONEY.items()}
        return {**sums, "held": {"stars": sum(queue.held for queue in queues)}}

    async def _broadcast_now(self) -> dict[str, Any]:
        """Counting a long list of people each second would be felt."""
        at, told = self._broadcast
        if time.monotonic() - at >= _BROADCAST_EVERY_SECONDS:
            told = tell_broadcast(await broadcast_progress(self._studio.db))
            self._broadcast = (time.monotonic(), told)
        return told

    def _health_now(self) -> Mapping[str, Any]:
        """The last answer. That a part is away takes seconds to be found; the numbers do not wait for it."""
        if self._asked is None or self._asked.done():
            if self._asked and not self._asked.cancelled() and not self._asked.exception():
                self._health = self._asked.result()
            self._asked = self._studio.background.spawn(self._asking_health(), "dashboard health")
        return self._health

    async def _asking_health(self) -> Mapping[str, Any]:
        return await self._ask_health()


def _plan(plan: str, ended: Iterable[Ended], queues: Iterable[Queued]) -> dict[str, Any]:
    hour = next((each for each in ended if each.plan == plan and each.minute is None), None)
    return {
        "succeeded": hour.succeeded if hour else 0,
        "failed": hour.failed if hour else 0,
        "took": hour.took if hour else None,
        "waited": hour.waited if hour else None,
        "running": sum(queue.running for queue in queues if queue.plan == plan),
        "queued": sum(queue.queued for queue in queues if queue.plan == plan),
    }


def _minutes(ended: Iterable[Ended]) -> dict[str, Any]:
    """The last hour minute by minute: how many ended well, how many failed, and p95 in seconds."""
    last = int(time.time() // 60)
    first = last - MINUTES + 1
    minutes: dict[str, Any] = {"first": first}
    for plan in _PLANS:
        known = {each.minute: each for each in ended if each.plan == plan and each.minute is not None}
        line = [known.get(minute) for minute in range(first, last + 1)]
        minutes[plan] = {
            "succeeded": [each.succeeded if each else 0 for each in line],
            "failed": [each.failed if each else 0 for each in line],
            "took": [round(each.took[1], 3) if each and each.took else None for each in line],
            "waited": [round(each.waited[1], 3) if each and each.waited else None for each in line],
        }
    return minutes


def _line(job: Any) -> dict[str, Any]:
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
