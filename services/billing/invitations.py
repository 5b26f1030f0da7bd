"""Coming by an invitation: the link that a new person came by is written down, once."""

from enum import Enum

from loguru import logger

from services.billing.referrals import parse_inviter_id
from services.messaging.app_context import AppContext
from storage.users.referrals import set_inviter

_MAX_USER_ID = 2**63 - 1


class InvitationOutcome(Enum):
    """What became of the link that somebody came by."""

    NONE = "none"
    """It was none of ours."""
    OWN_LINK = "own"
    """The person's own."""
    ACCEPTED = "taken"
    """From now on they are the inviter's guest."""
    TOO_LATE = "late"
    """They are somebody's guest already, or no new person, or it would be a loop."""


async def accept_invitation(studio: AppContext, user_id: int, payload: str | None) -> InvitationOutcome:
    """Write down who invited a person, from what followed `?start=` in the link they came by."""
    inviter_id = parse_inviter_id(payload)
    if inviter_id is None or not 0 < inviter_id <= _MAX_USER_ID:
        return InvitationOutcome.NONE
    if inviter_id == user_id:
        return InvitationOutcome.OWN_LINK
    async with studio.db.acquire() as connection, connection.transaction():
        accepted = await set_inviter(connection, user_id, inviter_id)
    if accepted:
        logger.info("person {} came by the link of {}", user_id, inviter_id)
    return InvitationOutcome.ACCEPTED if accepted else InvitationOutcome.TOO_LATE
