"""Buying credits with Telegram Stars. Rules: https://core.telegram.org/bots/payments-stars"""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from aiogram.types import LabeledPrice, PreCheckoutQuery, SuccessfulPayment
from loguru import logger

from services.billing.payment_followup import PAYMENT
from services.billing.tiers import SUBSCRIPTION_PERIOD, Tier, apply_subscription_payment
from services.jobs.enqueue import enqueue
from services.ledger import credits as ledger
from services.messaging.app_context import AppContext
from storage.money.ledger import transfer
from storage.money.payments import add_payment
from storage.money.topups import Topup, add_topup, get_topup, mark_approved, mark_paid
from storage.pool import Executor
from storage.users.users import get_user

CURRENCY = "XTR"
CREDIT_PACKS = (50, 100, 250, 500, 1000, 2500)
_SIGNATURE_BYTES = 16


def pack_for(missing: int) -> int:
    """The smallest pack that covers what is missing, or the largest there is."""
    return next((pack for pack in CREDIT_PACKS if pack >= missing), CREDIT_PACKS[-1])


@dataclass(frozen=True)
class ReceivedPayment:
    """A payment that Telegram has taken: its own id of it, whose it is, whole Stars, and our payload.

    `recurring` is one that Telegram took by itself for a running subscription, which then lasts to `expires_at`.
    """

    id: str
    user_id: int
    stars: int
    payload: str
    recurring: bool = False
    expires_at: datetime | None = None


def to_received_payment(payment: SuccessfulPayment, user_id: int) -> ReceivedPayment:
    expires_at = payment.subscription_expiration_date
    return ReceivedPayment(
        payment.telegram_payment_charge_id,
        user_id,
        payment.total_amount,
        payment.invoice_payload,
        recurring=bool(payment.is_recurring and not payment.is_first_recurring),
        expires_at=datetime.fromtimestamp(expires_at, UTC) if expires_at else None,
    )


