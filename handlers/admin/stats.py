"""`/stats`: users, orders and money of today, this week or this month, as text, as an image or as a table."""

import asyncio
from typing import Final, get_args

from aiogram import F, Router
from aiogram.filters import Command
from aiogram.filters.callback_data import CallbackData
from aiogram.types import BufferedInputFile, CallbackQuery, Message

from handlers.admin.access import is_admin
from handlers.context import UserContext, View, answer_callback
from handlers.views import menu_row, service_name
from services.generation.catalogue import MARKUP, USD_PER_CREDIT
from services.generation.registry import SERVICES
from services.messaging.buttons import button, keyboard
from services.monitoring.stats import USD_PAYOUT_PER_STAR, Span, Stats, collect_stats
from services.monitoring.stats_image import render_stats_image

router = Router(name="stats")
router.message.filter(is_admin)
router.callback_query.filter(is_admin)

_SPANS: Final[tuple[Span, ...]] = get_args(Span)


class StatsCallback(CallbackData, prefix="st"):
    """A button of the statistics.

    Attributes:
        action: `show` shows the figures as text, `picture` sends them as an image, `table` as a CSV file.
        span: The period.
    """

    action: str
    span: Span


async def show_stats(ctx: UserContext, args: str = "") -> None:
    """Show today's figures.

    Args:
        ctx: The admin.
        args: The text after the command; ignored.
    """
    await ctx.send(*_stats_view(ctx, await collect_stats(ctx.db, "today")))


@router.message(Command("stats"))
async def _stats(message: Message, ctx: UserContext) -> None:
    """Show users, orders, credits, costs and margin for a period, as an image and as CSV."""
    await show_stats(ctx)


@router.callback_query(StatsCallback.filter(F.action == "show"))
async def _switch_span(callback: CallbackQuery, ctx: UserContext, callback_data: StatsCallback) -> None:
    await answer_callback(callback)
    await ctx.edit_or_send(callback, *_stats_view(ctx, await collect_stats(ctx.db, callback_data.span)))


@router.callback_query(StatsCallback.filter(F.action == "picture"))
async def _send_image(callback: CallbackQuery, ctx: UserContext, callback_data: StatsCallback) -> None:
    await answer_callback(callback)
    stats = await collect_stats(ctx.db, callback_data.span)
    image = BufferedInputFile(await asyncio.to_thread(render_stats_image, stats), _file_name(stats, "png"))
    await ctx.bot.send_photo(ctx.chat_id, image, caption=_title(ctx, stats))


@router.callback_query(StatsCallback.filter(F.action == "table"))
async def _send_table(callback: CallbackQuery, ctx: UserContext, callback_data: StatsCallback) -> None:
    await answer_callback(callback)
    stats = await collect_stats(ctx.db, callback_data.span)
    await ctx.bot.send_document(ctx.chat_id, BufferedInputFile(stats.csv.encode(), _file_name(stats, "csv")))


def _stats_view(ctx: UserContext, stats: Stats) -> View:
    t, total = ctx.t, stats.total
    bucket = total.bucket
    lines = [
        _title(ctx, stats),
        t("stats.people", new=bucket.new_users, active=bucket.active_users),
        t(
            "stats.orders",
            orders=bucket.orders,
            made=bucket.succeeded,
            failed=bucket.failed,
            stopped=bucket.cancelled,
        ),
    ]
    for outcomes in stats.service_outcomes:
        spec = SERVICES.get(outcomes.service)
        name = service_name(ctx, spec) if spec else outcomes.service
        lines.append(f"    {name}: {outcomes.succeeded} · {outcomes.failed} · {outcomes.cancelled}")
    share = f"{total.margin / total.income:.0%}" if total.income > 0 else "—"
    lines += [
        "",
        t("stats.paid", paid=bucket.paid, refunded=bucket.refunded),
        t("stats.earned", earned=bucket.earned, usd=f"{total.income:.2f}"),
        t("stats.cost", usd=f"{total.cost:.2f}"),
        t("stats.margin", usd=f"{total.margin:.2f}", share=share),
        "",
        t("stats.rule", paid_out=str(USD_PAYOUT_PER_STAR), star=str(USD_PER_CREDIT), markup=str(MARKUP)),
    ]
    spans = [
        button(f"● {label}" if span == stats.span else label, StatsCallback(action="show", span=span))
        for span in _SPANS
        if (label := t(f"stats.span.{span}"))
    ]
    files = [
        button(t(f"stats.button.{action}"), StatsCallback(action=action, span=stats.span))
        for action in ("picture", "table")
    ]
    return "\n".join(lines), keyboard([spans, files, menu_row(ctx)])


def _title(ctx: UserContext, stats: Stats) -> str:
    return ctx.t("stats.title", span=ctx.t(f"stats.span.{stats.span}"), begin=f"{stats.begin:%Y-%m-%d}")


def _file_name(stats: Stats, extension: str) -> str:
    return f"diptych-{stats.span}-{stats.begin:%Y-%m-%d}.{extension}"
