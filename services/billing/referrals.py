"""Invitations: a deep link, and a bonus for the inviter when the invited person first pays. Once."""

from typing import Any, Final

from services.ledger import credits as ledger
from services.messaging.app_context import AppContext
from storage.users.users import get_inviter

REFERRAL_BONUS: Final = 20
"""Stars for the inviter."""
REFERRAL_PREFIX: Final = "ref_"


def invite_payload(user_id: int) -> str:
    """What follows `?start=` in the link."""
    return f"{REFERRAL_PREFIX}{user_id:x}"


def parse_inviter_id(payload: str | None) -> int | None:
    """Whose link a person came by. None for none, or one that is not ours."""
    if not payload or not payload.startswith(REFERRAL_PREFIX):
        return None
    try:
        inviter_id = int(payload.removeprefix(REFERRAL_PREFIX), 16)
    except ValueError:
        return None
    return inviter_id if 0 < inviter_id < 2**52 else None  # Telegram's ids have at most 52 bits


async def reward_inviter(studio: AppContext, user_id: int) -> dict[str, Any] | None:
    """Give the bonus for this person's first payment, once. None where nobody invited them, or it was given."""
    inviter = await get_inviter(studio.db, user_id)
    if inviter is None:
        return None
    rewarded = await ledger.give_bonus(
        studio.db, key=f"referral:{user_id}", kind="referral", user_id=inviter.id, amount=REFERRAL_BONUS
    )
    return {"inviter": inviter.id, "language": inviter.language, "credits": REFERRAL_BONUS} if rewarded else None
