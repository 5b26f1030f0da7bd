"""Ordering: one wizard for every service, driven by its spec.

handlers/media/uploads.py handles files, handlers/media/voice_and_improve.py voice messages.
"""

from typing import Final

from aiogram import F, Router
from aiogram.filters import StateFilter
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery, Message

from handlers.context import UserContext, answer_callback, answer_stale
from handlers.credit_packs import packs_keyboard
from handlers.filters import PLAIN_TEXT, Matches
from handlers.order.draft import Draft, Ordering, load_draft, new_draft, save_draft
from handlers.order.views import draft_view, options_view, price_of, question_view
from handlers.views import menu_button_keyboard
from services.core.errors import InsufficientCredits, InvalidRequest
from services.dispatch import AcceptedOrder
from services.generation.inputs import ChoiceInput, FileRef, TextInput
from services.generation.registry import SERVICES
from services.history.orders import was_ordered
from services.messaging.buttons import DraftCallback, ServiceCallback
from services.messaging.progress import queued_text, show_waiting, waiting_text

router = Router(name="order")

PENDING_PHOTO_KEY: Final = "photo"
"""The key under which the conversation keeps a photo that was sent before a service was chosen for it."""


async def open_draft(
    ctx: UserContext, state: FSMContext, draft: Draft, callback: CallbackQuery | None = None
) -> None:
    """Start or continue a draft: ask for the next missing input, or show the card if there is none.

    Args:
        ctx: The user.
        state: The conversation, which stores the draft.
        draft: The draft.
        callback: The tap whose message will show the draft. If None, the draft gets a new id and a new message. Older
            messages show another prompt and perhaps another price, so their buttons must not order this draft.
    """
    draft = draft.with_values(await ctx.user_options(draft.spec)).with_next_question()
    if callback is None:
        draft = draft.with_new_id()
    await save_draft(state, draft)
    view = await draft_view(ctx, draft)
    if callback is None:
        await ctx.send(*view)
    else:
        await ctx.edit_or_send(callback, *view)


async def submit_text(ctx: UserContext, state: FSMContext, draft: Draft, text_input: TextInput, text: str) -> None:
    """Put a typed answer into the draft and continue; if the answer is invalid, reply with the reason.

    Args:
        ctx: The user.
        state: The conversation, which stores the draft.
        draft: The draft.
        text_input: The input that the text is for.
        text: The answer.
    """
    user_options = await ctx.user_options(draft.spec)
    try:
        value = text_input.validate(text, draft.values, user_options)
    except InvalidRequest as refused:
        await ctx.send(ctx.failure_text(refused))
        return
    await open_draft(ctx, state, draft.with_values(user_options, **{text_input.id: value}))


async def open_free_text_order(ctx: UserContext, state: FSMContext, prompt: str) -> bool:
    """Open a draft of the service that takes prompts sent outside any order.

    Returns:
        False if no service does.
    """
    spec = next((spec for spec in SERVICES.values() if spec.takes_free_text), None)
    if spec is None or spec.text_input is None:
        return False
    await submit_text(ctx, state, new_draft(spec.id), spec.text_input, prompt)
    return True


async def show_accepted(ctx: UserContext, accepted: AcceptedOrder) -> None:
    """Turn the draft's card into the progress message of the order. Once the job runs, its worker edits the message."""
    if not accepted.is_new:
        return
    job = accepted.job
    if accepted.waits_for_inngest:
        text = waiting_text(ctx.texts, job)
    else:
        text = queued_text(ctx.texts, job, accepted.queue_position)
    await show_waiting(ctx.messenger, job, text)


async def show_input(
    callback: CallbackQuery, ctx: UserContext, state: FSMContext, draft: Draft, input_id: str
) -> None:
    """Let the user change one input of the draft, in the message whose button they tapped.

    Args:
        callback: The tap on the button.
        ctx: The user.
        state: The conversation, which stores the draft.
        draft: The draft.
        input_id: The id of the input. Nothing happens if the service has no such input.
    """
    selected, user_options = draft.spec.input(input_id), await ctx.user_options(draft.spec)
    if isinstance(selected, ChoiceInput):
        await ctx.edit_or_send(callback, *options_view(ctx, draft, selected, user_options))
    elif selected is not None:
        draft = draft.with_question(selected.id)
        await save_draft(state, draft)
        await ctx.edit_or_send(callback, *question_view(ctx, draft, user_options))


async def load_current_draft(
    callback: CallbackQuery, callback_data: DraftCallback, ctx: UserContext, state: FSMContext
) -> Draft | None:
    """Load the draft that a button belongs to.

    Returns:
        The draft; None if the button belongs to an older one, in which case the callback has been answered.
    """
    draft = await load_draft(state)
    if draft is not None and draft.id == callback_data.draft:
        return draft
    key = Draft(id=callback_data.draft, service="", values={}).order_key(ctx.user.id)
    if await was_ordered(ctx.db, key):
        await answer_callback(callback, ctx.t("stale.ordered"))
    else:
        await answer_stale(callback, ctx)
    return None


