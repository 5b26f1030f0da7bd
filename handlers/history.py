"""`/history` and `/price`: a user's latest orders, and the prices of all services."""

from typing import Any, Final

from aiogram import F, Router
from aiogram.filters import Command
from aiogram.types import CallbackQuery, InputMediaPhoto, Message

from handlers.context import UserContext, View, answer_callback, answer_stale
from handlers.menu import menu_keyboard
from handlers.views import STATE_EMOJI, menu_button_keyboard, menu_row, service_title
from services.generation.catalogue import MODELS
from services.generation.registry import SERVICES
from services.history.orders import find_own_order, latest_orders
from services.messaging.buttons import HistoryCallback, MenuCallback, ResultCallback, button, keyboard
from services.messaging.progress import headline
from storage.jobs.jobs import Job

router = Router(name="history")
_MAX_ORDERS: Final = 5


async def _history_view(ctx: UserContext) -> View:
    """The latest orders with their prices, and buttons to see their results and to order them again."""
    orders = await latest_orders(ctx.db, ctx.user.id, limit=_MAX_ORDERS)
    if not orders:
        return ctx.t("history.empty"), menu_keyboard(ctx)
    lines, rows = [ctx.t("history.title")], []
    for number, job in enumerate(orders, 1):
        price = f"{job.price} ⭐" if job.state == "succeeded" else "0 ⭐"
        lines.append(f"<b>{number}</b> {STATE_EMOJI[job.state]} {headline(ctx.texts, job)}\n{price}")
        buttons = [button(f"🔁 {number}", ResultCallback(job=job.id.hex, action="again"))]
        if job.state == "succeeded":
            buttons.insert(0, button(f"👁 {number}", HistoryCallback(job=job.id.hex)))
        rows.append(buttons)
    pairs = [[*rows[i], *(rows[i + 1] if i + 1 < len(rows) else [])] for i in range(0, len(rows), 2)]
    return "\n".join(lines), keyboard([*pairs, menu_row(ctx)])


@router.message(Command("history"))
async def _show_history(message: Message, ctx: UserContext) -> None:
    """Show the latest orders with their results."""
    await ctx.send(*await _history_view(ctx))


@router.callback_query(MenuCallback.filter(F.place == "history"))
async def _open_history(callback: CallbackQuery, ctx: UserContext) -> None:
    await answer_callback(callback)
    await ctx.edit_or_send(callback, *await _history_view(ctx))


@router.callback_query(HistoryCallback.filter())
async def _show_result(callback: CallbackQuery, callback_data: HistoryCallback, ctx: UserContext) -> None:
    job = await find_own_order(ctx.db, ctx.user.id, callback_data.job)
    if job is None or job.state != "succeeded" or job.result is None:
        await answer_stale(callback, ctx)
        return
    await answer_callback(callback)
    await _resend_result(ctx, job, job.result)


async def _resend_result(ctx: UserContext, job: Job, result: dict[str, Any]) -> None:
    """Send an earlier result again by Telegram's ids of its files, without generating or uploading anything.

    Args:
        ctx: The user.
        job: The order.
        result: The job's stored result: a JobResult and the ids of the delivered files and messages.
    """
    file_ids: list[str] = result.get("file_ids") or []
    caption = headline(ctx.texts, job)
    if result.get("text"):
        caption += "\n" + ctx.t("result.text", text=str(result["text"]))
    markup = menu_button_keyboard(ctx)
    if len(file_ids) == 1:
        kind = result["media"][0]["kind"]
        if kind == "photo":
            await ctx.bot.send_photo(ctx.chat_id, file_ids[0], caption=caption, reply_markup=markup)
        elif kind == "video":
            await ctx.bot.send_video(ctx.chat_id, file_ids[0], caption=caption, reply_markup=markup)
        else:
            await ctx.bot.send_voice(ctx.chat_id, file_ids[0], caption=caption, reply_markup=markup)
        return
    if file_ids:
        await ctx.bot.send_media_group(ctx.chat_id, [InputMediaPhoto(media=file_id) for file_id in file_ids])
    await ctx.send(caption, markup)


@router.message(Command("price"))
async def _show_prices(message: Message, ctx: UserContext) -> None:
    """List every service and model with its price."""
    blocks = [ctx.t("price.title")]
    for spec in SERVICES.values():
        lines = [f"{service_title(ctx, spec)} — {ctx.t(f'service.{spec.id}.price')}"]
        models = MODELS.get(spec.id, {})
        if len(models) > 1:
            lines += [f"    {m.label} · {ctx.t(f'price.per.{m.per}', stars=m.credits())}" for m in models.values()]
        blocks.append("\n".join(lines))
    await ctx.send("\n".join(blocks), menu_button_keyboard(ctx))
