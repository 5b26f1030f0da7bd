"""The recipients of a broadcast: added when it starts, marked before each call to Telegram and after its answer."""

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

# $1 bot; $2 language, or ''; $3 active within this many days, or 0; $4 'paid', 'never' or ''; $5 the languages that
# have a version, or NULL if all have one.
_AUDIENCE = """
FROM users u
WHERE u.bot_name = $1 AND u.active AND NOT u.blocked AND u.wants_news
  AND ($2 = '' OR u.language = $2)
  AND ($3 = 0 OR u.last_seen_at > now() - make_interval(days => $3))
  AND ($4 <> 'paid' OR EXISTS (SELECT FROM payments p WHERE p.user_id = u.id))
  AND ($4 <> 'never' OR NOT EXISTS (SELECT FROM orders o WHERE o.user_id = u.id))
  AND ($5::text[] IS NULL OR u.language = ANY($5::text[]))"""
_COUNT_AUDIENCE = f"SELECT count(*) {_AUDIENCE}"
_ADD = f"""
INSERT INTO broadcast_recipients (broadcast_id, user_id, version)
SELECT $6, u.id, CASE WHEN u.language = ANY($7::text[]) THEN u.language ELSE $8 END {_AUDIENCE}"""

_MARK_UNANSWERED_UNKNOWN = """
UPDATE broadcast_recipients SET state = 'unknown', updated_at = now(),
    error = 'the process ended between the call and its answer'
WHERE broadcast_id = $1 AND state = 'sending' AND worker_id IS DISTINCT FROM $2"""

# Claiming a recipient marks them as `sending`: nobody is called without the mark, and nobody is marked twice. No rows
# are returned once the broadcast is stopped or paused, or another step is sending. MATERIALIZED, because a plain
# subquery may run once per row of the join, so that its LIMIT has no effect.
_CLAIM = """
WITH next AS MATERIALIZED (
    SELECT user_id FROM broadcast_recipients
    WHERE broadcast_id = $1 AND state = 'waiting' AND user_id > $3
      AND EXISTS (SELECT FROM broadcasts WHERE id = $1 AND state = 'running' AND worker_id = $2)
    ORDER BY user_id LIMIT $4 FOR UPDATE SKIP LOCKED)
UPDATE broadcast_recipients r SET state = 'sending', worker_id = $2, updated_at = now()
FROM next JOIN users u ON u.id = next.user_id WHERE r.broadcast_id = $1 AND r.user_id = next.user_id
RETURNING r.user_id, r.version, r.message_ids, u.quiet_from, u.quiet_until"""

# A late answer corrects `unknown`.
_SAVE_SEND_OUTCOMES = """
UPDATE broadcast_recipients r
SET state = e.state, message_ids = e.message_ids::bigint[], error = e.error, updated_at = now()
FROM unnest($3::bigint[], $4::text[], $5::text[], $6::text[]) AS e (user_id, state, message_ids, error)
WHERE r.broadcast_id = $1 AND r.user_id = e.user_id AND r.worker_id = $2 AND r.state IN ('sending', 'unknown')"""
_SET_INACTIVE = "UPDATE users SET active = false WHERE id = ANY($1::bigint[]) AND active"

_START_EDIT = """
UPDATE broadcast_recipients SET edit_state = 'waiting', error = ''
WHERE broadcast_id = $1 AND state = 'sent' AND ($2 = '' OR version = $2)"""
# Edits and deletes may be repeated, so recipients are not marked before them.
_NEXT_EDITS = """
SELECT r.user_id, r.version, r.message_ids FROM broadcast_recipients r JOIN broadcasts b ON b.id = r.broadcast_id
WHERE r.broadcast_id = $1 AND r.edit_state = 'waiting' AND r.user_id > $3
  AND b.state = 'running' AND b.worker_id = $2
ORDER BY r.user_id LIMIT $4"""
_SAVE_EDIT_OUTCOMES = """
UPDATE broadcast_recipients r SET edit_state = e.edit_state, error = e.error, updated_at = now()
FROM unnest($2::bigint[], $3::text[], $4::text[]) AS e (user_id, edit_state, error)
WHERE r.broadcast_id = $1 AND r.user_id = e.user_id AND r.edit_state = 'waiting'"""

