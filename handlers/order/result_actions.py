"""What people do with an order: stop it, have it again, change it, try again what failed, go on from a result."""

from uuid import UUID

from aiogram import F, Router
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery

from handlers.context import UserContext, answer_callback
from handlers.credit_packs import packs_keyboard
from handlers.order.draft import Draft, new_draft, save_draft
from handlers.order.views import menu_button_keyboard, price_of
from handlers.order.wizard import open_draft, place_order, show_accepted, show_options
from services.core.errors import InsufficientCredits, InvalidRequest
from services.generation.inputs import FileRef
from services.generation.registry import SERVICES
from services.messaging.buttons import ResultCallback
from storage.jobs.jobs import Job, get_job, get_job_by_order_key

router = Router(name="results")


@router.callback_query(ResultCallback.filter(F.action == "stop"))
async def _cancel(callback: CallbackQuery, callback_data: ResultCallback, ctx: UserContext) -> None:
    """Cancel the order. Its progress message says so once it is done."""
    job = await load_own_job(callback, callback_data, ctx)
    if job is None:
        return
    cancelled = await ctx.dispatcher.cancel(job.id, ctx.user.id) or job.cancel_requested
    await answer_callback(callback, ctx.t("stop.stopping" if cancelled else "stop.too_late"), alert=not cancelled)


@router.callback_query(ResultCallback.filter(F.action.in_({"again", "retry"})))
async def _order_again(
    callback: CallbackQuery, callback_data: ResultCallback, ctx: UserContext, state: FSMContext
) -> None:
    job = await load_own_job(callback, callback_data, ctx)
    if job is None:
        return
    await answer_callback(callback)
    await repeat_order(ctx, state, job)


async def repeat_order(ctx: UserContext, state: FSMContext, job: Job) -> None:
    """Order the same once more, at once. An order has one such repeat; after it, or where
    it would cost more than the button says, its card opens."""
    key, draft = f"again:{job.id}", new_draft(job.service, job.inputs)
    user_options = await ctx.user_options(draft.spec)
    changed = draft.with_values(user_options).values != draft.values
    if changed or price_of(ctx, draft) > job.price or await get_job_by_order_key(ctx.app.db, key):
        await open_draft(ctx, state, draft)
        return
    progress = await ctx.send(ctx.t("order.accepting"))
    try:
        accepted = await place_order(ctx, key, draft, progress.message_id)
    except InsufficientCredits as short:
        text = ctx.t("order.missing", short.missing_credits)
        await progress.edit_text(text, reply_markup=packs_keyboard(ctx, short.missing_credits))
    except InvalidRequest as refused:
        await progress.edit_text(ctx.t(refused.key, **refused.params), reply_markup=menu_button_keyboard(ctx))
    else:
        if accepted.is_new:
            await show_accepted(ctx, accepted)
        else:  # a tap that reached another process at the same moment was quicker
            await progress.edit_text(ctx.t("stale.ordered"))


@router.callback_query(ResultCallback.filter(F.action.in_(SERVICES)))
async def _continue_with_service(
    callback: CallbackQuery, callback_data: ResultCallback, ctx: UserContext, state: FSMContext
) -> None:
    """Begin another service with what this one made: its picture, or its words."""
    job = await load_own_job(callback, callback_data, ctx)
    if job is None:
        return
    await answer_callback(callback)
    await open_draft(ctx, state, prefill_from_result(new_draft(callback_data.action), job))


def prefill_from_result(draft: Draft, job: Job) -> Draft:
    result = job.result or {}
    photo = any(media["kind"] == "photo" for media in result.get("media", ()))
    if photo and result.get("file_ids"):
        draft = draft.with_photo(FileRef(kind="photo", file_id=result["file_ids"][0], size=0))
    return draft.with_prompt(result["text"]) if result.get("text") else draft


@router.callback_query(ResultCallback.filter())
async def _change_input(
    callback: CallbackQuery, callback_data: ResultCallback, ctx: UserContext, state: FSMContext
) -> None:
    """Open the card of the same order, at the input to change."""
    job = await load_own_job(callback, callback_data, ctx)
    if job is None:
        return
    await answer_callback(callback)
    draft = new_draft(job.service, job.inputs)
    await save_draft(state, draft)
    await show_options(callback, ctx, state, draft, callback_data.action)


async def load_own_job(callback: CallbackQuery, callback_data: ResultCallback, ctx: UserContext) -> Job | None:
    """The person's own job that the button belongs to; anything else is answered here."""
    try:
        job = await get_job(ctx.app.db, UUID(callback_data.job))
    except ValueError:
        job = None
    if job is None or job.user_id != ctx.user.id or job.service not in SERVICES:
        await answer_callback(callback, ctx.t("stale.button"), alert=True)
        return None
    return job
