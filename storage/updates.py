"""Which of Telegram's updates were handled, and what is known when one arrives.

Updates come at least once, and their work is done once. All that the bot needs to know of the sender comes
with the claim in one round trip: it is the price of every update.
"""

from dataclasses import dataclass
from enum import Enum

from storage.money.ledger import Balance
from storage.pool import Executor
from storage.users.users import TelegramProfile, User

# An update whose handler died is claimed again once its claim has run out. A person is written to only where
# something changed, or they were not seen for a while; one who writes is reachable again, whatever Telegram
# said of them before.
_CLAIM_UPDATE = """
WITH claimed AS (
    INSERT INTO updates (bot_id, update_id, claimed_until) VALUES ($1, $2, now() + make_interval(secs => $3))
    ON CONFLICT (bot_id, update_id) DO UPDATE SET claimed_until = EXCLUDED.claimed_until
    WHERE updates.done_at IS NULL AND updates.claimed_until <= now()
    RETURNING true
), touched AS (
    UPDATE users SET bot_name = $6, username = $7, first_name = $8, active = true, seen_at = now(),
        returned_at = CASE WHEN active THEN returned_at ELSE now() END,
        language = CASE WHEN language_chosen THEN language ELSE $9 END
    WHERE id = $5 AND (
        (bot_name, username, first_name, active) IS DISTINCT FROM ($6::text, $7::text, $8::text, true)
        OR (NOT language_chosen AND language <> $9) OR seen_at < now() - interval '5 minutes')
    RETURNING language
)
SELECT (SELECT true FROM claimed) AS claimed,
       (SELECT done_at IS NOT NULL FROM updates WHERE bot_id = $1 AND update_id = $2) AS done,
       u.id IS NOT NULL AS known, coalesce((SELECT language FROM touched), u.language) AS language,
       u.language_chosen, u.blocked, u.terms_at IS NOT NULL AS terms_accepted,
       CASE WHEN u.discount_until > now() THEN u.discount ELSE 0 END AS discount,
       b.available, b.held, b.debt, f.state,
       EXISTS (SELECT FROM jobs j WHERE j.user_id = $5 AND NOT j.errand) AS ordered,
       NOT u.active OR coalesce(u.returned_at > now() - interval '10 minutes', false) AS returned
FROM (SELECT 1) AS one
LEFT JOIN users u ON u.id = $5
LEFT JOIN balances b ON b.user_id = $5
LEFT JOIN fsm f ON f.bot_id = $1 AND f.chat_id = $4 AND f.user_id = $5 AND f.thread = ''"""

_DONE = "UPDATE updates SET done_at = now() WHERE bot_id = $1 AND update_id = $2"
_RELEASE = "UPDATE updates SET claimed_until = now() WHERE bot_id = $1 AND update_id = $2 AND done_at IS NULL"
_DELETE_OLD = "DELETE FROM updates WHERE done_at < now() - make_interval(days => $1)"


class Claim(Enum):
    ACQUIRED = "mine"
    DONE = "done"
    BUSY = "busy"
    """Somebody else is at it, or died less than `seconds` ago."""


@dataclass(frozen=True)
class ClaimedUpdate:
    """An update and its sender. `user` is None for somebody new; `state` is the conversation's.

    `ordered`: they have ever ordered something. `returned`: they had blocked the bot, and came back just now.
    """

    claim: Claim
    user: User | None
    balance: Balance
    state: str | None
    has_ordered: bool = False
    returned: bool = False


async def claim_update(
    db: Executor,
    bot_id: int,
    update_id: int,
    chat_id: int | None,
    profile: TelegramProfile | None,
    *,
    seconds: float,
) -> ClaimedUpdate:
    """Claim an update for `seconds`, and learn who sent it. `profile` is what Telegram says of them."""
    p = profile or TelegramProfile(0, "", "", None, "")
    person = (p.id, p.bot_name, p.username, p.first_name, p.language)
    row = await db.fetchrow(_CLAIM_UPDATE, bot_id, update_id, seconds, chat_id or 0, *person)
    assert row is not None  # noqa: S101 - it selects from one row
    claim = Claim.ACQUIRED if row["claimed"] else Claim.DONE if row["done"] else Claim.BUSY
    if not row["known"]:
        return ClaimedUpdate(claim, None, Balance(0, 0), None)
    user = User(
        p.id,
        p.bot_name,
        row["language"],
        row["language_chosen"],
        p.username,
        p.first_name,
        active=True,
        blocked=row["blocked"],
        discount=row["discount"],
        terms_accepted=row["terms_accepted"],
    )
    balance = Balance(row["available"], row["held"], row["debt"])
    return ClaimedUpdate(claim, user, balance, row["state"], has_ordered=row["ordered"], returned=row["returned"])


async def finish_update(db: Executor, bot_id: int, update_id: int) -> None:
    await db.execute(_DONE, bot_id, update_id)


async def release_update(db: Executor, bot_id: int, update_id: int) -> None:
    """Let the next delivery of the update be handled at once."""
    await db.execute(_RELEASE, bot_id, update_id)


async def delete_old_updates(db: Executor, *, days: int) -> None:
    """Telegram keeps an update for 24 hours; older ones cannot come again."""
    await db.execute(_DELETE_OLD, days)
