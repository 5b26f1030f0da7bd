"""Referrals: an invitation link, and a bonus for the inviter when the invited user pays for the first time."""

from enum import Enum
from typing import Any, Final

from loguru import logger

from services.ledger import credits as ledger
from storage.pool import Executor, Pool
from storage.users.referrals import ReferralCounts, count_referrals, set_inviter
from storage.users.users import get_inviter

REFERRAL_BONUS: Final = 20
"""Credits for the inviter."""
_PREFIX: Final = "ref_"
_MAX_USER_ID: Final = 2**52 - 1
"""Telegram's ids have at most 52 significant bits. https://core.telegram.org/bots/api#user"""


class InvitationOutcome(Enum):
    """What following an invitation link led to. The values are parts of locale keys (`invite.taken`)."""

    NONE = "none"
    """It was not an invitation link."""
    OWN_LINK = "own"
    """It was the user's own link."""
    ACCEPTED = "taken"
    """The user is from now on invited by the link's owner."""
    TOO_LATE = "late"
    """The user was invited before, has ordered or paid before, or it would make a loop."""


def invite_payload(user_id: int) -> str:
    """The payload of a user's invitation link: what follows `?start=`."""
    return f"{_PREFIX}{user_id:x}"


async def accept_invitation(db: Pool, user_id: int, payload: str | None) -> InvitationOutcome:
    """Store who invited a user, once.

    Args:
        db: The database.
        user_id: The user who followed a link.
        payload: What followed `?start=` in it; None for nothing.
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
    """How many users this user has invited, and how many of them earned the bonus."""
    return await count_referrals(db, user_id)


async def reward_inviter(db: Executor, user_id: int) -> dict[str, Any] | None:
    """Give the bonus for a user's first payment, once.

    Args:
        db: The database.
        user_id: The user who has paid.

    Returns:
        The inviter's id, their language and the bonus in credits, as JSON (`inviter`, `language`, `credits`); None
        where the user was not invited or the bonus was given before.
    """
    inviter = await get_inviter(db, user_id)
    if inviter is None:
        return None
    rewarded = await ledger.give_bonus(
        db, key=f"referral:{user_id}", kind="referral", user_id=inviter.id, amount=REFERRAL_BONUS
    )
    return {"inviter": inviter.id, "language": inviter.language, "credits": REFERRAL_BONUS} if rewarded else None


def _parse_inviter_id(payload: str | None) -> int | None:
    """The id of the link's owner; None where the payload is not one of ours."""
    if not payload or not payload.startswith(_PREFIX):
        return None
    try:
        inviter_id = int(payload.removeprefix(_PREFIX), 16)
    except ValueError:
        return None
    return inviter_id if 0 < inviter_id <= _MAX_USER_ID else None
