"""Referrals: invitation links, and a bonus for the inviter when the invited user pays for the first time."""

from enum import Enum
from typing import Any, Final

from loguru import logger

from services.ledger import credits as ledger
from storage.pool import Executor, Pool
from storage.users.referrals import ReferralCounts, count_referrals, set_inviter
from storage.users.users import get_inviter

REFERRAL_BONUS: Final = 20
"""The inviter's bonus, in credits."""
_PREFIX: Final = "ref_"
_MAX_USER_ID: Final = 2**52 - 1
"""Telegram's ids have at most 52 significant bits. https://core.telegram.org/bots/api#user"""


class InvitationOutcome(Enum):
    """The outcome of following an invitation link. The values are parts of text keys (`invite.taken`)."""

    NONE = "none"
    """Not an invitation link."""
    OWN_LINK = "own"
    """The user's own link."""
    ACCEPTED = "taken"
    """The owner of the link is recorded as the user's inviter."""
    TOO_LATE = "late"
    """The user has already been invited, ordered or paid, or the inviter is blocked, unknown or invited by the user."""


def invite_payload(user_id: int) -> str:
    """Return the payload of a user's invitation link: the part after `?start=`."""
    return f"{_PREFIX}{user_id:x}"


async def accept_invitation(db: Pool, user_id: int, payload: str | None) -> InvitationOutcome:
    """Record who invited a user. The first invitation counts.

    Args:
        db: The database.
        user_id: The user who followed a link.
        payload: The part of the link after `?start=`, or None.
    """
    inviter_id = _parse_inviter_id(payload)
    if inviter_id is None:
        return InvitationOutcome.NONE
    if inviter_id == user_id:
        return InvitationOutcome.OWN_LINK
    async with db.acquire() as connection, connection.transaction():
        accepted = await set_inviter(connection, user_id, inviter_id)
    if accepted:
        logger.info("user invited", user=user_id, inviter=inviter_id)
    return InvitationOutcome.ACCEPTED if accepted else InvitationOutcome.TOO_LATE


async def get_referral_counts(db: Executor, user_id: int) -> ReferralCounts:
    """Count the users invited by this user, and those of them who earned the bonus."""
    return await count_referrals(db, user_id)


async def reward_inviter(db: Executor, user_id: int) -> dict[str, Any] | None:
    """Give the inviter the bonus for a user's first payment, once.

    Args:
        db: The database.
        user_id: The user who has paid.

    Returns:
        `inviter` (their id), `language` (the inviter's) and `credits` (the bonus), as JSON; None if the user was not
        invited or the bonus was given before.
    """
    inviter = await get_inviter(db, user_id)
    if inviter is None:
        return None
    rewarded = await ledger.give_bonus(
        db, key=f"referral:{user_id}", kind="referral", user_id=inviter.id, amount=REFERRAL_BONUS
    )
    return {"inviter": inviter.id, "language": inviter.language, "credits": REFERRAL_BONUS} if rewarded else None


def _parse_inviter_id(payload: str | None) -> int | None:
    """Return the id of the link's owner, or None if the payload is not from an invitation link."""
    if not payload or not payload.startswith(_PREFIX):
        return None
    try:
        inviter_id = int(payload.removeprefix(_PREFIX), 16)
    except ValueError:
        return None
    return inviter_id if 0 < inviter_id <= _MAX_USER_ID else None
