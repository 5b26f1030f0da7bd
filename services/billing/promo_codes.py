"""Promo codes: an admin makes one, and each person redeems it once."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final, Self

from loguru import logger
from pydantic import BaseModel, Field, ValidationError

from services.core.errors import Refused
from services.ledger import credits as ledger
from services.messaging.app_context import Studio
from storage.money.promo_codes import add_promo, has_redeemed, lock_promo, redeem_promo

_CODE: Final = re.compile(r"[A-Z0-9_-]{3,32}")
_DAYS: Final = re.compile(r"([0-9]{1,4})[dD]")
_WORDS_OF_ADMINS: Final = frozenset({"NEW", "LIST"})
_WHOLE_DAY: Final = timedelta(days=1, microseconds=-1)
_MOST_CREDITS: Final = 100_000
_MOST_USES: Final = 1_000_000


class NewPromo(BaseModel):
    """`credits` Stars for each of the first `uses` people, until `until`."""

    code: str
    credits: int = Field(ge=1, le=_MOST_CREDITS)
    uses: int = Field(ge=1, le=_MOST_USES)
    until: datetime

    @classmethod
    def parse(cls, words: list[str], *, now: datetime | None = None) -> Self:
        """From the words `CODE credits uses until`; until is a day, whole and UTC's, or `30d`. Raises Refused."""
        if len(words) != 4:
            raise Refused("promo.usage")
        code = normal_code(words[0])
        if code is None or code in _WORDS_OF_ADMINS:
            raise Refused("promo.bad_code")
        until = _end(words[3], now or datetime.now(UTC))
        try:
            return cls.model_validate({"code": code, "credits": words[1], "uses": words[2], "until": until})
        except ValidationError as error:
            raise Refused("promo.bad_number", credits=_MOST_CREDITS, uses=_MOST_USES) from error


def normal_code(text: str) -> str | None:
    """The code as it is kept, whatever case it was typed in; None for what can be none."""
    code = text.strip().upper()
    return code if _CODE.fullmatch(code) else None


async def create(studio: Studio, promo: NewPromo, admin: int) -> None:
    """Raises Refused where there is such a code."""
    added = await add_promo(
        studio.db, promo.code, stars=promo.credits, uses=promo.uses, until=promo.until, created_by=admin
    )
    if not added:
        raise Refused("promo.exists", code=promo.code)
    logger.info("admin {} made promo code {}: {} Stars, {} uses", admin, promo.code, promo.credits, promo.uses)


async def redeem(studio: Studio, text: str, user_id: int) -> int:
    """Give the person a code's credits, once: how many Stars. One transaction. Raises Refused."""
    code = normal_code(text)
    if code is None:
        raise Refused("promo.unknown")
    async with studio.db.acquire() as connection, connection.transaction():
        promo = await lock_promo(connection, code)
        if promo is None:
            raise Refused("promo.unknown")
        if await has_redeemed(connection, code, user_id):
            raise Refused("promo.yours_already")
        if not promo.valid:
            raise Refused("promo.over")
        if not await redeem_promo(connection, code, user_id):
            raise Refused("promo.used_up")
        await ledger.give_bonus(
            connection, key=f"promo:{code}:{user_id}", kind="promo", user_id=user_id, amount=promo.credits
        )
    logger.info("person {} redeemed promo code {}: {} Stars", user_id, code, promo.credits)
    return promo.credits


def _end(word: str, now: datetime) -> datetime:
    if days := _DAYS.fullmatch(word):
        end = now + timedelta(days=int(days[1]))
    else:
        try:
            end = datetime.strptime(word, "%Y-%m-%d").replace(tzinfo=UTC) + _WHOLE_DAY
        except (ValueError, OverflowError) as error:
            raise Refused("promo.bad_day") from error
    if end <= now:
        raise Refused("promo.bad_day")
    return end
