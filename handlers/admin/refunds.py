"""`/refund`: shows what a refund would take back and what the user would then owe, with a button to request it."""

from typing import Final

from aiogram import F, Router
from aiogram.filters import Command, CommandObject
from aiogram.filters.callback_data import CallbackData
from aiogram.types import CallbackQuery, InlineKeyboardButton, Message

from handlers.admin.access import is_admin
from handlers.context import UserContext, View, answer_callback, answer_stale
from handlers.views import menu_row
from services.admin.user_admin import PaymentOverview, PaymentRef, find_payment, list_payments
from services.messaging.buttons import button, keyboard
from storage.money.payments import Payment

router = Router(name="refunds")
router.message.filter(is_admin)
router.callback_query.filter(is_admin)

_MAX_PAYMENTS: Final = 8
_TIME_FORMAT: Final = "%Y-%m-%d %H:%M"


class RefundCallback(CallbackData, prefix="rf"):
    """A button about refunds.

    Attributes:
        action: `show` opens a payment, `sure` requests its refund, `list` shows the latest payments.
        user: The user who paid.
        mark: The digest of the payment's id, which is too long for callback data.
    """

    action: str
    user: int = 0
    mark: str = ""


async def show_payments(ctx: UserContext, args: str) -> None:
    """Show the latest payments, or one payment.

    Args:
        ctx: The admin.
        args: The charge id of a payment; empty for the latest ones.
    """
    if not args:
        await ctx.send(*await _payments_view(ctx))
    elif overview := await find_payment(ctx.db, args):
        await ctx.send(*await _payment_view(ctx, overview))
    else:
        await ctx.send(ctx.t("refund.unknown"))


def refund_button(payment: Payment) -> InlineKeyboardButton:
    """A button that opens a payment."""
    done = "✔︎ " if payment.refunded_at else ""
    label = f"↩️ {done}{payment.stars} ⭐ · {payment.user_id} · {payment.created_at:{_TIME_FORMAT}}"
    return button(label, _callback("show", payment))


@router.message(Command("refund"))
async def _refund(message: Message, ctx: UserContext, command: CommandObject) -> None:
    """Refund a payment; without a charge id, list the latest payments."""
    await show_payments(ctx, (command.args or "").strip())


@router.callback_query(RefundCallback.filter(F.action == "list"))
async def _show_payments(callback: CallbackQuery, ctx: UserContext) -> None:
    await answer_callback(callback)
    await ctx.edit_or_send(callback, *await _payments_view(ctx))


@router.callback_query(RefundCallback.filter(F.action == "show"))
async def _show_payment(callback: CallbackQuery, ctx: UserContext, callback_data: RefundCallback) -> None:
    overview = await _find_payment(ctx, callback_data)
    if overview is None:
        await answer_stale(callback, ctx)
        return
    await answer_callback(callback)
    await ctx.edit_or_send(callback, *await _payment_view(ctx, overview))


@router.callback_query(RefundCallback.filter(F.action == "sure"))
async def _request_refund(callback: CallbackQuery, ctx: UserContext, callback_data: RefundCallback) -> None:
    overview = await _find_payment(ctx, callback_data)
    if overview is None:
        await answer_stale(callback, ctx)
        return
    result = await ctx.refunds.request(overview.payment.id, ctx.user.id)
    await answer_callback(callback, ctx.t(f"refund.answer.{result}"))
    current = await find_payment(ctx.db, overview.payment.id)
    await ctx.edit_or_send(callback, *await _payment_view(ctx, current or overview))


async def _find_payment(ctx: UserContext, callback_data: RefundCallback) -> PaymentOverview | None:
    return await find_payment(ctx.db, PaymentRef(callback_data.user, callback_data.mark))


def _callback(action: str, payment: Payment) -> RefundCallback:
    ref = PaymentRef.of(payment)
    return RefundCallback(action=action, user=ref.user_id, mark=ref.digest)


async def _payments_view(ctx: UserContext) -> View:
    """The latest payments of all users."""
    payments = await list_payments(ctx.db, limit=_MAX_PAYMENTS)
    text = ctx.t("refund.list" if payments else "refund.none")
    return text, keyboard([*([refund_button(payment)] for payment in payments), menu_row(ctx)])


async def _payment_view(ctx: UserContext, overview: PaymentOverview) -> View:
    """Who paid, and what can be done about the payment."""
    payment, user = overview.payment, overview.user
    name = f"{user.first_name} @{user.username}" if user.username else user.first_name
    at = f"{payment.created_at:{_TIME_FORMAT}}"
    title = ctx.t("refund.card", payment.stars, user=payment.user_id, name=name, at=at, charge=payment.id)
    state, refundable = await _refund_state(ctx, overview)
    rows = [[button(ctx.t("refund.list_button"), RefundCallback(action="list"))]]
    if refundable:
        rows.insert(0, [button(ctx.t("refund.sure", stars=payment.stars), _callback("sure", payment))])
    return "\n".join([title, "", *state]), keyboard(rows)


async def _refund_state(ctx: UserContext, overview: PaymentOverview) -> tuple[list[str], bool]:
    """The state of the refund, and whether a refund can be requested."""
    payment, refund = overview.payment, overview.refund
    if payment.refunded_at:
        return [ctx.t("refund.done_at", at=f"{payment.refunded_at:{_TIME_FORMAT}}")], False
    if refund is not None and refund.done_at is None:
        at = f"{refund.requested_at:{_TIME_FORMAT}}"
        lines = [ctx.t("refund.waits", refund.attempts, by=refund.requested_by, at=at)]
        if refund.error:
            lines.append(ctx.t("refund.last_error", why=refund.error))
        return lines, False
    lines = [ctx.t("refund.refused", why=refund.error)] if refund is not None and refund.refused else []
    return [*lines, *await _preview_lines(ctx, payment)], True


async def _preview_lines(ctx: UserContext, payment: Payment) -> list[str]:
    """What a refund would do now."""
    expected = await ctx.refunds.preview(payment)
    key = "refund.partly" if expected.owed else "refund.all_there"
    lines = [ctx.t(key, there=expected.recoverable, owed=expected.owed)]
    if expected.owed and expected.held:
        lines.append(ctx.t("refund.held", expected.held))
    if expected.bonus:
        lines.append(ctx.t("refund.subscription", bonus=expected.bonus))
    return lines
