"""What people do with an order: stop it, have it again, change it, try again what failed, go on from a result."""

from uuid import UUID

from aiogram import F, Router
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery

from handlers.context import Desk, answer
from handlers.credit_packs import packs_keyboard
from handlers.order.draft import Draft, new_draft, save_draft
from handlers.order.views import menu_only, price_of
from handlers.order.wizard import open_draft, place_order, show_accepted, show_options
from services.core.errors import NotEnough, Refused
from services.generation.inputs import FileRef
from services.generation.registry import SERVICES
from services.messaging.buttons import ResultTap
from storage.jobs.jobs import Job, get_job, get_job_by_order

router = Router(name="results")


@router.callback_query(ResultTap.filter(F.action == "stop"))
async def stop(tap: CallbackQuery, callback_data: ResultTap, desk: Desk) -> None:
    """Cancel the order. Its progress message says so once it is done."""
    job = await own_job(tap, callback_data, desk)
    if job is None:
        return
    stopped = await desk.dispatcher.stop(job.id, desk.user.id) or job.cancel_requested
    await answer(tap, desk.t("stop.stopping" if stopped else "stop.too_late"), alert=not stopped)


@router.callback_query(ResultTap.filter(F.action.in_({"again", "retry"})))
async def again(tap: CallbackQuery, callback_data: ResultTap, desk: Desk, state: FSMContext) -> None:
    job = await own_job(tap, callback_data, desk)
    if job is None:
        return
    await answer(tap)
    await repeat(desk, state, job)


async def repeat(desk: Desk, state: FSMContext, job: Job) -> None:
    """Order the same once more, at once. An order has one such repeat; after it, or where
    it would cost more than the button says, its card opens."""
    key, draft = f"again:{job.id}", new_draft(job.service, job.inputs)
    offers = await desk.offers(draft.spec)
    changed = draft.with_values(offers).values != draft.values
    if changed or price_of(desk, draft) > job.price or await get_job_by_order(desk.studio.db, key):
        await open_draft(desk, state, draft)
        return
    progress = await desk.say(desk.t("order.accepting"))
    try:
        accepted = await place_order(desk, key, draft, progress.message_id)
    except NotEnough as short:
        text = desk.t("order.missing", short.missing)
        await progress.edit_text(text, reply_markup=packs_keyboard(desk, short.missing))
    except Refused as refused:
        await progress.edit_text(desk.t(refused.key, **refused.params), reply_markup=menu_only(desk))
    else:
        if accepted.new:
            await show_accepted(desk, accepted)
        else:  # a tap that reached another process at the same moment was quicker
            await progress.edit_text(desk.t("stale.ordered"))


@router.callback_query(ResultTap.filter(F.action.in_(SERVICES)))
async def go_on(tap: CallbackQuery, callback_data: ResultTap, desk: Desk, state: FSMContext) -> None:
    """Begin another service with what this one made: its picture, or its words."""
    job = await own_job(tap, callback_data, desk)
    if job is None:
        return
    await answer(tap)
    await open_draft(desk, state, with_result(new_draft(callback_data.action), job))


def with_result(draft: Draft, job: Job) -> Draft:
    result = job.result or {}
    photo = any(media["kind"] == "photo" for media in result.get("media", ()))
    if photo and result.get("file_ids"):
        draft = draft.with_photo(FileRef(kind="photo", file_id=result["file_ids"][0], size=0))
    return draft.with_words(result["text"]) if result.get("text") else draft


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
