"""The statement: what moved a person's Stars, newest first, ten moves a page."""

from collections.abc import Sequence

from aiogram import F, Router
from aiogram.filters.callback_data import CallbackData
from aiogram.types import CallbackQuery, InlineKeyboardButton

from handlers.context import UserContext, answer_callback
from handlers.order.views import View
from services.billing.subscriptions import tier_name
from services.core.formatting import format_short_day
from services.generation.registry import SERVICES
from services.messaging.buttons import MenuCallback, button, keyboard, menu_button
from storage.reports.account_statement import StatementLine, get_statement

router = Router(name="statement")
_PAGE_SIZE = 10
_MAX_PAGE = 10_000
_MINUS = "−"
_KINDS_WITH_OWN_TEXT = frozenset({"welcome", "referral", "grant", "topup", "debt", "refund"})
"""Moves whose kind says all: their texts are `statement.<kind>`."""


class StatementCallback(CallbackData, prefix="bill"):
    """A page of the statement, from 0."""

    page: int


@router.callback_query(MenuCallback.filter(F.place == "statement"))
async def _open_statement(callback: CallbackQuery, ctx: UserContext) -> None:
    await answer_callback(callback)
    await ctx.edit_or_send(callback, *await _statement_view(ctx, 0))


@router.callback_query(StatementCallback.filter())
async def _turn_page(callback: CallbackQuery, callback_data: StatementCallback, ctx: UserContext) -> None:
    await answer_callback(callback)
    await ctx.edit_or_send(callback, *await _statement_view(ctx, min(max(callback_data.page, 0), _MAX_PAGE)))


async def _statement_view(ctx: UserContext, page: int) -> View:
    found = await get_statement(ctx.app.db, ctx.user.id, page=page, size=_PAGE_SIZE)
    if page and not found.lines:
        page, found = 0, await get_statement(ctx.app.db, ctx.user.id, page=0, size=_PAGE_SIZE)
    blocks = [ctx.t("statement.title"), *_balance_lines(ctx)]
    blocks += _lines_by_day(ctx, found.lines) if found.lines else ["", ctx.t("statement.empty")]
    balance = button(ctx.t("button.balance"), MenuCallback(place="balance"))
    rows = [[balance, menu_button(ctx.app.texts, ctx.user.language)]]
    if paging := _paging_buttons(ctx, page, found.total):
        rows.insert(0, paging)
    return "\n".join(blocks), keyboard(rows)


def _balance_lines(ctx: UserContext) -> list[str]:
    balance = ctx.initial_balance
    lines = [ctx.t("balance.available", balance.available)]
    if balance.held:
        lines.append(ctx.t("balance.held", balance.held))
    if balance.debt:
        lines.append(ctx.t("balance.debt", balance.debt))
    return lines


def _lines_by_day(ctx: UserContext, lines: Sequence[StatementLine]) -> list[str]:
    """The lines, under a heading for each day."""
    rows, current_day = [], ""
    for line in lines:
        on = format_short_day(ctx.user.language, line.created_at)
        if on != current_day:
            rows += ["", f"<b>{on}</b>"]
            current_day = on
        amount = _signed(line.amount)
        rows.append(ctx.t("statement.line", amount=amount, reason=_reason(ctx, line), balance=line.balance))
    return rows


def _signed(amount: int) -> str:
    return f"+{amount}" if amount > 0 else f"{_MINUS}{-amount}" if amount < 0 else "0"


def _reason(ctx: UserContext, line: StatementLine) -> str:
    """Why, in the person's words."""
    t = ctx.t
    if line.kind == "hold":
        key = {"open": "statement.reserved", "release": "statement.not_charged"}.get(line.settled or "")
        return t(key, service=_service_name(ctx, line)) if key else _service_name(ctx, line)
    if line.kind == "refund_job":
        return t("statement.refund_job", service=_service_name(ctx, line))
    if line.tier and line.kind in ("topup", "subscription_bonus"):
        key = "statement.subscription" if line.kind == "topup" else "statement.subscription_bonus"
        return t(key, plan=tier_name(ctx.app, ctx.user.language, line.tier))
    if line.kind == "promo":
        return t("statement.promo", code=line.key.split(":")[1])
    if line.kind == "refund" and line.owed > 0:
        return t("statement.refund_owed", line.owed)
    return t(f"statement.{line.kind}") if line.kind in _KINDS_WITH_OWN_TEXT else t("statement.other")


def _service_name(ctx: UserContext, line: StatementLine) -> str:
    known = SERVICES.get(line.service or "")
    return f"{known.emoji} {ctx.t(f'service.{known.id}.name')}" if known else ctx.t("statement.order")


def _paging_buttons(ctx: UserContext, page: int, total: int) -> list[InlineKeyboardButton]:
    pages = -(-total // _PAGE_SIZE)
    if pages < 2:
        return []
    here = button(f"{page + 1}/{pages}", StatementCallback(page=page))
    buttons = [here]
    if page > 0:
        buttons.insert(0, button(ctx.t("button.newer"), StatementCallback(page=page - 1)))
    if page + 1 < pages:
        buttons.append(button(ctx.t("button.older"), StatementCallback(page=page + 1)))
    return buttons
