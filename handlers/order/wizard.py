"""Ordering: one wizard for every service, made from its spec. Files are uploads.py's, spoken words words.py's."""

from aiogram import F, Router
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery, Message

from handlers.context import UserContext, answer_callback
from handlers.credit_packs import packs_keyboard
from handlers.order.draft import Draft, Ordering, load_draft, new_draft, save_draft
from handlers.order.views import draft_view, menu_button_keyboard, options_view, price_of, question_view
from services.core.errors import InsufficientCredits, InvalidRequest
from services.dispatch import AcceptedOrder, Order
from services.generation.inputs import ChoiceInput, FileRef, TextInput
from services.generation.registry import SERVICES
from services.messaging.buttons import DraftCallback, ServiceCallback, cancel_keyboard
from services.messaging.progress import edit_progress, queued_text, waiting_text
from storage.jobs.jobs import get_job_by_order_key

router = Router(name="order")
PENDING_PHOTO_KEY = "photo"
"""Where the state keeps a photo that was sent before a service was chosen for it."""


async def open_draft(
    ctx: UserContext, state: FSMContext, draft: Draft, callback: CallbackQuery | None = None
) -> None:
    """Begin or go on with a draft: ask for what is missing, or show its card."""
    user_options = await ctx.user_options(draft.spec)
    draft = draft.with_values(user_options).with_next_question()
    if callback is None:  # an older message shows other words, and perhaps another price
        draft = draft.with_new_id()
    await save_draft(state, draft)
    rendered = await draft_view(ctx, draft)
    if callback is None:
        await ctx.send(*rendered)
    else:
        await ctx.edit_or_send(callback, *rendered)


@router.callback_query(ServiceCallback.filter())
async def _start_order(
    callback: CallbackQuery, callback_data: ServiceCallback, ctx: UserContext, state: FSMContext
) -> None:
    if callback_data.service not in SERVICES:
        await answer_callback(callback, ctx.t("stale.button"), alert=True)
        return
    await answer_callback(callback)
    draft = new_draft(callback_data.service)
    if photo := (await state.get_data()).get(PENDING_PHOTO_KEY):
        draft = draft.with_photo(FileRef.model_validate(photo))
    await open_draft(ctx, state, draft, callback)


@router.message(Ordering.asking, F.text, ~F.text.startswith("/"))
async def _receive_text(message: Message, ctx: UserContext, state: FSMContext) -> None:
    draft = await load_draft(state)
    if draft is None:
        await discard_stale_draft(ctx, state)
    elif isinstance(draft.current_input, TextInput):
        await submit_text(ctx, state, draft, draft.current_input, message.text or "")
    else:
        await ctx.send(*question_view(ctx, draft, await ctx.user_options(draft.spec)))


@router.message(Ordering.card, F.text, ~F.text.startswith("/"))
async def _change_prompt(message: Message, ctx: UserContext, state: FSMContext) -> None:
    """Words sent while the card is open are the new words of the order."""
    draft = await load_draft(state)
    if draft is None:
        await discard_stale_draft(ctx, state)
    elif draft.spec.text_input is None:
        await ctx.send(*await draft_view(ctx, draft))
    else:
        await submit_text(ctx, state, draft, draft.spec.text_input, message.text or "")


async def submit_text(ctx: UserContext, state: FSMContext, draft: Draft, text_input: TextInput, text: str) -> None:
    """Put an answer into the draft and go on, or say what to change."""
    user_options = await ctx.user_options(draft.spec)
    try:
        value = text_input.validate(text, draft.values, user_options)
    except InvalidRequest as refused:
        await ctx.send(ctx.t(refused.key, **refused.params))
        return
    await open_draft(ctx, state, draft.with_values(user_options, **{text_input.id: value}))


@router.message(Ordering.asking, ~F.text)
@router.message(Ordering.card, ~F.text)
async def _receive_non_text(message: Message, ctx: UserContext, state: FSMContext) -> None:
    draft = await load_draft(state)
    if draft is None or draft.current_input is None or isinstance(draft.current_input, TextInput):
        await ctx.send(ctx.t("input.text_please"))
    else:
        await ctx.send(*question_view(ctx, draft, await ctx.user_options(draft.spec)))


async def discard_stale_draft(ctx: UserContext, state: FSMContext) -> None:
    await state.clear()
    await ctx.send(ctx.t("stale.draft"), menu_button_keyboard(ctx))


