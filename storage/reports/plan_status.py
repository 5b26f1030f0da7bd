"""What runs where, and what fell back: for `/plan` and the dashboard."""

from dataclasses import dataclass

from storage.pool import Executor

_OPEN = """
SELECT service, plan,
       count(*) FILTER (WHERE state = 'running') AS running,
       count(*) FILTER (WHERE state = 'queued') AS queued
FROM jobs WHERE state IN ('queued', 'running') GROUP BY service, plan ORDER BY service, plan"""

_EVENTS = """
SELECT kind, count(*) AS count FROM job_events
WHERE kind IN ('fell_back', 'taken_over') AND at > now() - make_interval(secs => $1) GROUP BY kind"""


@dataclass(frozen=True)
class OpenJobs:
    """The open jobs of a service on one plan."""

    service: str
    plan: str
    running: int
    queued: int


@dataclass(frozen=True)
class Recoveries:
    """How often Plan B took an order because Inngest was away, and how often a job whose runner fell silent."""

    fell_back: int
    taken_over: int


async def open_jobs(db: Executor) -> list[OpenJobs]:
    return [OpenJobs(**dict(row)) for row in await db.fetch(_OPEN)]


async def count_recoveries(db: Executor, *, seconds: float) -> Recoveries:
    """Those of the last `seconds`."""
    counts = {row["kind"]: row["count"] for row in await db.fetch(_EVENTS, seconds)}
    return Recoveries(counts.get("fell_back", 0), counts.get("taken_over", 0))
