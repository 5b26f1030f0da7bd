"""Orders, found by what an admin knows of them, and everything that is written down about one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from storage.pool import Executor
from storage.reports.dashboard import JobSummary

# A condition is put in only when it is asked for, so that each search is planned for its own index.
_SEARCH = """
SELECT id, service, user_id, state, plan, price, created_at, started_at, ended_at, fell_back, failure
FROM jobs WHERE {conditions} ORDER BY created_at DESC, id DESC LIMIT $1"""
_ORDERS = "NOT errand"
_BY_ID = "id BETWEEN {} AND {}"
_BY_USER = "user_id = {}"
_BY_EITHER = "(id BETWEEN {} AND {} OR user_id = {})"
_BY_SERVICE = "service = {}"
_BY_STATE = "state = {}"
_BY_PLAN = "plan = {}"
_OLDER = "(created_at, id) < ({}, {})"

_EXTRAS = """
SELECT j.fell_back, j.shown, u.first_name, u.username, u.language, u.active
FROM jobs j JOIN users u ON u.id = j.user_id WHERE j.id = $1"""
_STEPS = """
SELECT step, plan, epoch, begun_at, ended_at, result FROM journal WHERE job_id = $1
ORDER BY begun_at, ended_at NULLS LAST"""
_EVENTS = "SELECT kind, at, plan, epoch, detail FROM job_events WHERE job_id = $1 ORDER BY id"
_TRANSFERS = """
SELECT t.id, t.key, t.kind, t.created_at, p.account, p.amount
FROM ledger_transactions t JOIN ledger_postings p ON p.transaction_id = t.id
WHERE t.key = ANY($1::text[]) ORDER BY t.id, p.amount"""
# What the person had to spend after a moment.
_AVAILABLE = """
SELECT coalesce(sum(p.amount), 0)::bigint
FROM ledger_postings p JOIN ledger_transactions t ON t.id = p.transaction_id
WHERE p.user_id = $1 AND p.account = 'available' AND t.created_at <= $2"""


@dataclass(frozen=True)
class JobSearch:
    """What to look for; None means any. `ids` is a range of job ids, the first and the last of it; together with
    `user_id` either will do. Errands are found by their id alone. `older_than` is the last line of the
    page before."""

    ids: tuple[UUID, UUID] | None = None
    user_id: int | None = None
    service: str | None = None
    state: str | None = None
    plan: str | None = None
    older_than: tuple[datetime, UUID] | None = None


@dataclass(frozen=True)
class JobExtras:
    """What a job's own row does not say, and whose it is."""

    fell_back: bool
    finalized: bool
    first_name: str
    username: str | None
    language: str
    active: bool


@dataclass(frozen=True)
class StepRecord:
    """A step as the journal has it. `ended_at` is None where nobody wrote down its end."""

    step: str
    plan: str
    epoch: int
    started_at: datetime
    ended_at: datetime | None
    result: Any


@dataclass(frozen=True)
class JobEvent:
    kind: str
    at: datetime
    plan: str
    epoch: int
    detail: str


@dataclass(frozen=True)
class LedgerTransfer:
    """Credits that went from one account to another, in whole Stars."""

    key: str
    kind: str
    at: datetime
    source: str
    target: str
    credits: int


async def search_jobs(db: Executor, search: JobSearch, *, limit: int) -> list[JobSummary]:
    """Newest first."""
    conditions, values = _conditions(search)
    rows = await db.fetch(_SEARCH.format(conditions=conditions), limit, *values)
    return [JobSummary(**dict(row)) for row in rows]


def _conditions(search: JobSearch) -> tuple[str, list[Any]]:
    """The statement's conditions with numbered places, and the values that go there."""
    found: list[tuple[str, Sequence[Any]]] = [
        (_BY_SERVICE, [search.service] if search.service else []),
        (_BY_STATE, [search.state] if search.state else []),
        (_BY_PLAN, [search.plan] if search.plan else []),
        (_OLDER, search.older_than or []),
    ]
    if search.ids and search.user_id is not None:
        found.append((_BY_EITHER, [*search.ids, search.user_id]))
    elif search.ids:
        found.append((_BY_ID, search.ids))
    elif search.user_id is not None:
        found.append((_BY_USER, [search.user_id]))
    conditions = [_ORDERS] if search.ids is None else []
    values: list[Any] = []
    for condition, given in found:
        if given:
            places = [f"${len(values) + number}" for number in range(2, len(given) + 2)]
            conditions.append(condition.format(*places))
            values.extend(given)
    return " AND ".join(conditions), values


async def get_job_extras(db: Executor, job_id: UUID) -> JobExtras | None:
    row = await db.fetchrow(_EXTRAS, job_id)
    return None if row is None else JobExtras(**dict(row))


async def job_steps(db: Executor, job_id: UUID) -> list[StepRecord]:
    """In the order in which they began."""
    return [StepRecord(**dict(row)) for row in await db.fetch(_STEPS, job_id)]


async def job_events(db: Executor, job_id: UUID) -> list[JobEvent]:
    """Oldest first."""
    return [JobEvent(**dict(row)) for row in await db.fetch(_EVENTS, job_id)]


async def ledger_transfers(db: Executor, keys: Sequence[str]) -> list[LedgerTransfer]:
    """The moves with these keys, oldest first. Each of a job's moves has one posting on either side."""
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
    """The credits that a person could spend then."""
    return int(await db.fetchval(_AVAILABLE, user_id, at))
