"""`/stats`: how the studio does today, this week, this month; in words, as a picture, as a table."""

import asyncio
from typing import get_args

from aiogram import F, Router
from aiogram.filters import Command
from aiogram.filters.callback_data import CallbackData
from aiogram.types import BufferedInputFile, CallbackQuery, InlineKeyboardMarkup, Message

from handlers.admin.access import is_admin
from handlers.context import UserContext, answer_callback
from services.generation.catalogue import MARKUP, USD_PER_CREDIT
from services.generation.registry import SERVICES
from services.messaging.buttons import button, keyboard, menu_button
from services.monitoring.stats import USD_PAYOUT_PER_STAR, Span, Stats, collect_stats
from services.monitoring.stats_image import render_stats_image

router = Router(name="stats")
router.message.filter(is_admin)
router.callback_query.filter(is_admin)

_SPANS: tuple[Span, ...] = get_args(Span)


class StatsCallback(CallbackData, prefix="st"):
    """`show` a span's numbers, or send them as a `picture` or a `table`."""

    action: str
    span: Span


def stats_text(ctx: UserContext, stats: Stats) -> str:
    t, total = ctx.t, stats.total
    bucket = total.bucket
    lines = [
        t("stats.title", span=t(f"stats.span.{stats.span}"), begin=f"{stats.begin:%Y-%m-%d}"),
        t("stats.people", new=bucket.new_users, active=bucket.active_users),
        t(
            "stats.orders",
            orders=bucket.orders,
            made=bucket.succeeded,
            failed=bucket.failed,
            stopped=bucket.cancelled,
        ),
    ]
    for ends in stats.service_outcomes:
        spec = SERVICES.get(ends.service)
        name = f"{spec.emoji} {t(f'service.{spec.id}.name')}" if spec else ends.service
        lines.append(f"    {name}: {ends.succeeded} · {ends.failed} · {ends.cancelled}")
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
    return "\n".join(lines)


def stats_keyboard(ctx: UserContext, span: Span) -> InlineKeyboardMarkup:
    spans = [
        button(f"● {label}" if each == span else label, StatsCallback(action="show", span=each))
        for each in _SPANS
        if (label := ctx.t(f"stats.span.{each}"))
    ]
    files = [
        button(ctx.t(f"stats.button.{action}"), StatsCallback(action=action, span=span))
        for action in ("picture", "table")
    ]
    return keyboard([spans, files, [menu_button(ctx.app.texts, ctx.user.language)]])


@router.message(Command("stats"))
async def _show_stats(message: Message, ctx: UserContext) -> None:
    stats = await collect_stats(ctx.app.db, "today")
    await ctx.send(stats_text(ctx, stats), stats_keyboard(ctx, "today"))


@router.callback_query(StatsCallback.filter(F.action == "show"))
async def _switch_span(callback: CallbackQuery, ctx: UserContext, callback_data: StatsCallback) -> None:
    await answer_callback(callback)
    stats = await collect_stats(ctx.app.db, callback_data.span)
    await ctx.edit_or_send(callback, stats_text(ctx, stats), stats_keyboard(ctx, callback_data.span))


@router.callback_query(StatsCallback.filter(F.action == "picture"))
async def _send_image(callback: CallbackQuery, ctx: UserContext, callback_data: StatsCallback) -> None:
    await answer_callback(callback)
    stats = await collect_stats(ctx.app.db, callback_data.span)
    image = BufferedInputFile(await asyncio.to_thread(render_stats_image, stats), _file_name(stats, "png"))
    title = ctx.t("stats.title", span=ctx.t(f"stats.span.{stats.span}"), begin=f"{stats.begin:%Y-%m-%d}")
    await ctx.bot.send_photo(ctx.chat_id, image, caption=title)


@router.callback_query(StatsCallback.filter(F.action == "table"))
async def _send_table(callback: CallbackQuery, ctx: UserContext, callback_data: StatsCallback) -> None:
    await answer_callback(callback)
    stats = await collect_stats(ctx.app.db, callback_data.span)
    await ctx.bot.send_document(ctx.chat_id, BufferedInputFile(stats.csv.encode(), _file_name(stats, "csv")))


def _file_name(stats: Stats, extension: str) -> str:
    return f"diptych-{stats.span}-{stats.begin:%Y-%m-%d}.{extension}"
