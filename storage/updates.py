"""Claims Telegram's updates and reads what is known about their senders.

Telegram may deliver an update more than once; the claim makes sure that it is handled once. Since every update needs a
claim, one round trip both claims it and reads everything about its sender.
"""

from dataclasses import dataclass
from enum import Enum

from storage.money.ledger import Balance
from storage.pool import Executor
from storage.users.users import TelegramProfile, User

# An update whose process died can be claimed again once the claim has expired. The user's row is written only if
# something changed or they were not seen for a while. A user who writes is active again, whatever Telegram reported
# about them before.
_CLAIM_UPDATE = """
WITH claimed AS (
    INSERT INTO updates (bot_id, update_id, claimed_until) VALUES ($1, $2, now() + make_interval(secs => $3))
    ON CONFLICT (bot_id, update_id) DO UPDATE SET claimed_until = EXCLUDED.claimed_until
    WHERE updates.done_at IS NULL AND updates.claimed_until <= now()
    RETURNING true
), touched AS (
    UPDATE users SET bot_name = $6, username = $7, first_name = $8, active = true, last_seen_at = now(),
        returned_at = CASE WHEN active THEN returned_at ELSE now() END,
        language = CASE WHEN language_chosen THEN language ELSE $9 END
    WHERE id = $5 AND (
        (bot_name, username, first_name, active) IS DISTINCT FROM ($6::text, $7::text, $8::text, true)
        OR (NOT language_chosen AND language <> $9) OR last_seen_at < now() - interval '5 minutes')
    RETURNING language
)
SELECT (SELECT true FROM claimed) AS claimed,
       (SELECT done_at IS NOT NULL FROM updates WHERE bot_id = $1 AND update_id = $2) AS done,
       u.id IS NOT NULL AS known, coalesce((SELECT language FROM touched), u.language) AS language,
       u.language_chosen, u.blocked, u.terms_accepted_at IS NOT NULL AS terms_accepted,
       CASE WHEN u.discount_until > now() THEN u.discount ELSE 0 END AS discount,
       b.available, b.held, b.debt, c.state,
       EXISTS (SELECT FROM orders o WHERE o.user_id = $5) AS has_ordered,
       NOT u.active OR coalesce(u.returned_at > now() - interval '10 minutes', false) AS returned
FROM (SELECT 1) AS one
LEFT JOIN users u ON u.id = $5
LEFT JOIN balances b ON b.user_id = $5
LEFT JOIN conversations c ON c.bot_id = $1 AND c.chat_id = $4 AND c.user_id = $5 AND c.thread = ''"""

_DONE = "UPDATE updates SET done_at = now() WHERE bot_id = $1 AND update_id = $2"
_RELEASE = "UPDATE updates SET claimed_until = now() WHERE bot_id = $1 AND update_id = $2 AND done_at IS NULL"
_DELETE_OLD = "DELETE FROM updates WHERE done_at < now() - make_interval(days => $1)"


class Claim(Enum):
    """Whether the caller may handle an update."""

    ACQUIRED = "mine"
    DONE = "done"
    BUSY = "busy"
    """Another process is handling it, or died while handling it and its claim has not expired."""


@dataclass(frozen=True)
class ClaimedUpdate:
    """An update and its sender.

    Attributes:
        claim: Whether the caller may handle it.
        user: None for a new user.
        state: The conversation's state.
        has_ordered: Whether the user has ever placed an order.
        returned: Whether the user had blocked the bot and has just come back.
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
    """Claim an update and read what is known about its sender.

    Args:
        db: The pool or a connection.
        bot_id: The bot that received it: update ids belong to one bot.
        update_id: Telegram's id.
        chat_id: The chat of the conversation; None if the update has none.
        profile: The profile of the sender; None if the update has none.
        seconds: Length of the claim.
    """
    p = profile or TelegramProfile(0, "", "", None, "")
    sender = (p.id, p.bot_name, p.username, p.first_name, p.language)
    row = await db.fetchrow(_CLAIM_UPDATE, bot_id, update_id, seconds, chat_id or 0, *sender)
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
    return ClaimedUpdate(
        claim, user, balance, row["state"], has_ordered=row["has_ordered"], returned=row["returned"]
    )


async def finish_update(db: Executor, bot_id: int, update_id: int) -> None:
    """Record that the update was handled."""
    await db.execute(_DONE, bot_id, update_id)


async def release_update(db: Executor, bot_id: int, update_id: int) -> None:
    """Let the next delivery of the update be handled at once."""
    await db.execute(_RELEASE, bot_id, update_id)


async def delete_old_updates(db: Executor, *, days: int) -> None:
    """Delete updates handled more than `days` ago. Telegram keeps updates for 24 hours, so they cannot come again."""
    await db.execute(_DELETE_OLD, days)
