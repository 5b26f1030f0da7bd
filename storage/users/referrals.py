"""Who came by whose invitation, and what that brought."""

from dataclasses import dataclass

from storage.pool import Connection, Executor

# Two people who take each other's link at once would close a loop that neither statement sees: one at a time.
_ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtext('invites'))"

# Somebody who has ordered or paid is nobody's guest any more. The inviter's own inviters, up to the first, must
# not be the person: that would be a loop.
_SET_INVITER = """
WITH RECURSIVE above AS (
    SELECT id, invited_by FROM users WHERE id = $2 AND NOT blocked
    UNION
    SELECT u.id, u.invited_by FROM users u JOIN above a ON u.id = a.invited_by
)
UPDATE users SET invited_by = $2
WHERE id = $1 AND invited_by IS NULL AND id <> $2
  AND EXISTS (SELECT FROM above) AND NOT EXISTS (SELECT FROM above WHERE above.id = $1)
  AND NOT EXISTS (SELECT FROM jobs WHERE user_id = $1 AND NOT errand)
  AND NOT EXISTS (SELECT FROM charges WHERE user_id = $1)
RETURNING true"""

_COUNT = """
SELECT count(*) AS came, count(t.id) AS rewarded
FROM users u LEFT JOIN ledger_transactions t ON t.key = 'referral:' || u.id
WHERE u.invited_by = $1"""


@dataclass(frozen=True)
class ReferralCounts:
    """People who came by somebody's link, and those of them whose first payment brought the bonus."""

    invited: int
    rewarded: int


async def set_inviter(connection: Connection, user_id: int, inviter_id: int) -> bool:
    """Write down by whose link a new person came, once. False for who is known already, for one's own link, for
    a loop and for an inviter who is not there.

    Belongs inside a transaction.
    """
    await connection.execute(_ONE_AT_A_TIME)
    return bool(await connection.fetchval(_SET_INVITER, user_id, inviter_id))


async def count_referrals(db: Executor, inviter_id: int) -> ReferralCounts:
    row = await db.fetchrow(_COUNT, inviter_id)
    assert row is not None  # noqa: S101 - an aggregate has one row
    return ReferralCounts(**dict(row))
