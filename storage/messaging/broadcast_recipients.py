"""Who gets a broadcast: written down when it starts, marked before each call, and again when it is answered."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

import asyncpg

from storage.pool import Connection, Executor
from storage.users.preferences import is_quiet

SendState = Literal["sent", "failed", "blocked", "unknown", "waiting"]
EditState = Literal["done", "refused", "waiting"]

# $1 bot, $2 language or '', $3 active within days or 0, $4 'paid', 'never' or '', $5 languages with a version, or
# NULL: all have one.
_AUDIENCE = """
FROM users u
WHERE u.bot_name = $1 AND u.active AND NOT u.blocked AND u.news
  AND ($2 = '' OR u.language = $2)
  AND ($3 = 0 OR u.seen_at > now() - make_interval(days => $3))
  AND ($4 <> 'paid' OR EXISTS (SELECT FROM charges c WHERE c.user_id = u.id))
  AND ($4 <> 'never' OR NOT EXISTS (SELECT FROM jobs j WHERE j.user_id = u.id AND NOT j.errand))
  AND ($5::text[] IS NULL OR u.language = ANY($5::text[]))"""
_COUNT_AUDIENCE = f"SELECT count(*) {_AUDIENCE}"
_ADD = f"""
INSERT INTO broadcast_recipients (broadcast_id, user_id, version)
SELECT $6, u.id, CASE WHEN u.language = ANY($7::text[]) THEN u.language ELSE $8 END {_AUDIENCE}"""

_MARK_UNANSWERED_UNKNOWN = """
UPDATE broadcast_recipients SET state = 'unknown', at = now(),
    error = 'the process ended between the call and its answer'
WHERE broadcast_id = $1 AND state = 'sending' AND runner IS DISTINCT FROM $2"""

# The claim is the mark: nobody is called who was not marked before, and nobody is marked twice. It gives nothing
# once the broadcast is stopped or paused, or another step is at work. MATERIALIZED: a plain subquery may be
# run again for each row of the join, and its LIMIT then holds for none of them.
_CLAIM = """
WITH next AS MATERIALIZED (
    SELECT user_id FROM broadcast_recipients
    WHERE broadcast_id = $1 AND state = 'waiting' AND user_id > $3
      AND EXISTS (SELECT FROM broadcasts WHERE id = $1 AND state = 'running' AND runner = $2)
    ORDER BY user_id LIMIT $4 FOR UPDATE SKIP LOCKED)
UPDATE broadcast_recipients r SET state = 'sending', runner = $2, at = now()
FROM next JOIN users u ON u.id = next.user_id WHERE r.broadcast_id = $1 AND r.user_id = next.user_id
RETURNING r.user_id, r.version, r.message_ids, u.quiet_from, u.quiet_until"""

# An answer that came late corrects `unknown`: it is known after all.
_SAVE_SEND_OUTCOMES = """
UPDATE broadcast_recipients r
SET state = e.state, message_ids = e.message_ids::bigint[], error = e.error, at = now()
FROM unnest($3::bigint[], $4::text[], $5::text[], $6::text[]) AS e (user_id, state, message_ids, error)
WHERE r.broadcast_id = $1 AND r.user_id = e.user_id AND r.runner = $2 AND r.state IN ('sending', 'unknown')"""
_SET_INACTIVE = "UPDATE users SET active = false WHERE id = ANY($1::bigint[]) AND active"

_START_EDIT = """
UPDATE broadcast_recipients SET revision = 'waiting', error = ''
WHERE broadcast_id = $1 AND state = 'sent' AND ($2 = '' OR version = $2)"""
# An edit or a delete may be done twice, so nothing needs to be marked before it.
_NEXT_EDITS = """
SELECT r.user_id, r.version, r.message_ids FROM broadcast_recipients r JOIN broadcasts b ON b.id = r.broadcast_id
WHERE r.broadcast_id = $1 AND r.revision = 'waiting' AND r.user_id > $3 AND b.state = 'running' AND b.runner = $2
ORDER BY r.user_id LIMIT $4"""
_SAVE_EDIT_OUTCOMES = """
UPDATE broadcast_recipients r SET revision = e.revision, error = e.error, at = now()
FROM unnest($2::bigint[], $3::text[], $4::text[]) AS e (user_id, revision, error)
WHERE r.broadcast_id = $1 AND r.user_id = e.user_id AND r.revision = 'waiting'"""

_COUNT = """
SELECT count(*) AS total,
       count(*) FILTER (WHERE state IN ('waiting', 'sending')) AS waiting,
       count(*) FILTER (WHERE state = 'sent') AS sent,
       count(*) FILTER (WHERE state = 'failed') AS failed,
       count(*) FILTER (WHERE state = 'blocked') AS blocked,
       count(*) FILTER (WHERE state = 'unknown') AS unknown,
       count(*) FILTER (WHERE revision = 'waiting') AS unrevised,
       count(*) FILTER (WHERE revision = 'done') AS revised,
       count(*) FILTER (WHERE revision = 'refused') AS refused,
       count(*) FILTER (WHERE at > now() - make_interval(secs => $2)
                        AND state NOT IN ('waiting', 'sending')) / $2 AS rate
