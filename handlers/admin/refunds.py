"""`/refund`: what a refund would take back and what would be owed, and a button to ask for it."""

from aiogram import F, Router
from aiogram.filters import Command, CommandObject
from aiogram.filters.callback_data import CallbackData
from aiogram.types import CallbackQuery, InlineKeyboardButton, InlineKeyboardMarkup, Message

from handlers.admin.access import is_admin
from handlers.context import Desk, answer
from services.billing.refunds import ask, outlook
from services.messaging.buttons import button, keyboard, menu_button
from storage.money.payments import Charge, charge_by_mark, get_charge, get_refund, latest_charges, mark_of
from storage.users.users import get_user

router = Router(name="refunds")
router.message.filter(is_admin)
router.callback_query.filter(is_admin)

_SHOWN = 8
_TIME = "%Y-%m-%d %H:%M"


class RefundTap(CallbackData, prefix="rf"):
    """A payment, by its person and the mark of its id (the id itself is too long): `show` or `sure`; or `list`."""

    action: str
    user: int = 0
    mark: str = ""


def refund_button(charge: Charge) -> InlineKeyboardButton:
    """Leads to a payment's card."""
    done = "✔︎ " if charge.refunded_at else ""
    label = f"↩️ {done}{charge.stars} ⭐ · {charge.user_id} · {charge.created_at:{_TIME}}"
    return button(label, RefundTap(action="show", user=charge.user_id, mark=mark_of(charge.id)))


async def payments(desk: Desk) -> tuple[str, InlineKeyboardMarkup]:
    """The last payments of all people."""
    charges = await latest_charges(desk.studio.db, limit=_SHOWN)
    text = desk.t("refund.list" if charges else "refund.none")
    rows = [[refund_button(charge)] for charge in charges]
    return text, keyboard([*rows, [menu_button(desk.studio.texts, desk.user.language)]])


async def payment_card(desk: Desk, charge: Charge) -> tuple[str, InlineKeyboardMarkup]:
    """Whose payment it is, and what can be done about it."""
    user = await get_user(desk.studio.db, charge.user_id)
    assert user is not None  # noqa: S101 - the charge refers to the person
    name = f"{user.first_name} @{user.username}" if user.username else user.first_name
    at = f"{charge.created_at:{_TIME}}"
    title = desk.t("refund.card", charge.stars, user=charge.user_id, name=name, at=at, charge=charge.id)
    state, open_ = await _state(desk, charge)
    rows = [[button(desk.t("refund.list_button"), RefundTap(action="list"))]]
    if open_:
        sure = RefundTap(action="sure", user=charge.user_id, mark=mark_of(charge.id))
        rows.insert(0, [button(desk.t("refund.sure", stars=charge.stars), sure)])
    return "\n".join([title, "", *state]), keyboard(rows)


async def _state(desk: Desk, charge: Charge) -> tuple[list[str], bool]:
    """How far the refund is, and whether it can be asked for."""
    if charge.refunded_at:
        return [desk.t("refund.done_at", at=f"{charge.refunded_at:{_TIME}}")], False
    asked = await get_refund(desk.studio.db, charge.id)
    if asked is not None and asked.done_at is None:
        at = f"{asked.asked_at:{_TIME}}"
        lines = [desk.t("refund.waits", asked.attempts, by=asked.asked_by, at=at)]
        return [*lines, desk.t("refund.last_error", why=asked.error)] if asked.error else lines, False
    lines = [desk.t("refund.refused", why=asked.error)] if asked is not None and asked.refused else []
    return [*lines, *await _outlook(desk, charge)], True


async def _outlook(desk: Desk, charge: Charge) -> list[str]:
    found = await outlook(desk.studio, charge)
    lines = [desk.t("refund.all_there" if not found.owed else "refund.partly", there=found.there, owed=found.owed)]
    if found.owed and found.held:
        lines.append(desk.t("refund.held", found.held))
    return [*lines, desk.t("refund.subscription", bonus=found.bonus)] if found.bonus else lines


@router.message(Command("refund"))
async def refund(message: Message, desk: Desk, command: CommandObject) -> None:
    """`/refund` lists the last payments, `/refund <charge id>` shows one."""
    charge_id = (command.args or "").strip()
    if not charge_id:
        await desk.say(*await payments(desk))
    elif charge := await get_charge(desk.studio.db, charge_id):
        await desk.say(*await payment_card(desk, charge))
    else:
        await desk.say(desk.t("refund.unknown"))


@router.callback_query(RefundTap.filter(F.action == "list"))
async def show_payments(tap: CallbackQuery, desk: Desk) -> None:
    await answer(tap)
    await desk.show(tap, *await payments(desk))


@router.callback_query(RefundTap.filter(F.action == "show"))
async def show_payment(tap: CallbackQuery, desk: Desk, callback_data: RefundTap) -> None:
    charge = await charge_by_mark(desk.studio.db, callback_data.user, callback_data.mark)
    if charge is None:
        await answer(tap, desk.t("stale.button"), alert=True)
        return
    await answer(tap)
    await desk.show(tap, *await payment_card(desk, charge))


@router.callback_query(RefundTap.filter(F.action == "sure"))
async def ask_for_it(tap: CallbackQuery, desk: Desk, callback_data: RefundTap) -> None:
    charge = await charge_by_mark(desk.studio.db, callback_data.user, callback_data.mark)
    if charge is None:
        await answer(tap, desk.t("stale.button"), alert=True)
        return
    await answer(tap, desk.t(f"refund.answer.{await ask(desk.studio, charge.id, desk.user.id)}"))
    current = await get_charge(desk.studio.db, charge.id)
    await desk.show(tap, *await payment_card(desk, current or charge))
