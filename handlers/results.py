"""What people do with a result: again, other words, another size; and trying again what failed."""

from uuid import UUID

from aiogram import F, Router
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery

from handlers.cards import menu_only
from handlers.context import Desk, answer
from handlers.draft import new_draft, save_draft
from handlers.order import show_accepted, show_options, view
from handlers.payments import packs_keyboard
from services.buttons import ResultTap
from services.dispatch import Order
from services.errors import NotEnough, Refused
from services.generation.registry import SERVICES
from storage.jobs import Job, get_job, get_job_by_order

router = Router(name="results")


@router.callback_query(ResultTap.filter(F.action.in_({"again", "retry"})))
async def again(tap: CallbackQuery, callback_data: ResultTap, desk: Desk, state: FSMContext) -> None:
    """Order the same once more, at once. A result has one such repeat; after it, the button opens the card."""
    job = await own_job(tap, callback_data, desk)
    if job is None:
        return
    await answer(tap)
    key = f"again:{job.id}"
    if await get_job_by_order(desk.studio.db, key):
        draft = new_draft(job.service, job.inputs)
        await save_draft(state, draft)
        await desk.say(*await view(desk, draft))
        return
    progress = await desk.say(desk.t("order.accepting"))
    try:
        accepted = await desk.dispatcher.dispatch(
            Order(
                key=key,
                service=job.service,
                inputs=job.inputs,
                user_id=desk.user.id,
                bot_name=desk.bot_name,
                chat_id=desk.chat_id,
                language=desk.user.language,
                progress_message_id=progress.message_id,
            )
        )
    except NotEnough as short:
        text = desk.t("order.missing", short.missing)
        await progress.edit_text(text, reply_markup=packs_keyboard(desk, short.missing))
    except Refused as refused:
        await progress.edit_text(desk.t(refused.key, **refused.params), reply_markup=menu_only(desk))
    else:
        await show_accepted(desk, accepted)


@router.callback_query(ResultTap.filter())
async def change(tap: CallbackQuery, callback_data: ResultTap, desk: Desk, state: FSMContext) -> None:
    """Open the card of the same order, at the input to change."""
    job = await own_job(tap, callback_data, desk)
    if job is None:
        return
    await answer(tap)
    draft = new_draft(job.service, job.inputs)
    await save_draft(state, draft)
    await show_options(tap, desk, state, draft, callback_data.action)


async def own_job(tap: CallbackQuery, callback_data: ResultTap, desk: Desk) -> Job | None:
    """The person's own job that the button belongs to; anything else is answered here."""
    try:
        job = await get_job(desk.studio.db, UUID(callback_data.job))
    except ValueError:
        job = None
    if job is None or job.user_id != desk.user.id or job.service not in SERVICES:
        await answer(tap, desk.t("stale.button"), alert=True)
        return None
    return job
