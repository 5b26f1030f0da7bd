"""Buying credits with Telegram Stars: invoices, the pre-checkout check, and crediting payments.

Rules: https://core.telegram.org/bots/payments-stars
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid4

from loguru import logger

from services.billing.payment_followup import PAYMENT_FOLLOW_UP
from services.billing.subscriptions import SUBSCRIPTION_PERIOD, Tier, apply_subscription_payment
from services.core.i18n import Texts
from services.jobs.internal_jobs import enqueue
from services.ledger import credits as ledger
from services.messaging.stars import CURRENCY, StarInvoice, StarsApi
from storage.money.ledger import transfer
from storage.money.payments import add_payment
from storage.money.topups import Topup, add_topup, get_topup, mark_approved, mark_paid
from storage.pool import Executor, Pool
from storage.users.users import get_user

CREDIT_PACKS: Final = (50, 100, 250, 500, 1000, 2500)
"""The packs of credits on sale. One credit costs one Star."""
_SIGNATURE_HEX_DIGITS: Final = 32


def pack_for(missing: int) -> int:
    """Return the smallest pack that covers the missing credits, or the largest pack if none does."""
    return next((pack for pack in CREDIT_PACKS if pack >= missing), CREDIT_PACKS[-1])


@dataclass(frozen=True)
class Checkout:
    """Telegram's pre-checkout query. It must be answered within 10 seconds.

    https://core.telegram.org/bots/api#precheckoutquery

    Attributes:
        user_id: The user who wants to pay.
        currency: `XTR` for Stars.
        total: The price in the currency's smallest unit; for Stars, whole Stars.
        payload: The invoice's payload.
    """

    user_id: int
    currency: str
    total: int
    payload: str


@dataclass(frozen=True)
class ReceivedPayment:
    """A successful payment.

    Attributes:
        id: Telegram's id of the payment (`telegram_payment_charge_id`).
        user_id: The user who paid.
        stars: The amount in whole Stars.
        payload: The invoice's payload.
        recurring: Whether Telegram charged it automatically, to renew a subscription.
        expires_at: The end of the paid month of a subscription; None for other payments.
    """

    id: str
    user_id: int
    stars: int
    payload: str
    recurring: bool = False
    expires_at: datetime | None = None


@dataclass(frozen=True)
class Payments:
    """Sells credits and subscriptions.

    An invoice's payload is the id of a stored topup and the bot's signature of that id. So a payload that is forged or
    belongs to another bot is detected.

    Attributes:
        db: The database.
        stars: The API for Telegram Stars.
        texts: The texts of invoices.
        signing_keys: The secret that signs a bot's payloads (its token), by the bot's name.
    """

    db: Pool
    stars: StarsApi
    texts: Texts
    signing_keys: Mapping[str, str] = field(repr=False)

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
        """Send an invoice for a pack of credits.

        Args:
            user_id: The user. Nobody else can pay the invoice.
            bot_name: The bot that receives the payment.
            chat_id: The chat that gets the invoice.
            language: The user's language.
            stars: The price in Stars, which is also the number of credits.
            pending_order: The order to continue once the invoice is paid.

        Raises:
            StarsError: Telegram did not send the invoice.
        """
        topup_id = uuid4()
        await add_topup(
            self.db, topup_id, user_id=user_id, bot_name=bot_name, stars=stars, pending_order=pending_order
        )
        invoice = StarInvoice(
            title=self.texts.t(language, "topup.title", stars),
            description=self.texts.t(language, "topup.description", stars),
            payload=self._build_payload(bot_name, topup_id),
            stars=stars,
        )
        await self.stars.send_invoice(bot_name, chat_id, invoice)

    async def subscription_link(self, tier: Tier, *, user_id: int, bot_name: str, language: str) -> str:
        """Create a link for subscribing. Others can open it, but only this user's payment is accepted.

        Args:
            tier: The tier.
            user_id: The user.
            bot_name: The bot that receives the payments.
            language: The user's language.

        Returns:
            The link.

        Raises:
            StarsError: Telegram did not create the link.
        """
        topup_id = uuid4()
        await add_topup(self.db, topup_id, user_id=user_id, bot_name=bot_name, stars=tier.stars, tier=tier.id)
        invoice = StarInvoice(
            title=self.texts.t(language, f"subscription.{tier.id}.name"),
            description=self.texts.t(language, "subscription.invoice", tier.credits, discount=tier.discount),
            payload=self._build_payload(bot_name, topup_id),
            stars=tier.stars,
            subscription_seconds=int(SUBSCRIPTION_PERIOD.total_seconds()),
        )
        return await self.stars.create_invoice_link(bot_name, invoice)

    async def validate_checkout(self, checkout: Checkout, bot_name: str) -> str | None:
        """Decide whether to approve a payment.

        Args:
            checkout: Telegram's query.
            bot_name: The bot that receives the payment.

        Returns:
            None to approve it, or the key of the text that tells the user why it is refused.
        """
        topup = await self._find_topup(self.db, bot_name, checkout.payload)
        if topup is None or topup.user_id != checkout.user_id:
            return "topup.unknown"
        if checkout.currency != CURRENCY or checkout.total != topup.stars:
            return "topup.changed"
        user = await get_user(self.db, topup.user_id)
        if user is None or user.blocked:
            return "topup.blocked"
        return None if await mark_approved(self.db, topup.id) else "topup.paid_already"

    async def credit(self, payment: ReceivedPayment, *, bot_name: str) -> bool:
        """Credit a payment and enqueue its follow-up in one transaction. Repeating it changes nothing.

        A payment with an unknown payload is credited too, because Telegram has already taken the Stars.

        Args:
            payment: The payment.
            bot_name: The bot that received the payment.

        Returns:
            False if the payment was credited before.
        """
        async with self.db.acquire() as connection, connection.transaction():
            credited = await self._credit(connection, payment, bot_name)
        logger.info(
            "payment received",
            payment=payment.id,
            user=payment.user_id,
            stars=payment.stars,
            state="credited" if credited else "already credited",
        )
        return credited

    async def get_pending_order(self, payment: ReceivedPayment, *, bot_name: str) -> dict[str, Any] | None:
        """Return the order that was waiting for this payment, or None."""
        topup = await self._find_topup(self.db, bot_name, payment.payload)
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
            logger.error(
                "invoice paid by another user", payment=payment.id, user=payment.user_id, owner=topup.user_id
            )
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
            logger.error("payment with an unknown payload", payment=payment.id, user=payment.user_id)
            return None
        await mark_paid(db, topup.id, payment.id)
        return await apply_subscription_payment(
            db, topup, charge_id=payment.id, bot_name=bot_name, expires_at=payment.expires_at
        )

    async def _enqueue_follow_up(
        self, db: Executor, payment: ReceivedPayment, bot_name: str, credited: int
    ) -> None:
        user = await get_user(db, payment.user_id)
        assert user is not None  # noqa: S101 - the ledger refers to the user
        await enqueue(
            db,
            PAYMENT_FOLLOW_UP,
            payment.id,
            {"charge": payment.id, "stars": payment.stars, "credits": credited},
            user_id=user.id,
            bot_name=bot_name,
            language=user.language,
        )

    async def _find_topup(self, db: Executor, bot_name: str, payload: str) -> Topup | None:
        """Return the topup of a payload, or None if the payload was not signed by this bot."""
        id_text, _, signature = payload.partition(".")
        try:
            topup_id = UUID(id_text)
        except ValueError:
            return None
        is_valid = hmac.compare_digest(signature.encode(), self._sign(bot_name, topup_id).encode())
        return await get_topup(db, topup_id) if is_valid else None

    def _build_payload(self, bot_name: str, topup_id: UUID) -> str:
        return f"{topup_id.hex}.{self._sign(bot_name, topup_id)}"

    def _sign(self, bot_name: str, topup_id: UUID) -> str:
        key = self.signing_keys[bot_name].encode()
        return hmac.new(key, b"topup:" + topup_id.bytes, hashlib.sha256).hexdigest()[:_SIGNATURE_HEX_DIGITS]
