"""What a person ordered last, and what everything costs."""

from uuid import UUID

from aiogram import F, Router
from aiogram.filters import Command
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery, InlineKeyboardMarkup, InputMediaPhoto, Message

from handlers.context import Desk, answer
from handlers.menu import menu_keyboard
from handlers.order.views import menu_only
from services.generation.catalogue import MODELS
from services.generation.registry import SERVICES
from services.messaging.buttons import HistoryTap, MenuTap, ResultTap, button, keyboard, menu_button
from services.messaging.progress import headline
from storage.jobs.jobs import Job, get_job, latest_jobs

router = Router(name="history")
_SHOWN = 5
_MARKS = {"queued": "⏳", "running": "⏳", "succeeded": "✅", "failed": "❌", "cancelled": "✖️"}


async def history(desk: Desk) -> tuple[str, InlineKeyboardMarkup]:
    jobs = [
        job for job in await latest_jobs(desk.studio.db, desk.user.id, limit=_SHOWN) if job.service in SERVICES
    ]
    if not jobs:
        return desk.t("history.empty"), menu_keyboard(desk)
    lines, rows = [desk.t("history.title")], []
    for number, job in enumerate(jobs, 1):
        price = f"{job.price} ⭐" if job.state == "succeeded" else "0 ⭐"
        lines.append(f"<b>{number}</b> {_MARKS[job.state]} {headline(desk.studio, job)}\n{price}")
        buttons = [button(f"🔁 {number}", ResultTap(job=job.id.hex, action="again"))]
        if job.state == "succeeded":
            buttons.insert(0, button(f"👁 {number}", HistoryTap(job=job.id.hex)))
        rows.append(buttons)
    pairs = [[*rows[i], *(rows[i + 1] if i + 1 < len(rows) else [])] for i in range(0, len(rows), 2)]
    return "\n".join(lines), keyboard([*pairs, [menu_button(desk.studio.texts, desk.user.language)]])


@router.message(Command("history"))
async def show_history(message: Message, desk: Desk) -> None:
    await desk.say(*await history(desk))


@router.callback_query(MenuTap.filter(F.place == "history"))
async def go_to_history(tap: CallbackQuery, desk: Desk) -> None:
    await answer(tap)
    await desk.show(tap, *await history(desk))


@router.callback_query(HistoryTap.filter())
async def show_result(tap: CallbackQuery, callback_data: HistoryTap, desk: Desk, state: FSMContext) -> None:
    """Send an earlier result again, by Telegram's own ids of its files."""
    try:
        job = await get_job(desk.studio.db, UUID(callback_data.job))
    except ValueError:
        job = None
    if job is None or job.user_id != desk.user.id or job.state != "succeeded" or job.result is None:
        await answer(tap, desk.t("stale.button"), alert=True)
        return
    await answer(tap)
    await send_again(desk, job, job.result)


async def send_again(desk: Desk, job: Job, result: dict[str, object]) -> None:
    files = [str(file_id) for file_id in result.get("file_ids") or ()]  # type: ignore[attr-defined]
    media = result.get("media") or ()
    caption = headline(desk.studio, job)
    if result.get("text"):
        caption += "\n" + desk.t("result.text", text=str(result["text"]))
    if not files:
        await desk.say(caption, menu_only(desk))
    elif len(files) > 1:
        await desk.bot.send_media_group(desk.chat_id, [InputMediaPhoto(media=file_id) for file_id in files])
        await desk.say(caption, menu_only(desk))
    else:
        kind = media[0]["kind"]  # type: ignore[index]
        send = {"photo": desk.bot.send_photo, "video": desk.bot.send_video, "voice": desk.bot.send_voice}[kind]
        await send(desk.chat_id, files[0], caption=caption, reply_markup=menu_only(desk))  # type: ignore[operator]


@router.message(Command("price"))
async def show_prices(message: Message, desk: Desk) -> None:
    """Every service with what it costs, from the catalogue."""
    blocks = [desk.t("price.title")]
    for spec in SERVICES.values():
        lines = [f"{spec.emoji} <b>{desk.t(f'service.{spec.id}.name')}</b> — {desk.t(f'service.{spec.id}.price')}"]
        models = MODELS.get(spec.id, {})
        if len(models) > 1:
            lines += [f"    {m.label} · {desk.t(f'price.per.{m.per}', stars=m.stars())}" for m in models.values()]
        blocks.append("\n".join(lines))
    await desk.say("\n".join(blocks), menu_only(desk))
