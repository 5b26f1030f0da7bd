"""What admins see and do about a user: the user's card, the block, notes; and users' payments."""

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
"""Telegram's ids fit into 52 bits, ours into 63."""


@dataclass(frozen=True)
class UserOverview:
    """Everything that admins see about a user.

    Attributes:
        user: The user.
        card: Their balance, notes, and totals since they came.
        payments: Their last payments, newest first.
        jobs: Their last orders, newest first.
    """

    user: User
    card: UserCard
    payments: Sequence[Payment]
    jobs: Sequence[Job]


@dataclass(frozen=True)
class PaymentOverview:
    """Everything that admins see about a payment.

    Attributes:
        payment: The payment.
        user: Who paid.
        refund: How far its refund is, where one was asked for.
    """

    payment: Payment
    user: User
    refund: RefundStatus | None


@dataclass(frozen=True)
class PaymentRef:
    """A payment by what fits into a button: Telegram's own ids of payments are too long for one.

    Attributes:
        user_id: Who paid.
        digest: 32 characters that stand for the payment's id.
    """

    user_id: int
    digest: str

    @classmethod
    def of(cls, payment: Payment) -> "PaymentRef":
        """The reference to a payment."""
        return cls(payment.user_id, payment_digest(payment.id))


# ---------------------------------------------------------------- users
async def find_user(db: Executor, id_or_username: str) -> User | None:
    """The user with this id or @username, as an admin types it; None where there is none."""
    user_id: int | None = None
    if id_or_username.startswith("@"):
        user_id = await find_user_id(db, id_or_username[1:])
    elif id_or_username.isascii() and id_or_username.isdigit() and len(id_or_username) <= _MAX_ID_DIGITS:
        user_id = int(id_or_username)
    return None if user_id is None else await get_user(db, user_id)


async def get_user_overview(db: Executor, user_id: int, *, limit: int) -> UserOverview | None:
    """What admins see about a user.

    Args:
        db: The database.
        user_id: The user.
        limit: The most payments, and the most orders.
    """
    user, card = await get_user(db, user_id), await get_user_card(db, user_id)
    if user is None or card is None:
        return None
    payments = await user_payments(db, user_id, limit=limit)
    return UserOverview(user, card, payments, await latest_user_jobs(db, user_id, limit=limit))


async def set_user_blocked(db: Executor, user_id: int, *, blocked: bool, admin_id: int) -> None:
    """Block a user, or lift the block.

    Orders that run end as usual; what a blocked user sends from then on is answered by the middlewares.

    Args:
        db: The database.
        user_id: The user.
        blocked: Whether the bot ignores the user from now on.
        admin_id: The admin, for the log.
    """
    if await set_blocked(db, user_id, blocked=blocked):
        logger.info("user block changed", user=user_id, admin=admin_id, state="blocked" if blocked else "active")


async def add_user_note(db: Executor, user_id: int, text: str, *, admin_id: int) -> None:
    """Add a line to the notes about a user, with the day and the admin.

    Args:
        db: The database.
        user_id: The user.
        text: The note; what is longer than 500 characters is cut.
        admin_id: Who wrote it.
    """
    line = truncate(" ".join(text.split()), _MAX_NOTE_CHARS)
    await add_note(db, user_id, f"{datetime.now(UTC):%Y-%m-%d} {admin_id}: {line}")


# ---------------------------------------------------------------- payments
async def list_payments(db: Executor, *, limit: int) -> Sequence[Payment]:
    """The last payments of all users, newest first."""
    return await latest_payments(db, limit=limit)


async def find_payment(db: Executor, payment: str | PaymentRef) -> PaymentOverview | None:
    """A payment, by Telegram's id of it or by a button's reference; None where there is none."""
    if isinstance(payment, PaymentRef):
        found = await get_payment_by_digest(db, payment.user_id, payment.digest)
    else:
        found = await get_payment(db, payment)
    if found is None:
        return None
    user = await get_user(db, found.user_id)
    assert user is not None  # noqa: S101 - a payment refers to its user, and users are never deleted
    return PaymentOverview(found, user, await get_refund(db, found.id))
