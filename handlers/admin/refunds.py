"""`/refund`: what a refund would take back and what would be owed, and a button to ask for it."""

from aiogram import F, Router
from aiogram.filters import Command, CommandObject
from aiogram.filters.callback_data import CallbackData
from aiogram.types import CallbackQuery, InlineKeyboardButton, InlineKeyboardMarkup, Message

from handlers.admin.access import is_admin
from handlers.context import UserContext, answer_callback
from services.billing.refunds import preview_refund, request_payment_refund
from services.messaging.buttons import button, keyboard, menu_button
from storage.money.payments import Payment, get_payment, get_payment_by_digest, latest_payments, payment_digest
from storage.money.refunds import get_refund
from storage.users.users import get_user

router = Router(name="refunds")
router.message.filter(is_admin)
router.callback_query.filter(is_admin)

_MAX_PAYMENTS = 8
_TIME_FORMAT = "%Y-%m-%d %H:%M"


class RefundCallback(CallbackData, prefix="rf"):
    """A payment, by its person and the mark of its id (the id itself is too long): `show` or `sure`; or `list`."""

    action: str
    user: int = 0
    mark: str = ""


def refund_button(payment: Payment) -> InlineKeyboardButton:
    """Leads to a payment's card."""
    done = "✔︎ " if payment.refunded_at else ""
    label = f"↩️ {done}{payment.stars} ⭐ · {payment.user_id} · {payment.created_at:{_TIME_FORMAT}}"
    return button(label, RefundCallback(action="show", user=payment.user_id, mark=payment_digest(payment.id)))


async def payments_view(ctx: UserContext) -> tuple[str, InlineKeyboardMarkup]:
    """The last payments of all people."""
    recent_payments = await latest_payments(ctx.app.db, limit=_MAX_PAYMENTS)
    text = ctx.t("refund.list" if recent_payments else "refund.none")
    rows = [[refund_button(charge)] for charge in recent_payments]
    return text, keyboard([*rows, [menu_button(ctx.app.texts, ctx.user.language)]])


async def payment_view(ctx: UserContext, payment: Payment) -> tuple[str, InlineKeyboardMarkup]:
    """Whose payment it is, and what can be done about it."""
    user = await get_user(ctx.app.db, payment.user_id)
    assert user is not None  # noqa: S101 - the charge refers to the person
    name = f"{user.first_name} @{user.username}" if user.username else user.first_name
    at = f"{payment.created_at:{_TIME_FORMAT}}"
    title = ctx.t("refund.card", payment.stars, user=payment.user_id, name=name, at=at, charge=payment.id)
    state, refundable = await _refund_state(ctx, payment)
    rows = [[button(ctx.t("refund.list_button"), RefundCallback(action="list"))]]
    if refundable:
        sure = RefundCallback(action="sure", user=payment.user_id, mark=payment_digest(payment.id))
        rows.insert(0, [button(ctx.t("refund.sure", stars=payment.stars), sure)])
    return "\n".join([title, "", *state]), keyboard(rows)


async def _refund_state(ctx: UserContext, payment: Payment) -> tuple[list[str], bool]:
    """How far the refund is, and whether it can be asked for."""
    if payment.refunded_at:
        return [ctx.t("refund.done_at", at=f"{payment.refunded_at:{_TIME_FORMAT}}")], False
    refund_request = await get_refund(ctx.app.db, payment.id)
    if refund_request is not None and refund_request.done_at is None:
        at = f"{refund_request.requested_at:{_TIME_FORMAT}}"
        lines = [ctx.t("refund.waits", refund_request.attempts, by=refund_request.requested_by, at=at)]
        return [
            *lines,
            ctx.t("refund.last_error", why=refund_request.error),
        ] if refund_request.error else lines, False
    lines = (
        [ctx.t("refund.refused", why=refund_request.error)]
        if refund_request is not None and refund_request.refused
        else []
    )
    return [*lines, *await _outlook_lines(ctx, payment)], True


async def _outlook_lines(ctx: UserContext, payment: Payment) -> list[str]:
    expected = await preview_refund(ctx.app, payment)
    lines = [
        ctx.t(
            "refund.all_there" if not expected.owed else "refund.partly",
            there=expected.recoverable,
            owed=expected.owed,
        )
    ]
    if expected.owed and expected.held:
        lines.append(ctx.t("refund.held", expected.held))
    return [*lines, ctx.t("refund.subscription", bonus=expected.bonus)] if expected.bonus else lines


@router.message(Command("refund"))
async def _refund(message: Message, ctx: UserContext, command: CommandObject) -> None:
    """`/refund` lists the last payments, `/refund <charge id>` shows one."""
    charge_id = (command.args or "").strip()
    if not charge_id:
        await ctx.send(*await payments_view(ctx))
    elif payment := await get_payment(ctx.app.db, charge_id):
        await ctx.send(*await payment_view(ctx, payment))
    else:
        await ctx.send(ctx.t("refund.unknown"))


@router.callback_query(RefundCallback.filter(F.action == "list"))
async def _show_payments(callback: CallbackQuery, ctx: UserContext) -> None:
    await answer_callback(callback)
    await ctx.edit_or_send(callback, *await payments_view(ctx))


@router.callback_query(RefundCallback.filter(F.action == "show"))
async def _show_payment(callback: CallbackQuery, ctx: UserContext, callback_data: RefundCallback) -> None:
    payment = await get_payment_by_digest(ctx.app.db, callback_data.user, callback_data.mark)
    if payment is None:
        await answer_callback(callback, ctx.t("stale.button"), alert=True)
        return
    await answer_callback(callback)
    await ctx.edit_or_send(callback, *await payment_view(ctx, payment))


@router.callback_query(RefundCallback.filter(F.action == "sure"))
async def _request_refund(callback: CallbackQuery, ctx: UserContext, callback_data: RefundCallback) -> None:
    payment = await get_payment_by_digest(ctx.app.db, callback_data.user, callback_data.mark)
    if payment is None:
        await answer_callback(callback, ctx.t("stale.button"), alert=True)
        return
    await answer_callback(
        callback, ctx.t(f"refund.answer.{await request_payment_refund(ctx.app, payment.id, ctx.user.id)}")
    )
    current = await get_payment(ctx.app.db, payment.id)
    await ctx.edit_or_send(callback, *await payment_view(ctx, current or payment))
