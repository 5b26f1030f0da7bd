"""What an incident is recognized by: orders that fell back, failed, or wait."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from storage.pool import Executor

_FELL_BACK = "SELECT count(*) FROM job_events WHERE kind = 'fell_back' AND at >= $1"
_UNPUBLISHED = "SELECT count(*) FROM outbox"
_ENDED_ON = "SELECT plan, count(*) AS count FROM jobs WHERE ended_at >= $1 GROUP BY plan"

_FAILED = """
SELECT service, count(*) FILTER (WHERE state = 'failed' AND failure = ANY($2::text[])) AS failed, count(*) AS ended
FROM jobs WHERE ended_at >= $1 AND state <> 'cancelled' GROUP BY service ORDER BY failed DESC, service"""

# Who has as many running as a person may have waits for themselves, not for us.
_BACKLOG = """
SELECT count(*) AS count, min(j.created_at) AS oldest FROM jobs j
WHERE j.state = 'queued' AND j.service <> ALL($1::text[])
  AND (SELECT count(*) FROM jobs r
       WHERE r.user_id = j.user_id AND r.state = 'running' AND r.lease_until > now()) < $2"""


@dataclass(frozen=True)
class FailureCount:
    """How many orders of a service ended, and how many of these failed in the way that was asked for."""

    service: str
    failed: int
    ended: int


@dataclass(frozen=True)
class Backlog:
    """Orders that nobody has begun; `oldest` is when the oldest was accepted."""

    count: int
    oldest: datetime | None


async def count_fallbacks(db: Executor, since: datetime) -> int:
    return int(await db.fetchval(_FELL_BACK, since))


async def count_unpublished(db: Executor) -> int:
    """Orders that wait to be brought to Inngest."""
    return int(await db.fetchval(_UNPUBLISHED))


async def count_ended(db: Executor, since: datetime) -> dict[str, int]:
    """How many orders ended since then, by plan."""
    return {row["plan"]: row["count"] for row in await db.fetch(_ENDED_ON, since)}


async def count_failed(db: Executor, since: datetime, failures: Sequence[str]) -> list[FailureCount]:
    """Orders that ended since then, by service, the worst first; `failures` are the keys that count as failed."""
    return [FailureCount(**dict(row)) for row in await db.fetch(_FAILED, since, list(failures))]


async def get_backlog(db: Executor, *, excluded_services: Sequence[str], per_user_limit: int) -> Backlog:
    """Orders that wait although their person has fewer than `per_person` running, without those services."""
    row = await db.fetchrow(_BACKLOG, list(excluded_services), per_user_limit)
    assert row is not None  # noqa: S101 - an aggregate has one row
    return Backlog(**dict(row))
