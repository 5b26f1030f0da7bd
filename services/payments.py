"""Buying credits with Telegram Stars. Rules: https://core.telegram.org/bots/payments-stars"""

import hashlib
import hmac
from dataclasses import dataclass
from uuid import UUID, uuid4

from aiogram.types import LabeledPrice, PreCheckoutQuery, SuccessfulPayment
from loguru import logger

from services.studio import Studio
from storage.ledger import move
from storage.topups import add_topup, get_topup, mark_paid

CURRENCY = "XTR"
PACKS = (50, 100, 250, 500, 1000, 2500)
_SIGNATURE = 16


def pack_for(missing: int) -> int:
    """The smallest pack that covers what is missing, or the largest there is."""
    return next((pack for pack in PACKS if pack >= missing), PACKS[-1])


@dataclass(frozen=True)
class Charge:
    """A payment that Telegram has taken: its own id of it, whose it is, whole Stars, and our payload."""

    id: str
    user_id: int
    stars: int
    payload: str


def charge_of(payment: SuccessfulPayment, user_id: int) -> Charge:
    return Charge(payment.telegram_payment_charge_id, user_id, payment.total_amount, payment.invoice_payload)


@dataclass(frozen=True)
class Payments:
    studio: Studio

    async def send_invoice(self, *, user_id: int, bot_name: str, chat_id: int, language: str, stars: int) -> None:
        """Offer `stars` credits for as many Stars."""
        topup_id = uuid4()
        await add_topup(self.studio.db, topup_id, user_id=user_id, bot_name=bot_name, stars=stars)
        t = self.studio.texts.t
        title = t(language, "topup.title", stars)
        await self.studio.bot(bot_name).send_invoice(
            chat_id,
            title=title,
            description=t(language, "topup.description", stars),
            payload=self._payload(bot_name, topup_id),
            currency=CURRENCY,
            prices=[LabeledPrice(label=title, amount=stars)],
            provider_token="",
        )

    async def check(self, query: PreCheckoutQuery, bot_name: str) -> str | None:
        """None where Telegram may take the Stars, else the key of why not."""
        topup_id = self._read_payload(bot_name, query.invoice_payload)
        topup = await get_topup(self.studio.db, topup_id) if topup_id else None
        if topup is None or topup.user_id != query.from_user.id:
            return "topup.unknown"
        if query.currency != CURRENCY or query.total_amount != topup.stars:
            return "topup.changed"
        return "topup.paid_already" if topup.charge_id else None

    async def credit(self, charge: Charge, *, bot_name: str) -> bool:
        """Credit a payment, once for each charge. False when it was credited before."""
        async with self.studio.db.acquire() as connection, connection.transaction():
            credited = await move(
                connection,
                key=f"charge:{charge.id}",
                kind="topup",
                user_id=charge.user_id,
                source="stars",
                target="available",
                amount=charge.stars,
            )
            if topup_id := self._read_payload(bot_name, charge.payload):
                await mark_paid(connection, topup_id, charge.id)
            else:
                logger.error("charge {} of {} carries a payload that is not ours", charge.id, charge.user_id)
        logger.info("charge {}: {} Stars of {}, credited: {}", charge.id, charge.stars, charge.user_id, credited)
        return credited

    def _payload(self, bot_name: str, topup_id: UUID) -> str:
        return f"{topup_id.hex}.{self._sign(bot_name, topup_id)}"

    def _read_payload(self, bot_name: str, payload: str) -> UUID | None:
        """The id, if this bot signed it."""
        number, _, signature = payload.partition(".")
        try:
            topup_id = UUID(number)
        except ValueError:
            return None
        signed = hmac.compare_digest(signature.encode(), self._sign(bot_name, topup_id).encode())
        return topup_id if signed else None

    def _sign(self, bot_name: str, topup_id: UUID) -> str:
        key = self.studio.bot(bot_name).token.encode()
        return hmac.new(key, b"topup:" + topup_id.bytes, hashlib.sha256).hexdigest()[: _SIGNATURE * 2]