FROM broadcast_recipients WHERE broadcast_id = $1"""
_REASONS = """
SELECT error, count(*) AS people FROM broadcast_recipients
WHERE broadcast_id = $1 AND error <> '' AND CASE WHEN $2 THEN revision = 'refused' ELSE state = 'failed' END
GROUP BY error ORDER BY people DESC, error LIMIT $3"""


@dataclass(frozen=True)
class AudienceFilter:
    """Whom an audience means. `bot_name`: they last spoke with it. `languages` have a version; None: all do."""

    bot_name: str
    language: str = ""
    active_days: int = 0
    orders: Literal["", "paid", "never"] = ""
    languages: Sequence[str] | None = None


@dataclass(frozen=True)
class Recipient:
    """`version` is the key of the content they get; `message_ids` what they got; `silent`: their quiet hours."""

    user_id: int
    version: str
    message_ids: tuple[int, ...]
    silent: bool = False


@dataclass(frozen=True)
class SendOutcome:
    """How a call ended for a person. `waiting`: it did not go out, and is to be made again."""

    user_id: int
    state: SendState
    message_ids: tuple[int, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class EditOutcome:
    user_id: int
    state: EditState
    error: str = ""


@dataclass(frozen=True)
class RecipientCounts:
    """`rate` is people a second, over the last seconds; `unrevised` and what follows are of an edit or delete."""

    total: int
    waiting: int
    sent: int
    failed: int
    blocked: int
    unknown: int
    edits_waiting: int
    edits_done: int
    edits_refused: int
    rate: float


async def count_audience(db: Executor, group: AudienceFilter) -> int:
    return int(await db.fetchval(_COUNT_AUDIENCE, *_arguments(group)))


async def add_recipients(
    connection: Connection, broadcast_id: UUID, group: AudienceFilter, *, versions: Sequence[str], fallback: str
) -> int:
    """Write down who gets which version; how many they are."""
    status = await connection.execute(_ADD, *_arguments(group), broadcast_id, list(versions), fallback)
    return int(status.rpartition(" ")[2])


def _arguments(group: AudienceFilter) -> tuple[object, ...]:
    languages = None if group.languages is None else list(group.languages)
    return group.bot_name, group.language, group.active_days, group.orders, languages


async def mark_unanswered_unknown(db: Executor, broadcast_id: UUID, worker_id: UUID) -> int:
    """What another runner left marked as `sending` becomes `unknown`; how many there were."""
    return int((await db.execute(_MARK_UNANSWERED_UNKNOWN, broadcast_id, worker_id)).rpartition(" ")[2])


async def claim_recipients(
    db: Executor, broadcast_id: UUID, worker_id: UUID, *, after: int, limit: int
) -> list[Recipient]:
    """The next people, marked as `sending`. None when the broadcast does not run, or another step is at work."""
    return [_recipient(row) for row in await db.fetch(_CLAIM, broadcast_id, worker_id, after, limit)]


async def save_send_outcomes(
    connection: Connection, broadcast_id: UUID, worker_id: UUID, outcomes: Sequence[SendOutcome]
) -> None:
    """Write down how calls ended; who cannot be reached any more is inactive from now on. Needs a transaction."""
    await connection.execute(
        _SAVE_SEND_OUTCOMES,
        broadcast_id,
        worker_id,
        [each.user_id for each in outcomes],
        [each.state for each in outcomes],
        [f"{{{','.join(map(str, each.message_ids))}}}" for each in outcomes],
        [each.error for each in outcomes],
    )
    if gone := [each.user_id for each in outcomes if each.state == "blocked"]:
        await connection.execute(_SET_INACTIVE, gone)


async def start_edit(connection: Connection, broadcast_id: UUID, version: str = "") -> int:
    """All who got it, or got this version of it, wait for its edit or delete; how many they are."""
    return int((await connection.execute(_START_EDIT, broadcast_id, version)).rpartition(" ")[2])


async def next_edits(
    db: Executor, broadcast_id: UUID, worker_id: UUID, *, after: int, limit: int
) -> list[Recipient]:
    return [_recipient(row) for row in await db.fetch(_NEXT_EDITS, broadcast_id, worker_id, after, limit)]


async def save_edit_outcomes(db: Executor, broadcast_id: UUID, outcomes: Sequence[EditOutcome]) -> None:
    users, states, errors = zip(*((r.user_id, r.state, r.error) for r in outcomes), strict=True)
    await db.execute(_SAVE_EDIT_OUTCOMES, broadcast_id, list(users), list(states), list(errors))


async def count_recipients(db: Executor, broadcast_id: UUID, *, seconds: float = 10.0) -> RecipientCounts:
    """Where everybody is; the rate is that of the last `seconds`."""
    row = await db.fetchrow(_COUNT, broadcast_id, seconds)
    assert row is not None  # noqa: S101 - an aggregate always gives a row
    return RecipientCounts(**dict(row))


async def failure_reasons(
    db: Executor, broadcast_id: UUID, *, edits: bool, limit: int = 3
) -> list[tuple[str, int]]:
    """What Telegram refused with most often, and for how many."""
    return [(row["error"], row["people"]) for row in await db.fetch(_REASONS, broadcast_id, edits, limit)]


def _recipient(row: asyncpg.Record) -> Recipient:
    silent = is_quiet(row.get("quiet_from"), row.get("quiet_until"), datetime.now(UTC))
    return Recipient(row["user_id"], row["version"], tuple(row["message_ids"]), silent)
