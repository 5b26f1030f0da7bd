"""Invitations: a deep link, and a bonus for the inviter when the invited person first pays. Once."""

from typing import Any, Final

from services.ledger import credits as ledger
from services.messaging.app_context import Studio
from storage.users.users import get_inviter

BONUS: Final = 20
"""Stars for the inviter."""
PREFIX: Final = "ref_"


def invite_payload(user_id: int) -> str:
    """What follows `?start=` in the link."""
    return f"{PREFIX}{user_id:x}"


def inviter_in(payload: str | None) -> int | None:
    """Whose link a person came by. None for none, or one that is not ours."""
    if not payload or not payload.startswith(PREFIX):
        return None
    try:
        inviter = int(payload.removeprefix(PREFIX), 16)
    except ValueError:
        return None
    return inviter if 0 < inviter < 2**52 else None  # Telegram's ids have at most 52 bits


async def reward_inviter(studio: Studio, user_id: int) -> dict[str, Any] | None:
    """Give the bonus for this person's first payment, once. None where nobody invited them, or it was given."""
    inviter = await get_inviter(studio.db, user_id)
    if inviter is None:
        return None
    given = await ledger.give_bonus(
        studio.db, key=f"referral:{user_id}", kind="referral", user_id=inviter.id, amount=BONUS
    )
    return {"inviter": inviter.id, "language": inviter.language, "credits": BONUS} if given else None
