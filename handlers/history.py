"""What a person ordered last, and what everything costs."""

from uuid import UUID

from aiogram import F, Router
from aiogram.filters import Command
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery, InlineKeyboardMarkup, InputMediaPhoto, Message

from handlers.context import UserContext, answer_callback
from handlers.menu import menu_keyboard
from handlers.order.views import menu_button_keyboard
from services.generation.catalogue import MODELS
from services.generation.registry import SERVICES
from services.messaging.buttons import HistoryCallback, MenuCallback, ResultCallback, button, keyboard, menu_button
from services.messaging.progress import headline
from storage.jobs.jobs import Job, get_job, latest_user_jobs

router = Router(name="history")
_MAX_JOBS = 5
_STATE_EMOJI = {"queued": "⏳", "running": "⏳", "succeeded": "✅", "failed": "❌", "cancelled": "✖️"}


async def history_view(ctx: UserContext) -> tuple[str, InlineKeyboardMarkup]:
    jobs = [
        job for job in await latest_user_jobs(ctx.app.db, ctx.user.id, limit=_MAX_JOBS) if job.service in SERVICES
    ]
    if not jobs:
        return ctx.t("history.empty"), menu_keyboard(ctx)
    lines, rows = [ctx.t("history.title")], []
    for number, job in enumerate(jobs, 1):
        price = f"{job.price} ⭐" if job.state == "succeeded" else "0 ⭐"
        lines.append(f"<b>{number}</b> {_STATE_EMOJI[job.state]} {headline(ctx.app, job)}\n{price}")
        buttons = [button(f"🔁 {number}", ResultCallback(job=job.id.hex, action="again"))]
        if job.state == "succeeded":
            buttons.insert(0, button(f"👁 {number}", HistoryCallback(job=job.id.hex)))
        rows.append(buttons)
    pairs = [[*rows[i], *(rows[i + 1] if i + 1 < len(rows) else [])] for i in range(0, len(rows), 2)]
    return "\n".join(lines), keyboard([*pairs, [menu_button(ctx.app.texts, ctx.user.language)]])


@router.message(Command("history"))
async def _show_history(message: Message, ctx: UserContext) -> None:
    await ctx.send(*await history_view(ctx))


@router.callback_query(MenuCallback.filter(F.place == "history"))
async def _open_history(callback: CallbackQuery, ctx: UserContext) -> None:
    await answer_callback(callback)
    await ctx.edit_or_send(callback, *await history_view(ctx))


@router.callback_query(HistoryCallback.filter())
async def _show_result(
    callback: CallbackQuery, callback_data: HistoryCallback, ctx: UserContext, state: FSMContext
) -> None:
    """Send an earlier result again, by Telegram's own ids of its files."""
    try:
        job = await get_job(ctx.app.db, UUID(callback_data.job))
    except ValueError:
        job = None
    if job is None or job.user_id != ctx.user.id or job.state != "succeeded" or job.result is None:
        await answer_callback(callback, ctx.t("stale.button"), alert=True)
        return
    await answer_callback(callback)
    await resend_result(ctx, job, job.result)


async def resend_result(ctx: UserContext, job: Job, result: dict[str, object]) -> None:
    files = [str(file_id) for file_id in result.get("file_ids") or ()]  # type: ignore[attr-defined]
    media = result.get("media") or ()
    caption = headline(ctx.app, job)
    if result.get("text"):
        caption += "\n" + ctx.t("result.text", text=str(result["text"]))
    if not files:
        await ctx.send(caption, menu_button_keyboard(ctx))
    elif len(files) > 1:
        await ctx.bot.send_media_group(ctx.chat_id, [InputMediaPhoto(media=file_id) for file_id in files])
        await ctx.send(caption, menu_button_keyboard(ctx))
    else:
        kind = media[0]["kind"]  # type: ignore[index]
        send = {"photo": ctx.bot.send_photo, "video": ctx.bot.send_video, "voice": ctx.bot.send_voice}[kind]
        await send(ctx.chat_id, files[0], caption=caption, reply_markup=menu_button_keyboard(ctx))  # type: ignore[operator]


@router.message(Command("price"))
async def _show_prices(message: Message, ctx: UserContext) -> None:
    """Every service with what it costs, from the catalogue."""
    blocks = [ctx.t("price.title")]
    for spec in SERVICES.values():
        lines = [f"{spec.emoji} <b>{ctx.t(f'service.{spec.id}.name')}</b> — {ctx.t(f'service.{spec.id}.price')}"]
        models = MODELS.get(spec.id, {})
        if len(models) > 1:
            lines += [f"    {m.label} · {ctx.t(f'price.per.{m.per}', stars=m.credits())}" for m in models.values()]
        blocks.append("\n".join(lines))
    await ctx.send("\n".join(blocks), menu_button_keyboard(ctx))