_COUNT = """
SELECT count(*) AS total,
       count(*) FILTER (WHERE state IN ('waiting', 'sending')) AS waiting,
       count(*) FILTER (WHERE state = 'sent') AS sent,
       count(*) FILTER (WHERE state = 'failed') AS failed,
       count(*) FILTER (WHERE state = 'blocked') AS blocked,
       count(*) FILTER (WHERE state = 'unknown') AS unknown,
       count(*) FILTER (WHERE edit_state = 'waiting') AS edits_waiting,
       count(*) FILTER (WHERE edit_state = 'done') AS edits_done,
       count(*) FILTER (WHERE edit_state = 'refused') AS edits_refused,
       count(*) FILTER (WHERE updated_at > now() - make_interval(secs => $2)
                        AND state NOT IN ('waiting', 'sending')) / $2 AS rate
FROM broadcast_recipients WHERE broadcast_id = $1"""
_REASONS = """
SELECT error, count(*) AS users FROM broadcast_recipients
WHERE broadcast_id = $1 AND error <> '' AND CASE WHEN $2 THEN edit_state = 'refused' ELSE state = 'failed' END
GROUP BY error ORDER BY users DESC, error LIMIT $3"""


@dataclass(frozen=True)
class AudienceFilter:
    """The users who belong to an audience.

    Attributes:
        bot_name: The bot that they last wrote to.
        language: Only users of this language; empty for all.
        active_days: Only users seen within this many days; 0 for all.
        orders: Only users who have paid (`paid`) or never ordered (`never`); empty for all.
        languages: Only users of these languages, which the broadcast has versions for; None if it has one for everyone.
    """

    bot_name: str
    language: str = ""
    active_days: int = 0
    orders: Literal["", "paid", "never"] = ""
    languages: Sequence[str] | None = None


@dataclass(frozen=True)
class Recipient:
    """A user who gets the broadcast, or whose message is edited or deleted.

    Attributes:
        version: The key of the version that they receive.
        message_ids: The messages that they have received.
        silent: Whether they have quiet hours now.
    """

    user_id: int
    version: str
    message_ids: tuple[int, ...]
    silent: bool = False