@dataclass(frozen=True)
class Payments:
    studio: AppContext

    async def send_invoice(
        self,
        *,
        user_id: int,
        bot_name: str,
        chat_id: int,
        language: str,
        stars: int,
        pending_order: dict[str, Any] | None = None,
    ) -> None:
        """Offer `stars` credits for as many Stars. `resume` is the order that goes on when they are paid."""
        topup_id = uuid4()
        await add_topup(
            self.studio.db, topup_id, user_id=user_id, bot_name=bot_name, stars=stars, pending_order=pending_order
        )
        t = self.studio.texts.t
        title = t(language, "topup.title", stars)
        await self.studio.bot_or_default(bot_name).send_invoice(
            chat_id,
            title=title,
            description=t(language, "topup.description", stars),
            payload=self._build_payload(bot_name, topup_id),
            currency=CURRENCY,
            prices=[LabeledPrice(label=title, amount=stars)],
            provider_token="",
        )

    async def subscription_link(self, tier: Tier, *, user_id: int, bot_name: str, language: str) -> str:
        """A link to subscribe by. Whoever holds it can pay; only this person's payment is agreed to."""
        topup_id = uuid4()
        await add_topup(
            self.studio.db, topup_id, user_id=user_id, bot_name=bot_name, stars=tier.stars, tier=tier.id
        )
        t = self.studio.texts.t
        title = t(language, f"subscription.{tier.id}.name")
        return await self.studio.bot_or_default(bot_name).create_invoice_link(
            title=title,
            description=t(language, "subscription.invoice", tier.credits, discount=tier.discount),
            payload=self._build_payload(bot_name, topup_id),
            currency=CURRENCY,
            prices=[LabeledPrice(label=title, amount=tier.stars)],
            provider_token="",
            subscription_period=int(SUBSCRIPTION_PERIOD.total_seconds()),
        )

    async def validate_checkout(self, query: PreCheckoutQuery, bot_name: str) -> str | None:
        """None where Telegram may take the Stars, else the key of why not."""
        topup = await self._find_topup(self.studio.db, bot_name, query.invoice_payload)
        if topup is None or topup.user_id != query.from_user.id:
            return "topup.unknown"
        if query.currency != CURRENCY or query.total_amount != topup.stars:
            return "topup.changed"
        user = await get_user(self.studio.db, topup.user_id)
        if user is None or user.blocked:
            return "topup.blocked"
        return None if await mark_approved(self.studio.db, topup.id) else "topup.paid_already"

    async def credit(self, payment: ReceivedPayment, *, bot_name: str) -> bool:
        """Credit a payment and send what follows it: one transaction, once. False when it was credited before."""
        async with self.studio.db.acquire() as connection, connection.transaction():
            credited = await self._credit(connection, payment, bot_name)
        logger.info(
            "charge {}: {} Stars of {}, credited: {}", payment.id, payment.stars, payment.user_id, credited
        )
        return credited

    async def get_pending_order(self, payment: ReceivedPayment, *, bot_name: str) -> dict[str, Any] | None:
        """The order that this payment was for."""
        topup = await self._find_topup(self.studio.db, bot_name, payment.payload)
        return topup.pending_order if topup and topup.user_id == payment.user_id else None

    async def _credit(self, db: Executor, payment: ReceivedPayment, bot_name: str) -> bool:
        transferred = await transfer(
            db,
            key=f"charge:{payment.id}",
            kind="topup",
            user_id=payment.user_id,
            source="stars",
            target="available",
            amount=payment.stars,
        )
        if not transferred:
            return False
        topup = await self._find_topup(db, bot_name, payment.payload)
        if topup is not None and topup.user_id != payment.user_id:
            logger.error("charge {} of {} pays for an offer to {}", payment.id, payment.user_id, topup.user_id)
            topup = None
        await add_payment(
            db,
            payment.id,
            topup_id=topup.id if topup else None,
            user_id=payment.user_id,
            bot_name=bot_name,
            stars=payment.stars,
            recurring=payment.recurring,
        )
        tier = await self._apply_topup(db, topup, payment, bot_name)
        await ledger.settle_debt(db, payment.id, payment.user_id)
        await self._enqueue_follow_up(db, payment, bot_name, payment.stars if tier is None else tier.credits)
        return True

    async def _apply_topup(
        self, db: Executor, topup: Topup | None, payment: ReceivedPayment, bot_name: str
    ) -> Tier | None:
        if topup is None:
            logger.error("charge {} of {} carries a payload that is not ours", payment.id, payment.user_id)
            return None
        await mark_paid(db, topup.id, payment.id)
        return await apply_subscription_payment(
            db, topup, charge_id=payment.id, bot_name=bot_name, expires_at=payment.expires_at
        )

    async def _enqueue_follow_up(
        self, db: Executor, payment: ReceivedPayment, bot_name: str, credited: int
    ) -> None:
        user = await get_user(db, payment.user_id)
        assert user is not None  # noqa: S101 - the ledger refers to the person
        inputs = {"charge": payment.id, "stars": payment.stars, "credits": credited}
        await enqueue(db, PAYMENT, payment.id, inputs, user_id=user.id, bot_name=bot_name, language=user.language)

    async def _find_topup(self, db: Executor, bot_name: str, payload: str) -> Topup | None:
        """The offer that a payload names, if this bot signed it."""
        number, _, signature = payload.partition(".")
        try:
            topup_id = UUID(number)
        except ValueError:
            return None
        is_valid = hmac.compare_digest(signature.encode(), self._sign(bot_name, topup_id).encode())
        return await get_topup(db, topup_id) if is_valid else None

    def _build_payload(self, bot_name: str, topup_id: UUID) -> str:
        return f"{topup_id.hex}.{self._sign(bot_name, topup_id)}"

    def _sign(self, bot_name: str, topup_id: UUID) -> str:
        key = self.studio.bot_or_default(bot_name).token.encode()
        return hmac.new(key, b"topup:" + topup_id.bytes, hashlib.sha256).hexdigest()[: _SIGNATURE_BYTES * 2]