@router.callback_query(DraftCallback.filter(F.action == "confirm"))
async def _confirm(
    callback: CallbackQuery, callback_data: DraftCallback, ctx: UserContext, state: FSMContext
) -> None:
    """Order at the price that the button says; where it costs more by now, another card says so."""
    draft = await load_current_draft(callback, callback_data, ctx, state)
    if draft is None:
        return
    if callback_data.value.isdigit() and price_of(ctx, draft) > int(callback_data.value):
        await answer_callback(callback, ctx.t("order.dearer"), alert=True)
        await open_draft(ctx, state, draft)
        return
    await answer_callback(callback)
    try:
        message_id = callback.message.message_id if callback.message else None
        accepted = await place_order(ctx, draft.order_key(ctx.user.id), draft, message_id)
    except InsufficientCredits as short:
        await ctx.send(ctx.t("order.missing", short.missing_credits), packs_keyboard(ctx, short.missing_credits))
        return
    except InvalidRequest as refused:
        await ctx.send(ctx.t(refused.key, **refused.params))
        if refused.key == "input.not_offered":
            await open_draft(ctx, state, draft)
        return
    await state.clear()
    await show_accepted(ctx, accepted)


async def place_order(ctx: UserContext, key: str, draft: Draft, message_id: int | None) -> AcceptedOrder:
    """Hand the draft to dispatch. Raises Refused, NotEnough."""
    return await ctx.dispatcher.dispatch(
        Order(
            key=key,
            service=draft.service,
            inputs=draft.values,
            user_id=ctx.user.id,
            bot_name=ctx.bot_name,
            chat_id=ctx.chat_id,
            language=ctx.user.language,
            progress_message_id=message_id,
            discount_percent=ctx.user.discount,
        )
    )


async def show_accepted(ctx: UserContext, accepted: AcceptedOrder) -> None:
    """Turn the card into the progress message; once the job runs, its runner does the telling."""
    job = accepted.job
    text = (
        waiting_text(ctx.app, job)
        if accepted.waits_for_inngest
        else queued_text(ctx.app, job, accepted.queue_position)
    )
    if accepted.is_new and ctx.app.throttle.allow(job.id, text):
        await edit_progress(ctx.app, job, text, cancel_keyboard(ctx.app.texts, job))


@router.callback_query(DraftCallback.filter(F.action == "show"))
async def _show_input(
    callback: CallbackQuery, callback_data: DraftCallback, ctx: UserContext, state: FSMContext
) -> None:
    draft = await load_current_draft(callback, callback_data, ctx, state)
    if draft is None:
        return
    await answer_callback(callback)
    await show_options(callback, ctx, state, draft, callback_data.input)


async def show_options(
    callback: CallbackQuery, ctx: UserContext, state: FSMContext, draft: Draft, input_id: str
) -> None:
    """Let the person change one input of the draft."""
    selected_input, user_options = draft.spec.input(input_id), await ctx.user_options(draft.spec)
    if isinstance(selected_input, ChoiceInput):
        await ctx.edit_or_send(callback, *options_view(ctx, draft, selected_input, user_options))
    elif selected_input is not None:
        draft = draft.with_question(selected_input.id)
        await save_draft(state, draft)
        await ctx.edit_or_send(callback, *question_view(ctx, draft, user_options))


@router.callback_query(DraftCallback.filter(F.action == "set"))
async def _set_choice(
    callback: CallbackQuery, callback_data: DraftCallback, ctx: UserContext, state: FSMContext
) -> None:
    draft = await load_current_draft(callback, callback_data, ctx, state)
    if draft is None:
        return
    await answer_callback(callback)
    user_options = await ctx.user_options(draft.spec)
    await open_draft(
        ctx, state, draft.with_values(user_options, **{callback_data.input: callback_data.value}), callback
    )


@router.callback_query(DraftCallback.filter(F.action == "card"))
async def _back_to_card(
    callback: CallbackQuery, callback_data: DraftCallback, ctx: UserContext, state: FSMContext
) -> None:
    draft = await load_current_draft(callback, callback_data, ctx, state)
    if draft is None:
        return
    await answer_callback(callback)
    await open_draft(ctx, state, draft, callback)


async def load_current_draft(
    callback: CallbackQuery, callback_data: DraftCallback, ctx: UserContext, state: FSMContext
) -> Draft | None:
    """The draft that the button belongs to; a button of an older one is answered here."""
    draft = await load_draft(state)
    if draft is not None and draft.id == callback_data.draft:
        return draft
    key = Draft(id=callback_data.draft, service="", values={}).order_key(ctx.user.id)
    ordered = await get_job_by_order_key(ctx.app.db, key)
    await answer_callback(callback, ctx.t("stale.ordered" if ordered else "stale.button"), alert=ordered is None)
    return None
