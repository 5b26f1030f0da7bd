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
from services.billing.tiers import PERIOD, Plan, carry_on
from services.jobs.enqueue import launch
from services.ledger import credits as ledger
from services.messaging.app_context import Studio
from storage.money.ledger import move
from storage.money.payments import add_charge
from storage.money.topups import Topup, add_topup, get_topup, mark_checked, mark_paid
from storage.pool import Executor
from storage.users.users import get_user

CURRENCY = "XTR"
PACKS = (50, 100, 250, 500, 1000, 2500)
_SIGNATURE = 16


def pack_for(missing: int) -> int:
    """The smallest pack that covers what is missing, or the largest there is."""
    return next((pack for pack in PACKS if pack >= missing), PACKS[-1])


@dataclass(frozen=True)
class Charge:
    """A payment that Telegram has taken: its own id of it, whose it is, whole Stars, and our payload.

    `recurring` is one that Telegram took by itself for a running subscription, which then lasts to `expires_at`.
    """

    id: str
    user_id: int
    stars: int
    payload: str
    recurring: bool = False
    expires_at: datetime | None = None


def charge_of(payment: SuccessfulPayment, user_id: int) -> Charge:
    until = payment.subscription_expiration_date
    return Charge(
        payment.telegram_payment_charge_id,
        user_id,
        payment.total_amount,
        payment.invoice_payload,
        recurring=bool(payment.is_recurring and not payment.is_first_recurring),
        expires_at=datetime.fromtimestamp(until, UTC) if until else None,
    )


@dataclass(frozen=True)
class Payments:
    studio: Studio

    async def send_invoice(
        self,
        *,
        user_id: int,
        bot_name: str,
        chat_id: int,
        language: str,
        stars: int,
        resume: dict[str, Any] | None = None,
    ) -> None:
        """Offer `stars` credits for as many Stars. `resume` is the order that goes on when they are paid."""
        topup_id = uuid4()
        await add_topup(self.studio.db, topup_id, user_id=user_id, bot_name=bot_name, stars=stars, resume=resume)
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

    async def subscription_link(self, plan: Plan, *, user_id: int, bot_name: str, language: str) -> str:
        """A link to subscribe by. Whoever holds it can pay; only this person's payment is agreed to."""
        topup_id = uuid4()
        await add_topup(
            self.studio.db, topup_id, user_id=user_id, bot_name=bot_name, stars=plan.stars, subscription=plan.id
        )
        t = self.studio.texts.t
        title = t(language, f"subscription.{plan.id}.name")
        return await self.studio.bot(bot_name).create_invoice_link(
            title=title,
            description=t(language, "subscription.invoice", plan.credits, discount=plan.discount),
            payload=self._payload(bot_name, topup_id),
            currency=CURRENCY,
            prices=[LabeledPrice(label=title, amount=plan.stars)],
            provider_token="",
            subscription_period=int(PERIOD.total_seconds()),
        )

    async def check(self, query: PreCheckoutQuery, bot_name: str) -> str | None:
        """None where Telegram may take the Stars, else the key of why not."""
        topup = await self._topup(self.studio.db, bot_name, query.invoice_payload)
        if topup is None or topup.user_id != query.from_user.id:
            return "topup.unknown"
        if query.currency != CURRENCY or query.total_amount != topup.stars:
            return "topup.changed"
        user = await get_user(self.studio.db, topup.user_id)
        if user is None or user.blocked:
            return "topup.blocked"
        return None if await mark_checked(self.studio.db, topup.id) else "topup.paid_already"

    async def credit(self, charge: Charge, *, bot_name: str) -> bool:
        """Credit a payment and send what follows it: one transaction, once. False when it was credited before."""
        async with self.studio.db.acquire() as connection, connection.transaction():
            credited = await self._credit(connection, charge, bot_name)
        logger.info("charge {}: {} Stars of {}, credited: {}", charge.id, charge.stars, charge.user_id, credited)
        return credited

    async def resumed(self, charge: Charge, *, bot_name: str) -> dict[str, Any] | None:
        """The order that this payment was for."""
        topup = await self._topup(self.studio.db, bot_name, charge.payload)
        return topup.resume if topup and topup.user_id == charge.user_id else None

    async def _credit(self, db: Executor, charge: Charge, bot_name: str) -> bool:
        moved = await move(
            db,
            key=f"charge:{charge.id}",
            kind="topup",
            user_id=charge.user_id,
            source="stars",
            target="available",
            amount=charge.stars,
        )
        if not moved:
            return False
        topup = await self._topup(db, bot_name, charge.payload)
        if topup is not None and topup.user_id != charge.user_id:
            logger.error("charge {} of {} pays for an offer to {}", charge.id, charge.user_id, topup.user_id)
            topup = None
        await add_charge(
            db,
            charge.id,
            topup_id=topup.id if topup else None,
            user_id=charge.user_id,
            bot_name=bot_name,
            stars=charge.stars,
            recurring=charge.recurring,
        )
        plan = await self._fulfil(db, topup, charge, bot_name)
        await ledger.settle_debt(db, charge.id, charge.user_id)
        await self._follow_up(db, charge, bot_name, charge.stars if plan is None else plan.credits)
        return True

    async def _fulfil(self, db: Executor, topup: Topup | None, charge: Charge, bot_name: str) -> Plan | None:
        if topup is None:
            logger.error("charge {} of {} carries a payload that is not ours", charge.id, charge.user_id)
            return None
        await mark_paid(db, topup.id, charge.id)
        return await carry_on(db, topup, charge_id=charge.id, bot_name=bot_name, expires_at=charge.expires_at)

    async def _follow_up(self, db: Executor, charge: Charge, bot_name: str, credited: int) -> None:
        user = await get_user(db, charge.user_id)
        assert user is not None  # noqa: S101 - the ledger refers to the person
        inputs = {"charge": charge.id, "stars": charge.stars, "credits": credited}
        await launch(db, PAYMENT, charge.id, inputs, user_id=user.id, bot_name=bot_name, language=user.language)

    async def _topup(self, db: Executor, bot_name: str, payload: str) -> Topup | None:
        """The offer that a payload names, if this bot signed it."""
        number, _, signature = payload.partition(".")
        try:
            topup_id = UUID(number)
        except ValueError:
            return None
        signed = hmac.compare_digest(signature.encode(), self._sign(bot_name, topup_id).encode())
        return await get_topup(db, topup_id) if signed else None

    def _payload(self, bot_name: str, topup_id: UUID) -> str:
        return f"{topup_id.hex}.{self._sign(bot_name, topup_id)}"

    def _sign(self, bot_name: str, topup_id: UUID) -> str:
        key = self.studio.bot(bot_name).token.encode()
        return hmac.new(key, b"topup:" + topup_id.bytes, hashlib.sha256).hexdigest()[: _SIGNATURE * 2]
