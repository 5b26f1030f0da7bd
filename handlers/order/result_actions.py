"""The buttons under an order: cancel, repeat, change or retry it, or use its result in another service."""

from aiogram import F, Router
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery

from handlers.context import UserContext, answer_callback, answer_stale
from handlers.credit_packs import packs_keyboard
from handlers.order.draft import Draft, new_draft, save_draft
from handlers.order.views import price_of
from handlers.order.wizard import open_draft, show_accepted, show_input
from handlers.views import menu_button_keyboard
from services.core.errors import InsufficientCredits, InvalidRequest
from services.generation.inputs import FileRef
from services.generation.registry import SERVICES
from services.history.orders import find_own_order, was_ordered
from services.messaging.buttons import ResultCallback
from storage.jobs.jobs import Job

router = Router(name="result_actions")


@router.callback_query(ResultCallback.filter(F.action == "stop"))
async def _cancel(callback: CallbackQuery, callback_data: ResultCallback, ctx: UserContext) -> None:
    """Cancel the order. The progress message shows when that is done."""
    job = await _load_own_order(callback, callback_data, ctx)
    if job is None:
        return
    cancelled = await ctx.dispatcher.cancel(job.id, ctx.user.id) or job.cancel_requested
    await answer_callback(callback, ctx.t("stop.stopping" if cancelled else "stop.too_late"), alert=not cancelled)


@router.callback_query(ResultCallback.filter(F.action.in_({"again", "retry"})))
async def _order_again(
    callback: CallbackQuery, callback_data: ResultCallback, ctx: UserContext, state: FSMContext
) -> None:
    job = await _load_own_order(callback, callback_data, ctx)
    if job is None:
        return
    await answer_callback(callback)
    await _repeat_order(ctx, state, job)


async def _repeat_order(ctx: UserContext, state: FSMContext, job: Job) -> None:
    """Order the same again without a confirmation.

    This works once per order. After that, or if the order now costs more or an option is no longer offered, its card
    opens instead.
    """
    key, draft = f"again:{job.id}", new_draft(job.service, job.inputs)
    changed = draft.with_values(await ctx.user_options(draft.spec)).values != draft.values
    if changed or price_of(ctx, draft) > job.price or await was_ordered(ctx.db, key):
        await open_draft(ctx, state, draft)
        return
    progress = await ctx.send(ctx.t("order.accepting"))
    try:
        order = ctx.build_order(key, draft.service, draft.values, progress.message_id)
        accepted = await ctx.dispatcher.dispatch(order)
    except InsufficientCredits as failure:
        text = ctx.t("order.missing", failure.missing_credits)
        await progress.edit_text(text, reply_markup=packs_keyboard(ctx, failure.missing_credits))
    except InvalidRequest as refused:
        await progress.edit_text(ctx.failure_text(refused), reply_markup=menu_button_keyboard(ctx))
    else:
        if accepted.is_new:
            await show_accepted(ctx, accepted)
        else:  # another process handled a tap on the same button at the same time
            await progress.edit_text(ctx.t("stale.ordered"))


@router.callback_query(ResultCallback.filter(F.action.in_(SERVICES)))
async def _continue_with_service(
    callback: CallbackQuery, callback_data: ResultCallback, ctx: UserContext, state: FSMContext
) -> None:
    """Open a draft of another service with the result of this order: its image or its text."""
    job = await _load_own_order(callback, callback_data, ctx)
    if job is None:
        return
    await answer_callback(callback)
    await open_draft(ctx, state, _with_result(new_draft(callback_data.action), job))


def _with_result(draft: Draft, job: Job) -> Draft:
    result = job.result or {}
    photo = any(media["kind"] == "photo" for media in result.get("media", ()))
    if photo and result.get("file_ids"):
        draft = draft.with_photo(FileRef(kind="photo", file_id=result["file_ids"][0], size=0))
    return draft.with_prompt(result["text"]) if result.get("text") else draft


@router.callback_query(ResultCallback.filter())
async def _change_input(
    callback: CallbackQuery, callback_data: ResultCallback, ctx: UserContext, state: FSMContext
) -> None:
    """Open the same order again to change one input: all remaining actions are ids of inputs."""
    job = await _load_own_order(callback, callback_data, ctx)
    if job is None:
        return
    await answer_callback(callback)
    draft = new_draft(job.service, job.inputs)
    await save_draft(state, draft)
    await show_input(callback, ctx, state, draft, callback_data.action)


async def _load_own_order(callback: CallbackQuery, callback_data: ResultCallback, ctx: UserContext) -> Job | None:
    """The user's own order that the button belongs to. If there is none, answer the callback and return None."""
    job = await find_own_order(ctx.db, ctx.user.id, callback_data.job)
    if job is None:
        await answer_stale(callback, ctx)
    return job
