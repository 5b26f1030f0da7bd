"""Promo codes: admins create them, and each user can redeem a code once."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final, Self

from loguru import logger
from pydantic import BaseModel, Field, ValidationError

from services.core.errors import InvalidRequest
from services.ledger import credits as ledger
from storage.money.promo_codes import PromoCode, add_promo, has_redeemed, latest_promos, lock_promo, redeem_promo
from storage.pool import Executor, Pool

_CODE_PATTERN: Final = re.compile(r"[A-Z0-9_-]{3,32}")
_DAYS_PATTERN: Final = re.compile(r"([0-9]{1,4})[dD]")
_RESERVED_CODES: Final = frozenset({"NEW", "LIST"})
_TO_END_OF_DAY: Final = timedelta(days=1, microseconds=-1)
_MAX_CREDITS: Final = 100_000
_MAX_USES: Final = 1_000_000


class NewPromoCode(BaseModel):
    """A promo code to create.

    Attributes:
        code: The code, in capitals.
        credits: The credits for each user who redeems it.
        max_uses: The number of users who can redeem it.
        expires_at: The time until which it can be redeemed.
    """

    code: str
    credits: int = Field(ge=1, le=_MAX_CREDITS)
    max_uses: int = Field(ge=1, le=_MAX_USES)
    expires_at: datetime

    @classmethod
    def parse(cls, args: list[str], *, now: datetime | None = None) -> Self:
        """Parse the arguments of `/promo new`.

        Args:
            args: Code, credits, uses and the last day: `2026-08-13` (the whole day, in UTC) or `30d` (from now).
            now: The current time; None for the clock's.

        Raises:
            InvalidRequest: An argument is missing or invalid. The text says which.
        """
        if len(args) != 4:
            raise InvalidRequest("promo.usage")
        code = _normalize_code(args[0])
        if code is None or code in _RESERVED_CODES:
            raise InvalidRequest("promo.bad_code")
        expires_at = _parse_expiry(args[3], now or datetime.now(UTC))
        try:
            return cls.model_validate(
                {"code": code, "credits": args[1], "max_uses": args[2], "expires_at": expires_at}
            )
        except ValidationError as error:
            raise InvalidRequest("promo.bad_number", credits=_MAX_CREDITS, uses=_MAX_USES) from error


async def create_promo_code(db: Executor, promo: NewPromoCode, admin_id: int) -> None:
    """Store a new promo code.

    Args:
        db: The database.
        promo: The code.
        admin_id: The admin who creates it.

    Raises:
        InvalidRequest: The code already exists.
    """
    added = await add_promo(
        db,
        promo.code,
        credits=promo.credits,
        max_uses=promo.max_uses,
        expires_at=promo.expires_at,
        created_by=admin_id,
    )
    if not added:
        raise InvalidRequest("promo.exists", code=promo.code)
    logger.info(
        "promo code created", promo=promo.code, admin=admin_id, credits=promo.credits, count=promo.max_uses
    )


async def list_promo_codes(db: Executor, *, limit: int) -> list[PromoCode]:
    """List the latest promo codes, newest first."""
    return await latest_promos(db, limit=limit)


async def redeem_promo_code(db: Pool, text: str, user_id: int) -> int:
    """Give a user the credits of a promo code, once, in one transaction.

    Args:
        db: The database.
        text: The code as the user typed it.
        user_id: The user.

    Returns:
        The credits given.

    Raises:
        InvalidRequest: The code is unknown, expired or used up, or this user has already redeemed it.
    """
    code = _normalize_code(text)
    if code is None:
        raise InvalidRequest("promo.unknown")
    async with db.acquire() as connection, connection.transaction():
        promo = await lock_promo(connection, code)
        if promo is None:
            raise InvalidRequest("promo.unknown")
        if await has_redeemed(connection, code, user_id):
            raise InvalidRequest("promo.yours_already")
        if not promo.valid:
            raise InvalidRequest("promo.over")
        if not await redeem_promo(connection, code, user_id):
            raise InvalidRequest("promo.used_up")
        await ledger.give_bonus(
            connection, key=f"promo:{code}:{user_id}", kind="promo", user_id=user_id, amount=promo.credits
        )
    logger.info("promo code redeemed", promo=code, user=user_id, credits=promo.credits)
    return promo.credits


def _normalize_code(text: str) -> str | None:
    """Return the code in capitals, as it is stored, or None if the text cannot be a code."""
    code = text.strip().upper()
    return code if _CODE_PATTERN.fullmatch(code) else None


def _parse_expiry(text: str, now: datetime) -> datetime:
    if days := _DAYS_PATTERN.fullmatch(text):
        end = now + timedelta(days=int(days[1]))
    else:
        try:
            end = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC) + _TO_END_OF_DAY
        except (ValueError, OverflowError) as error:
            raise InvalidRequest("promo.bad_day") from error
    if end <= now:
        raise InvalidRequest("promo.bad_day")
    return end
