"""User administration: a user's card, blocks, notes, and payments."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from loguru import logger

from services.messaging.progress import truncate
from storage.jobs.jobs import Job, latest_user_jobs
from storage.money.payments import (
    Payment,
    get_payment,
    get_payment_by_digest,
    latest_payments,
    payment_digest,
    user_payments,
)
from storage.money.refunds import RefundStatus, get_refund
from storage.pool import Executor
from storage.reports.user_card import UserCard, get_user_card
from storage.users.users import User, add_note, find_user_id, get_user, set_blocked

_MAX_NOTE_CHARS: Final = 500
_MAX_ID_DIGITS: Final = 18
"""Telegram's ids have at most 52 bits; the database column has 63."""


@dataclass(frozen=True)
class UserOverview:
    """The data shown to admins about a user.

    Attributes:
        user: The user.
        card: The user's balance, notes and all-time totals.
        payments: The user's latest payments, newest first.
        jobs: The user's latest orders, newest first.
    """

    user: User
    card: UserCard
    payments: Sequence[Payment]
    jobs: Sequence[Job]


@dataclass(frozen=True)
class PaymentOverview:
    """The data shown to admins about a payment.

    Attributes:
        payment: The payment.
        user: The user who paid.
        refund: The status of its refund; None if none was requested.
    """

    payment: Payment
    user: User
    refund: RefundStatus | None


@dataclass(frozen=True)
class PaymentRef:
    """A short reference to a payment for callback data: Telegram's payment ids are too long.

    Attributes:
        user_id: The user who paid.
        digest: A digest of the payment's id, 32 characters.
    """

    user_id: int
    digest: str

    @classmethod
    def of(cls, payment: Payment) -> "PaymentRef":
        """Create the reference to a payment."""
        return cls(payment.user_id, payment_digest(payment.id))


# ---------------------------------------------------------------- users
async def find_user(db: Executor, id_or_username: str) -> User | None:
    """Find a user by id or @username, as typed by an admin."""
    user_id: int | None = None
    if id_or_username.startswith("@"):
        user_id = await find_user_id(db, id_or_username[1:])
    elif id_or_username.isascii() and id_or_username.isdigit() and len(id_or_username) <= _MAX_ID_DIGITS:
        user_id = int(id_or_username)
    return None if user_id is None else await get_user(db, user_id)


async def get_user_overview(db: Executor, user_id: int, *, limit: int) -> UserOverview | None:
    """Collect the data shown to admins about a user.

    Args:
        db: The database.
        user_id: The user.
        limit: The maximum number of payments, and of orders.

    Returns:
        The overview, or None if there is no such user.
    """
    user, card = await get_user(db, user_id), await get_user_card(db, user_id)
    if user is None or card is None:
        return None
    payments = await user_payments(db, user_id, limit=limit)
    return UserOverview(user, card, payments, await latest_user_jobs(db, user_id, limit=limit))


async def set_user_blocked(db: Executor, user_id: int, *, blocked: bool, admin_id: int) -> None:
    """Block or unblock a user.

    The user's open orders are still finished. The middlewares handle all further updates from a blocked user.

    Args:
        db: The database.
        user_id: The user.
        blocked: True to block, False to unblock.
        admin_id: The admin, for the log.
    """
    if await set_blocked(db, user_id, blocked=blocked):
        logger.info("user block changed", user=user_id, admin=admin_id, state="blocked" if blocked else "active")


async def add_user_note(db: Executor, user_id: int, text: str, *, admin_id: int) -> None:
    """Add a note about a user, with the date and the admin's id.

    Args:
        db: The database.
        user_id: The user.
        text: The note. It is cut to 500 characters.
        admin_id: The admin who wrote it.
    """
    line = truncate(" ".join(text.split()), _MAX_NOTE_CHARS)
    await add_note(db, user_id, f"{datetime.now(UTC):%Y-%m-%d} {admin_id}: {line}")


# ---------------------------------------------------------------- payments
async def list_payments(db: Executor, *, limit: int) -> Sequence[Payment]:
    """List the latest payments of all users, newest first."""
    return await latest_payments(db, limit=limit)


async def find_payment(db: Executor, payment: str | PaymentRef) -> PaymentOverview | None:
    """Find a payment by its Telegram id or by the reference in a button."""
    if isinstance(payment, PaymentRef):
        found = await get_payment_by_digest(db, payment.user_id, payment.digest)
    else:
        found = await get_payment(db, payment)
    if found is None:
        return None
    user = await get_user(db, found.user_id)
    assert user is not None  # noqa: S101 - a payment refers to its user, and users are never deleted
    return PaymentOverview(found, user, await get_refund(db, found.id))
