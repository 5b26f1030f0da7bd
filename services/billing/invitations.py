"""Coming by an invitation: the link that a new person came by is written down, once."""

from enum import Enum

from loguru import logger

from services.billing.referrals import inviter_in
from services.messaging.app_context import Studio
from storage.users.referrals import set_inviter

_LARGEST_ID = 2**63 - 1


class Invitation(Enum):
    """What became of the link that somebody came by."""

    NONE = "none"
    """It was none of ours."""
    OWN = "own"
    """The person's own."""
    TAKEN = "taken"
    """From now on they are the inviter's guest."""
    LATE = "late"
    """They are somebody's guest already, or no new person, or it would be a loop."""


async def take_invitation(studio: Studio, user_id: int, payload: str | None) -> Invitation:
    """Write down who invited a person, from what followed `?start=` in the link they came by."""
    inviter_id = inviter_in(payload)
    if inviter_id is None or not 0 < inviter_id <= _LARGEST_ID:
        return Invitation.NONE
    if inviter_id == user_id:
        return Invitation.OWN
    async with studio.db.acquire() as connection, connection.transaction():
        taken = await set_inviter(connection, user_id, inviter_id)
    if taken:
        logger.info("person {} came by the link of {}", user_id, inviter_id)
    return Invitation.TAKEN if taken else Invitation.LATE
