"""Invitations between users, and how many of them were rewarded."""

from dataclasses import dataclass

from storage.pool import Connection, Executor

# If two users opened each other's link at the same time, neither statement would see the loop, so they run one by one.
_LOCK = "SELECT pg_advisory_xact_lock(hashtext('invites'))"

# A user who has ordered or paid can no longer be invited. The user must not be among the inviter's own direct or
# indirect inviters, because that would be a loop.
_SET_INVITER = """
WITH RECURSIVE above AS (
    SELECT id, invited_by FROM users WHERE id = $2 AND NOT blocked
    UNION
    SELECT u.id, u.invited_by FROM users u JOIN above a ON u.id = a.invited_by
)
UPDATE users SET invited_by = $2
WHERE id = $1 AND invited_by IS NULL AND id <> $2
  AND EXISTS (SELECT FROM above) AND NOT EXISTS (SELECT FROM above WHERE above.id = $1)
  AND NOT EXISTS (SELECT FROM orders WHERE user_id = $1)
  AND NOT EXISTS (SELECT FROM payments WHERE user_id = $1)
RETURNING true"""

_COUNT = """
SELECT count(*) AS invited, count(t.id) AS rewarded
FROM users u LEFT JOIN ledger_transactions t ON t.key = 'referral:' || u.id
WHERE u.invited_by = $1"""


@dataclass(frozen=True)
class ReferralCounts:
    """How many users came by a user's link, and for how many of them the user got the reward."""

    invited: int
    rewarded: int


async def set_inviter(connection: Connection, user_id: int, inviter_id: int) -> bool:
    """Record whose link a new user came by. Must run inside a transaction.

    Returns:
        False if the user already has an inviter, has ordered or has paid; if the link is their own; if it would make a
        loop; or if the inviter is blocked or unknown.
    """
    await connection.execute(_LOCK)
    return bool(await connection.fetchval(_SET_INVITER, user_id, inviter_id))


async def count_referrals(db: Executor, inviter_id: int) -> ReferralCounts:
    """Count the users this one has invited."""
    row = await db.fetchrow(_COUNT, inviter_id)
    assert row is not None  # noqa: S101 - an aggregate has one row
    return ReferralCounts(**dict(row))
