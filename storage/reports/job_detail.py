"""Searching orders, and everything that is recorded about one job, for admins."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from storage.pool import Executor

# The statement has only the conditions of the search, so that each search is planned for its own index.
_SEARCH = """
SELECT id, service, user_id, state, plan, price, created_at, started_at, ended_at, fell_back, failure
FROM {source} WHERE {conditions} ORDER BY created_at DESC, id DESC LIMIT $1"""
_BY_ID = "id BETWEEN {} AND {}"
_BY_USER = "user_id = {}"
_BY_EITHER = "(id BETWEEN {} AND {} OR user_id = {})"
_BY_SERVICE = "service = {}"
_BY_STATE = "state = {}"
_BY_PLAN = "plan = {}"
_OLDER = "(created_at, id) < ({}, {})"

_EXTRAS = """
SELECT j.fell_back, j.finalized, u.first_name, u.username, u.language, u.active
FROM jobs j JOIN users u ON u.id = j.user_id WHERE j.id = $1"""
_STEPS = """
SELECT step, plan, epoch, started_at, ended_at, result FROM journal WHERE job_id = $1
ORDER BY started_at, ended_at NULLS LAST"""
_EVENTS = "SELECT kind, at, plan, epoch, detail FROM job_events WHERE job_id = $1 ORDER BY id"
_TRANSFERS = """
SELECT t.id, t.key, t.kind, t.created_at, p.account, p.amount
FROM ledger_transactions t JOIN ledger_postings p ON p.transaction_id = t.id
WHERE t.key = ANY($1::text[]) ORDER BY t.id, p.amount"""
_AVAILABLE = """
SELECT coalesce(sum(p.amount), 0)::bigint
FROM ledger_postings p JOIN ledger_transactions t ON t.id = p.transaction_id
WHERE p.user_id = $1 AND p.account = 'available' AND t.created_at <= $2"""


@dataclass(frozen=True)
class JobSearch:
    """The conditions of a search; None for any.

    Attributes:
        ids: The first and the last job id of a range. Only searches with this find internal jobs. If `user_id` is
            set too, one of the two must match.
        older_than: The time and id of the last line of the previous page.
    """

    ids: tuple[UUID, UUID] | None = None
    user_id: int | None = None
    service: str | None = None
    state: str | None = None
    plan: str | None = None
    older_than: tuple[datetime, UUID] | None = None


@dataclass(frozen=True)
class JobSummary:
    """A job in the list of results. `price` is in credits."""

    id: UUID
    service: str
    user_id: int
    state: str
    plan: str
    price: int
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    fell_back: bool
    failure: str | None


@dataclass(frozen=True)
class JobExtras:
    """The columns of a job that `Job` does not have, and the job's user."""

    fell_back: bool
    finalized: bool
    first_name: str
    username: str | None
    language: str
    active: bool


@dataclass(frozen=True)
class StepRecord:
    """A step in the journal. `ended_at` is None if no result is stored."""

    step: str
    plan: str
    epoch: int
    started_at: datetime
    ended_at: datetime | None
    result: Any


@dataclass(frozen=True)
class JobEvent:
    """An event of a job's timeline, recorded by the trigger on `jobs`."""

    kind: str
    at: datetime
    plan: str
    epoch: int
    detail: str


@dataclass(frozen=True)
class LedgerTransfer:
    """A movement of credits from one account to another."""

    key: str
    kind: str
    at: datetime
    source: str
    target: str
    credits: int


async def search_jobs(db: Executor, search: JobSearch, *, limit: int) -> list[JobSummary]:
    """The first `limit` matches, newest first."""
    conditions, values = _conditions(search)
    source = "orders" if search.ids is None else "jobs"
    rows = await db.fetch(_SEARCH.format(source=source, conditions=conditions), limit, *values)
    return [JobSummary(**dict(row)) for row in rows]


def _conditions(search: JobSearch) -> tuple[str, list[Any]]:
    """The statement's conditions with numbered placeholders, and their values."""
    filters: list[tuple[str, Sequence[Any]]] = [
        (_BY_SERVICE, [search.service] if search.service else []),
        (_BY_STATE, [search.state] if search.state else []),
        (_BY_PLAN, [search.plan] if search.plan else []),
        (_OLDER, search.older_than or []),
    ]
    if search.ids and search.user_id is not None:
        filters.append((_BY_EITHER, [*search.ids, search.user_id]))
    elif search.ids:
        filters.append((_BY_ID, search.ids))
    elif search.user_id is not None:
        filters.append((_BY_USER, [search.user_id]))
    conditions = ["true"]
    values: list[Any] = []
    for condition, operands in filters:
        if operands:
            placeholders = [f"${len(values) + number}" for number in range(2, len(operands) + 2)]
            conditions.append(condition.format(*placeholders))
            values.extend(operands)
    return " AND ".join(conditions), values


async def get_job_extras(db: Executor, job_id: UUID) -> JobExtras | None:
    """The rest of a job's data. None if there is no such job."""
    row = await db.fetchrow(_EXTRAS, job_id)
    return None if row is None else JobExtras(**dict(row))


async def job_steps(db: Executor, job_id: UUID) -> list[StepRecord]:
    """The job's steps, in the order they started in."""
    return [StepRecord(**dict(row)) for row in await db.fetch(_STEPS, job_id)]


async def job_events(db: Executor, job_id: UUID) -> list[JobEvent]:
    """The job's events, oldest first."""
    return [JobEvent(**dict(row)) for row in await db.fetch(_EVENTS, job_id)]


async def ledger_transfers(db: Executor, keys: Sequence[str]) -> list[LedgerTransfer]:
    """The transfers with these keys, oldest first. Each must have exactly two postings, like those of jobs."""
    sides: dict[str, list[Any]] = {}
    for row in await db.fetch(_TRANSFERS, list(keys)):
        sides.setdefault(row["key"], []).append(row)
    return [
        LedgerTransfer(
            source["key"],
            source["kind"],
            source["created_at"],
            source["account"],
            target["account"],
            target["amount"],
        )
        for source, target in sides.values()
    ]


async def balance_at(db: Executor, user_id: int, at: datetime) -> int:
    """The credits a user had available at that time."""
    return int(await db.fetchval(_AVAILABLE, user_id, at))
