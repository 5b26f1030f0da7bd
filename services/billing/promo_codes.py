"""Promo codes: an admin makes one, and each person redeems it once."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final, Self

from loguru import logger
from pydantic import BaseModel, Field, ValidationError

from services.core.errors import InvalidRequest
from services.ledger import credits as ledger
from services.messaging.app_context import AppContext
from storage.money.promo_codes import add_promo, has_redeemed, lock_promo, redeem_promo

_CODE_PATTERN: Final = re.compile(r"[A-Z0-9_-]{3,32}")
_DAYS_PATTERN: Final = re.compile(r"([0-9]{1,4})[dD]")
_RESERVED_CODES: Final = frozenset({"NEW", "LIST"})
_TO_END_OF_DAY: Final = timedelta(days=1, microseconds=-1)
_MAX_CREDITS: Final = 100_000
_MAX_USES: Final = 1_000_000


class NewPromoCode(BaseModel):
    """`credits` Stars for each of the first `uses` people, until `until`."""

    code: str
    credits: int = Field(ge=1, le=_MAX_CREDITS)
    max_uses: int = Field(ge=1, le=_MAX_USES)
    expires_at: datetime

    @classmethod
    def parse(cls, args: list[str], *, now: datetime | None = None) -> Self:
        """From the words `CODE credits uses until`; until is a day, whole and UTC's, or `30d`. Raises Refused."""
        if len(args) != 4:
            raise InvalidRequest("promo.usage")
        code = normalize_code(args[0])
        if code is None or code in _RESERVED_CODES:
            raise InvalidRequest("promo.bad_code")
        expires_at = _parse_expiry(args[3], now or datetime.now(UTC))
        try:
            fields = {"code": code, "credits": args[1], "max_uses": args[2], "expires_at": expires_at}
            return cls.model_validate(fields)
        except ValidationError as error:
            raise InvalidRequest("promo.bad_number", credits=_MAX_CREDITS, uses=_MAX_USES) from error


def normalize_code(text: str) -> str | None:
    """The code as it is kept, whatever case it was typed in; None for what can be none."""
    code = text.strip().upper()
    return code if _CODE_PATTERN.fullmatch(code) else None


async def create_promo_code(studio: AppContext, promo: NewPromoCode, admin_id: int) -> None:
    """Raises Refused where there is such a code."""
    added = await add_promo(
        studio.db,
        promo.code,
        credits=promo.credits,
        max_uses=promo.max_uses,
        expires_at=promo.expires_at,
        created_by=admin_id,
    )
    if not added:
        raise InvalidRequest("promo.exists", code=promo.code)
    logger.info(
        "admin {} made promo code {}: {} Stars, {} uses", admin_id, promo.code, promo.credits, promo.max_uses
    )


async def redeem_promo_code(studio: AppContext, text: str, user_id: int) -> int:
    """Give the person a code's credits, once: how many Stars. One transaction. Raises Refused."""
    code = normalize_code(text)
    if code is None:
        raise InvalidRequest("promo.unknown")
    async with studio.db.acquire() as connection, connection.transaction():
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
    logger.info("person {} redeemed promo code {}: {} Stars", user_id, code, promo.credits)
    return promo.credits


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