async def discard_stale_draft(ctx: UserContext, state: FSMContext) -> None:
    """End the conversation about a draft that no longer exists, and tell the user."""
    await state.clear()
    await ctx.send(ctx.t("stale.draft"), menu_button_keyboard(ctx))


@router.callback_query(ServiceCallback.filter())
async def _start_order(
    callback: CallbackQuery, callback_data: ServiceCallback, ctx: UserContext, state: FSMContext
) -> None:
    if callback_data.service not in SERVICES:
        await answer_stale(callback, ctx)
        return
    await answer_callback(callback)
    draft = new_draft(callback_data.service)
    if photo := (await state.get_data()).get(PENDING_PHOTO_KEY):
        draft = draft.with_photo(FileRef.model_validate(photo))
    await open_draft(ctx, state, draft, callback)


@router.message(StateFilter(Ordering.answering), PLAIN_TEXT)
async def _receive_text(message: Message, ctx: UserContext, state: FSMContext) -> None:
    draft = await load_draft(state)
    if draft is None:
        await discard_stale_draft(ctx, state)
    elif isinstance(draft.current_input, TextInput):
        await submit_text(ctx, state, draft, draft.current_input, message.text or "")
    else:
        await ctx.send(*question_view(ctx, draft, await ctx.user_options(draft.spec)))


@router.message(StateFilter(Ordering.card), PLAIN_TEXT)
async def _change_prompt(message: Message, ctx: UserContext, state: FSMContext) -> None:
    """Use text that is sent while the card is open as the new prompt."""
    draft = await load_draft(state)
    if draft is None:
        await discard_stale_draft(ctx, state)
    elif draft.spec.text_input is None:
        await ctx.send(*await draft_view(ctx, draft))
    else:
        await submit_text(ctx, state, draft, draft.spec.text_input, message.text or "")


@router.message(StateFilter(Ordering.answering, Ordering.card), Matches(~F.text))
async def _receive_non_text(message: Message, ctx: UserContext, state: FSMContext) -> None:
    draft = await load_draft(state)
    if draft is None or draft.current_input is None or isinstance(draft.current_input, TextInput):
        await ctx.send(ctx.t("input.text_please"))
    else:
        await ctx.send(*question_view(ctx, draft, await ctx.user_options(draft.spec)))


@router.callback_query(DraftCallback.filter(F.action == "confirm"))
async def _confirm(
    callback: CallbackQuery, callback_data: DraftCallback, ctx: UserContext, state: FSMContext
) -> None:
    """Order at the price on the button. If the order now costs more, show a new card with the new price instead."""
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
        order = ctx.build_order(draft.order_key(ctx.user.id), draft.service, draft.values, message_id)
        accepted = await ctx.dispatcher.dispatch(order)
    except InsufficientCredits as failure:
        await ctx.send(
            ctx.t("order.missing", failure.missing_credits), packs_keyboard(ctx, failure.missing_credits)
        )
        return
    except InvalidRequest as refused:
        await ctx.send(ctx.failure_text(refused))
        if refused.key == "input.not_offered":
            await open_draft(ctx, state, draft)
        return
    await state.clear()
    await show_accepted(ctx, accepted)


@router.callback_query(DraftCallback.filter(F.action == "show"))
async def _show_input(
    callback: CallbackQuery, callback_data: DraftCallback, ctx: UserContext, state: FSMContext
) -> None:
    draft = await load_current_draft(callback, callback_data, ctx, state)
    if draft is None:
        return
    await answer_callback(callback)
    await show_input(callback, ctx, state, draft, callback_data.input)


@router.callback_query(DraftCallback.filter(F.action == "set"))
async def _set_choice(
    callback: CallbackQuery, callback_data: DraftCallback, ctx: UserContext, state: FSMContext
) -> None:
    draft = await load_current_draft(callback, callback_data, ctx, state)
    if draft is None:
        return
    await answer_callback(callback)
    user_options = await ctx.user_options(draft.spec)
    draft = draft.with_values(user_options, **{callback_data.input: callback_data.value})
    await open_draft(ctx, state, draft, callback)


@router.callback_query(DraftCallback.filter(F.action == "card"))
async def _back_to_card(
    callback: CallbackQuery, callback_data: DraftCallback, ctx: UserContext, state: FSMContext
) -> None:
    draft = await load_current_draft(callback, callback_data, ctx, state)
    if draft is None:
        return
    await answer_callback(callback)
    await open_draft(ctx, state, draft, callback)
