"""The statement: what moved a person's Stars, newest first, ten moves a page."""

from collections.abc import Sequence

from aiogram import F, Router
from aiogram.filters.callback_data import CallbackData
from aiogram.types import CallbackQuery, InlineKeyboardButton

from handlers.context import Desk, answer
from handlers.order.views import View
from services.billing.subscriptions import plan_name
from services.core.formatting import short_day
from services.generation.registry import SERVICES
from services.messaging.buttons import MenuTap, button, keyboard, menu_button
from storage.reports.account_statement import StatementLine, statement

router = Router(name="statement")
_PAGE = 10
_MOST_PAGES = 10_000
_MINUS = "−"
_PLAIN = frozenset({"welcome", "referral", "grant", "topup", "debt", "refund"})
"""Moves whose kind says all: their texts are `statement.<kind>`."""


class StatementTap(CallbackData, prefix="bill"):
    """A page of the statement, from 0."""

    page: int


@router.callback_query(MenuTap.filter(F.place == "statement"))
async def go_to_statement(tap: CallbackQuery, desk: Desk) -> None:
    await answer(tap)
    await desk.show(tap, *await _view(desk, 0))


@router.callback_query(StatementTap.filter())
async def turn_page(tap: CallbackQuery, callback_data: StatementTap, desk: Desk) -> None:
    await answer(tap)
    await desk.show(tap, *await _view(desk, min(max(callback_data.page, 0), _MOST_PAGES)))


async def _view(desk: Desk, page: int) -> View:
    found = await statement(desk.studio.db, desk.user.id, page=page, size=_PAGE)
    if page and not found.lines:
        page, found = 0, await statement(desk.studio.db, desk.user.id, page=0, size=_PAGE)
    blocks = [desk.t("statement.title"), *_balance(desk)]
    blocks += _days(desk, found.lines) if found.lines else ["", desk.t("statement.empty")]
    balance = button(desk.t("button.balance"), MenuTap(place="balance"))
    rows = [[balance, menu_button(desk.studio.texts, desk.user.language)]]
    if turn := _turns(desk, page, found.total):
        rows.insert(0, turn)
    return "\n".join(blocks), keyboard(rows)


def _balance(desk: Desk) -> list[str]:
    balance = desk.balance_on_arrival
    lines = [desk.t("balance.available", balance.available)]
    if balance.held:
        lines.append(desk.t("balance.held", balance.held))
    if balance.debt:
        lines.append(desk.t("balance.debt", balance.debt))
    return lines


def _days(desk: Desk, lines: Sequence[StatementLine]) -> list[str]:
    """The lines, under a heading for each day."""
    shown, today = [], ""
    for line in lines:
        on = short_day(desk.user.language, line.created_at)
        if on != today:
            shown += ["", f"<b>{on}</b>"]
            today = on
        amount = _signed(line.amount)
        shown.append(desk.t("statement.line", amount=amount, reason=_reason(desk, line), balance=line.balance))
    return shown


def _signed(amount: int) -> str:
    return f"+{amount}" if amount > 0 else f"{_MINUS}{-amount}" if amount < 0 else "0"


def _reason(desk: Desk, line: StatementLine) -> str:
    """Why, in the person's words."""
    t = desk.t
    if line.kind == "hold":
        key = {"open": "statement.reserved", "release": "statement.not_charged"}.get(line.settled or "")
        return t(key, service=_service(desk, line)) if key else _service(desk, line)
    if line.kind == "refund_job":
        return t("statement.refund_job", service=_service(desk, line))
    if line.subscription and line.kind in ("topup", "subscription_bonus"):
        key = "statement.subscription" if line.kind == "topup" else "statement.subscription_bonus"
        return t(key, plan=plan_name(desk.studio, desk.user.language, line.subscription))
    if line.kind == "promo":
        return t("statement.promo", code=line.key.split(":")[1])
    if line.kind == "refund" and line.owed > 0:
        return t("statement.refund_owed", line.owed)
    return t(f"statement.{line.kind}") if line.kind in _PLAIN else t("statement.other")


def _service(desk: Desk, line: StatementLine) -> str:
    known = SERVICES.get(line.service or "")
    return f"{known.emoji} {desk.t(f'service.{known.id}.name')}" if known else desk.t("statement.order")


def _turns(desk: Desk, page: int, total: int) -> list[InlineKeyboardButton]:
    pages = -(-total // _PAGE)
    if pages < 2:
        return []
    here = button(f"{page + 1}/{pages}", StatementTap(page=page))
    turns = [here]
    if page > 0:
        turns.insert(0, button(desk.t("button.newer"), StatementTap(page=page - 1)))
    if page + 1 < pages:
        turns.append(button(desk.t("button.older"), StatementTap(page=page + 1)))
    return turns
