"""`/stats`: how the studio does today, this week, this month; in words, as a picture, as a table."""

import asyncio
from typing import get_args

from aiogram import F, Router
from aiogram.filters import Command
from aiogram.filters.callback_data import CallbackData
from aiogram.types import BufferedInputFile, CallbackQuery, InlineKeyboardMarkup, Message

from handlers.admin.access import is_admin
from handlers.context import Desk, answer
from services.generation.catalogue import MARKUP, USD_PER_STAR
from services.generation.registry import SERVICES
from services.messaging.buttons import button, keyboard, menu_button
from services.monitoring.stats import USD_PAID_OUT, Span, Stats, gather_stats
from services.monitoring.stats_image import draw

router = Router(name="stats")
router.message.filter(is_admin)
router.callback_query.filter(is_admin)

_SPANS: tuple[Span, ...] = get_args(Span)


class StatsTap(CallbackData, prefix="st"):
    """`show` a span's numbers, or send them as a `picture` or a `table`."""

    action: str
    span: Span


def stats_text(desk: Desk, stats: Stats) -> str:
    t, total = desk.t, stats.total
    b = total.bucket
    lines = [
        t("stats.title", span=t(f"stats.span.{stats.span}"), begin=f"{stats.begin:%Y-%m-%d}"),
        t("stats.people", new=b.new_users, active=b.active_users),
        t("stats.orders", orders=b.orders, made=b.succeeded, failed=b.failed, stopped=b.cancelled),
    ]
    for ends in stats.services:
        spec = SERVICES.get(ends.service)
        name = f"{spec.emoji} {t(f'service.{spec.id}.name')}" if spec else ends.service
        lines.append(f"    {name}: {ends.succeeded} · {ends.failed} · {ends.cancelled}")
    share = f"{total.margin / total.income:.0%}" if total.income > 0 else "—"
    lines += [
        "",
        t("stats.paid", paid=b.paid, refunded=b.refunded),
        t("stats.earned", earned=b.earned, usd=f"{total.income:.2f}"),
        t("stats.cost", usd=f"{total.cost:.2f}"),
        t("stats.margin", usd=f"{total.margin:.2f}", share=share),
        "",
        t("stats.rule", paid_out=str(USD_PAID_OUT), star=str(USD_PER_STAR), markup=str(MARKUP)),
    ]
    return "\n".join(lines)


def stats_keyboard(desk: Desk, span: Span) -> InlineKeyboardMarkup:
    spans = [
        button(f"● {label}" if each == span else label, StatsTap(action="show", span=each))
        for each in _SPANS
        if (label := desk.t(f"stats.span.{each}"))
    ]
    files = [
        button(desk.t(f"stats.button.{action}"), StatsTap(action=action, span=span))
        for action in ("picture", "table")
    ]
    return keyboard([spans, files, [menu_button(desk.studio.texts, desk.user.language)]])


@router.message(Command("stats"))
async def show_stats(message: Message, desk: Desk) -> None:
    stats = await gather_stats(desk.studio.db, "today")
    await desk.say(stats_text(desk, stats), stats_keyboard(desk, "today"))


@router.callback_query(StatsTap.filter(F.action == "show"))
async def switch(tap: CallbackQuery, desk: Desk, callback_data: StatsTap) -> None:
    await answer(tap)
    stats = await gather_stats(desk.studio.db, callback_data.span)
    await desk.show(tap, stats_text(desk, stats), stats_keyboard(desk, callback_data.span))


@router.callback_query(StatsTap.filter(F.action == "picture"))
async def send_picture(tap: CallbackQuery, desk: Desk, callback_data: StatsTap) -> None:
    await answer(tap)
    stats = await gather_stats(desk.studio.db, callback_data.span)
    picture = BufferedInputFile(await asyncio.to_thread(draw, stats), _name(stats, "png"))
    title = desk.t("stats.title", span=desk.t(f"stats.span.{stats.span}"), begin=f"{stats.begin:%Y-%m-%d}")
    await desk.bot.send_photo(desk.chat_id, picture, caption=title)


@router.callback_query(StatsTap.filter(F.action == "table"))
async def send_table(tap: CallbackQuery, desk: Desk, callback_data: StatsTap) -> None:
    await answer(tap)
    stats = await gather_stats(desk.studio.db, callback_data.span)
    await desk.bot.send_document(desk.chat_id, BufferedInputFile(stats.csv.encode(), _name(stats, "csv")))


def _name(stats: Stats, ending: str) -> str:
    return f"diptych-{stats.span}-{stats.begin:%Y-%m-%d}.{ending}"
