"""The account statement: the movements of a user's credits, newest first, ten per page."""

from collections.abc import Sequence
from typing import Final

from aiogram import F, Router
from aiogram.filters.callback_data import CallbackData
from aiogram.types import CallbackQuery, InlineKeyboardButton

from handlers.context import UserContext, View, answer_callback
from handlers.views import balance_lines, menu_row, service_name
from services.billing.subscriptions import tier_name
from services.core.formatting import format_short_day
from services.generation.registry import SERVICES
from services.messaging.buttons import MenuCallback, button, keyboard
from storage.reports.account_statement import StatementLine, get_statement

router = Router(name="statement")
_PAGE_SIZE: Final = 10
_MAX_PAGE: Final = 10_000
_MINUS: Final = "−"
_KINDS_WITH_OWN_TEXT: Final = frozenset({"welcome", "referral", "grant", "topup", "debt", "refund"})
"""The kinds of movement whose text is simply `statement.<kind>`."""


class StatementCallback(CallbackData, prefix="bill"):
    """Opens a page of the statement. Pages count from 0."""

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
    found = await get_statement(ctx.db, ctx.user.id, page=page, size=_PAGE_SIZE)
    if page and not found.lines:
        page, found = 0, await get_statement(ctx.db, ctx.user.id, page=0, size=_PAGE_SIZE)
    blocks = [ctx.t("statement.title"), *balance_lines(ctx)]
    blocks += _lines_by_day(ctx, found.lines) if found.lines else ["", ctx.t("statement.empty")]
    balance = button(ctx.t("button.balance"), MenuCallback(place="balance"))
    rows = [[balance, *menu_row(ctx)]]
    if paging := _paging_buttons(ctx, page, found.total):
        rows.insert(0, paging)
    return "\n".join(blocks), keyboard(rows)


def _lines_by_day(ctx: UserContext, lines: Sequence[StatementLine]) -> list[str]:
    """The lines of text, with a heading for each day."""
    rows, current_day = [], ""
    for line in lines:
        day = format_short_day(ctx.language, line.created_at)
        if day != current_day:
            rows += ["", f"<b>{day}</b>"]
            current_day = day
        amount = _signed(line.amount)
        rows.append(ctx.t("statement.line", amount=amount, reason=_reason(ctx, line), balance=line.balance))
    return rows


def _signed(amount: int) -> str:
    return f"+{amount}" if amount > 0 else f"{_MINUS}{-amount}" if amount < 0 else "0"


def _reason(ctx: UserContext, line: StatementLine) -> str:
    """Why the credits moved, in the user's language."""
    t = ctx.t
    if line.kind == "hold":
        key = {"open": "statement.reserved", "release": "statement.not_charged"}.get(line.settled or "")
        return t(key, service=_service_name(ctx, line)) if key else _service_name(ctx, line)
    if line.kind == "refund_job":
        return t("statement.refund_job", service=_service_name(ctx, line))
    if line.tier and line.kind in ("topup", "subscription_bonus"):
        key = "statement.subscription" if line.kind == "topup" else "statement.subscription_bonus"
        return t(key, plan=tier_name(ctx.texts, ctx.language, line.tier))
    if line.kind == "promo":
        return t("statement.promo", code=line.key.split(":")[1])
    if line.kind == "refund" and line.owed > 0:
        return t("statement.refund_owed", line.owed)
    return t(f"statement.{line.kind}") if line.kind in _KINDS_WITH_OWN_TEXT else t("statement.other")


def _service_name(ctx: UserContext, line: StatementLine) -> str:
    spec = SERVICES.get(line.service or "")
    return service_name(ctx, spec) if spec else ctx.t("statement.order")


def _paging_buttons(ctx: UserContext, page: int, total: int) -> list[InlineKeyboardButton]:
    pages = -(-total // _PAGE_SIZE)
    if pages < 2:
        return []
    buttons = [button(f"{page + 1}/{pages}", StatementCallback(page=page))]
    if page > 0:
        buttons.insert(0, button(ctx.t("button.newer"), StatementCallback(page=page - 1)))
    if page + 1 < pages:
        buttons.append(button(ctx.t("button.older"), StatementCallback(page=page + 1)))
    return buttons