@dataclass(frozen=True)
class SendOutcome:
    """How sending to a user ended. `waiting`: nothing was sent, and sending is retried."""

    user_id: int
    state: SendState
    message_ids: tuple[int, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class EditOutcome:
    """How editing or deleting a user's message ended. `waiting`: it is retried."""

    user_id: int
    state: EditState
    error: str = ""


@dataclass(frozen=True)
class RecipientCounts:
    """Recipients by state. `edits_*` are about the latest edit or delete; `rate` is messages per second."""

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
    """How many users the audience has now."""
    return int(await db.fetchval(_COUNT_AUDIENCE, *_arguments(group)))


async def add_recipients(
    connection: Connection, broadcast_id: UUID, group: AudienceFilter, *, versions: Sequence[str], fallback: str
) -> int:
    """Add the recipients of a broadcast, each with the version that they receive.

    Args:
        connection: A connection in the transaction that starts the broadcast.
        broadcast_id: The broadcast.
        group: Its audience.
        versions: The languages it has a version for.
        fallback: The version for all other languages.

    Returns:
        How many recipients were added.
    """
    status = await connection.execute(_ADD, *_arguments(group), broadcast_id, list(versions), fallback)
    return _row_count(status)


def _arguments(group: AudienceFilter) -> tuple[object, ...]:
    languages = None if group.languages is None else list(group.languages)
    return group.bot_name, group.language, group.active_days, group.orders, languages


def _row_count(status: str) -> int:
    """The number of rows in PostgreSQL's command tag, such as `INSERT 0 5` or `UPDATE 5`."""
    return int(status.rpartition(" ")[2])


async def mark_unanswered_unknown(db: Executor, broadcast_id: UUID, worker_id: UUID) -> int:
    """Mark recipients that another step left as `sending` as `unknown`. Returns how many."""
    return _row_count(await db.execute(_MARK_UNANSWERED_UNKNOWN, broadcast_id, worker_id))


async def claim_recipients(
    db: Executor, broadcast_id: UUID, worker_id: UUID, *, after: int, limit: int
) -> list[Recipient]:
    """Mark the next recipients as `sending`.

    Args:
        db: The pool or a connection.
        broadcast_id: The broadcast.
        worker_id: The step that sends.
        after: Only higher user ids are claimed: the last one claimed, or at first a number below every id.
        limit: How many at most.

    Returns:
        The recipients; none if the broadcast is not running or another step is sending.
    """
    return [_recipient(row) for row in await db.fetch(_CLAIM, broadcast_id, worker_id, after, limit)]


async def save_send_outcomes(
    connection: Connection, broadcast_id: UUID, worker_id: UUID, outcomes: Sequence[SendOutcome]
) -> None:
    """Record how sending ended. Users who blocked the bot become inactive. Must run inside a transaction."""
    await connection.execute(
        _SAVE_SEND_OUTCOMES,
        broadcast_id,
        worker_id,
        [each.user_id for each in outcomes],
        [each.state for each in outcomes],
        [f"{{{','.join(map(str, each.message_ids))}}}" for each in outcomes],
        [each.error for each in outcomes],
    )
    if blocked := [each.user_id for each in outcomes if each.state == "blocked"]:
        await connection.execute(_SET_INACTIVE, blocked)


async def start_edit(connection: Connection, broadcast_id: UUID, version: str = "") -> int:
    """Mark the messages of all recipients, or of those with `version`, to be edited or deleted. Returns how many."""
    return _row_count(await connection.execute(_START_EDIT, broadcast_id, version))


async def next_edits(
    db: Executor, broadcast_id: UUID, worker_id: UUID, *, after: int, limit: int
) -> list[Recipient]:
    """The next recipients whose messages are to be edited or deleted. Takes the arguments of `claim_recipients`."""
    return [_recipient(row) for row in await db.fetch(_NEXT_EDITS, broadcast_id, worker_id, after, limit)]


async def save_edit_outcomes(db: Executor, broadcast_id: UUID, outcomes: Sequence[EditOutcome]) -> None:
    """Record how edits or deletes ended."""
    users, states, errors = zip(*((each.user_id, each.state, each.error) for each in outcomes), strict=True)
    await db.execute(_SAVE_EDIT_OUTCOMES, broadcast_id, list(users), list(states), list(errors))


async def count_recipients(db: Executor, broadcast_id: UUID, *, seconds: float = 10.0) -> RecipientCounts:
    """Count recipients by state. The rate is measured over the last `seconds`."""
    row = await db.fetchrow(_COUNT, broadcast_id, seconds)
    assert row is not None  # noqa: S101 - an aggregate has one row
    return RecipientCounts(**dict(row))


async def failure_reasons(
    db: Executor, broadcast_id: UUID, *, edits: bool, limit: int = 3
) -> list[tuple[str, int]]:
    """Telegram's most frequent errors, each with the number of users, for sends or for edits."""
    return [(row["error"], row["users"]) for row in await db.fetch(_REASONS, broadcast_id, edits, limit)]


def _recipient(row: asyncpg.Record) -> Recipient:
    silent = is_quiet(row.get("quiet_from"), row.get("quiet_until"), datetime.now(UTC))
    return Recipient(row["user_id"], row["version"], tuple(row["message_ids"]), silent)
