"""Ordering: one wizard for every service, made from its spec. Files are uploads.py's, spoken words words.py's."""

from aiogram import F, Router
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery, Message

from handlers.context import Desk, answer
from handlers.credit_packs import packs_keyboard
from handlers.order.draft import Draft, Ordering, load_draft, new_draft, save_draft
from handlers.order.views import menu_only, options, price_of, question, view
from services.core.errors import NotEnough, Refused
from services.dispatch import Accepted, Order
from services.generation.inputs import ChoiceInput, FileRef, TextInput
from services.generation.registry import SERVICES
from services.messaging.buttons import DraftTap, ServiceTap, stop_keyboard
from services.messaging.progress import edit_progress, queued_text, waiting_text
from storage.jobs.jobs import get_job_by_order

router = Router(name="order")
PHOTO = "photo"
"""Where the state keeps a photo that was sent before a service was chosen for it."""


async def open_draft(desk: Desk, state: FSMContext, draft: Draft, tap: CallbackQuery | None = None) -> None:
    """Begin or go on with a draft: ask for what is missing, or show its card."""
    offers = await desk.offers(draft.spec)
    draft = draft.with_values(offers).next_question()
    if tap is None:  # an older message shows other words, and perhaps another price
        draft = draft.renamed()
    await save_draft(state, draft)
    shown = await view(desk, draft)
    if tap is None:
        await desk.say(*shown)
    else:
        await desk.show(tap, *shown)


@router.callback_query(ServiceTap.filter())
async def begin(tap: CallbackQuery, callback_data: ServiceTap, desk: Desk, state: FSMContext) -> None:
    if callback_data.service not in SERVICES:
        await answer(tap, desk.t("stale.button"), alert=True)
        return
    await answer(tap)
    draft = new_draft(callback_data.service)
    if photo := (await state.get_data()).get(PHOTO):
        draft = draft.with_photo(FileRef.model_validate(photo))
    await open_draft(desk, state, draft, tap)


@router.message(Ordering.asking, F.text, ~F.text.startswith("/"))
async def take_text(message: Message, desk: Desk, state: FSMContext) -> None:
    draft = await load_draft(state)
    if draft is None:
        await lost(desk, state)
    elif isinstance(draft.asked, TextInput):
        await take(desk, state, draft, draft.asked, message.text or "")
    else:
        await desk.say(*question(desk, draft, await desk.offers(draft.spec)))


@router.message(Ordering.card, F.text, ~F.text.startswith("/"))
async def change_text(message: Message, desk: Desk, state: FSMContext) -> None:
    """Words sent while the card is open are the new words of the order."""
    draft = await load_draft(state)
    if draft is None:
        await lost(desk, state)
    elif draft.spec.text_input is None:
        await desk.say(*await view(desk, draft))
    else:
        await take(desk, state, draft, draft.spec.text_input, message.text or "")


async def take(desk: Desk, state: FSMContext, draft: Draft, asked: TextInput, text: str) -> None:
    """Put an answer into the draft and go on, or say what to change."""
    offers = await desk.offers(draft.spec)
    try:
        value = asked.check(text, draft.values, offers)
    except Refused as refused:
        await desk.say(desk.t(refused.key, **refused.params))
        return
    await open_draft(desk, state, draft.with_values(offers, **{asked.id: value}))


@router.message(Ordering.asking, ~F.text)
@router.message(Ordering.card, ~F.text)
async def take_other(message: Message, desk: Desk, state: FSMContext) -> None:
    draft = await load_draft(state)
    if draft is None or draft.asked is None or isinstance(draft.asked, TextInput):
        await desk.say(desk.t("input.text_please"))
    else:
        await desk.say(*question(desk, draft, await desk.offers(draft.spec)))


async def lost(desk: Desk, state: FSMContext) -> None:
    await state.clear()
    await desk.say(desk.t("stale.draft"), menu_only(desk))


@router.callback_query(DraftTap.filter(F.action == "confirm"))
async def confirm(tap: CallbackQuery, callback_data: DraftTap, desk: Desk, state: FSMContext) -> None:
    """Order at the price that the button says; where it costs more by now, another card says so."""
    draft = await current(tap, callback_data, desk, state)
    if draft is None:
        return
    if callback_data.value.isdigit() and price_of(desk, draft) > int(callback_data.value):
        await answer(tap, desk.t("order.dearer"), alert=True)
        await open_draft(desk, state, draft)
        return
    await answer(tap)
    try:
        message_id = tap.message.message_id if tap.message else None
        accepted = await place_order(desk, draft.order_key(desk.user.id), draft, message_id)
    except NotEnough as short:
        await desk.say(desk.t("order.missing", short.missing), packs_keyboard(desk, short.missing))
        return
    except Refused as refused:
        await desk.say(desk.t(refused.key, **refused.params))
        if refused.key == "input.not_offered":
            await open_draft(desk, state, draft)
        return
    await state.clear()
    await show_accepted(desk, accepted)


async def place_order(desk: Desk, key: str, draft: Draft, message_id: int | None) -> Accepted:
    """Hand the draft to dispatch. Raises Refused, NotEnough."""
    return await desk.dispatcher.dispatch(
        Order(
            key=key,
            service=draft.service,
            inputs=draft.values,
            user_id=desk.user.id,
            bot_name=desk.bot_name,
            chat_id=desk.chat_id,
            language=desk.user.language,
            progress_message_id=message_id,
            discount=desk.user.discount,
        )
    )


async def show_accepted(desk: Desk, accepted: Accepted) -> None:
    """Turn the card into the progress message; once the job runs, its runner does the telling."""
    job = accepted.job
    text = waiting_text(desk.studio, job) if accepted.waits else queued_text(desk.studio, job, accepted.place)
    if accepted.new and desk.studio.clock.may_show(job.id, text):
        await edit_progress(desk.studio, job, text, stop_keyboard(desk.studio.texts, job))


@router.callback_query(DraftTap.filter(F.action == "show"))
async def show_input(tap: CallbackQuery, callback_data: DraftTap, desk: Desk, state: FSMContext) -> None:
    draft = await current(tap, callback_data, desk, state)
    if draft is None:
        return
    await answer(tap)
    await show_options(tap, desk, state, draft, callback_data.input)


async def show_options(tap: CallbackQuery, desk: Desk, state: FSMContext, draft: Draft, input_id: str) -> None:
    """Let the person change one input of the draft."""
    wanted, offers = draft.spec.input(input_id), await desk.offers(draft.spec)
    if isinstance(wanted, ChoiceInput):
        await desk.show(tap, *options(desk, draft, wanted, offers))
    elif wanted is not None:
        draft = draft.asking_for(wanted.id)
        await save_draft(state, draft)
        await desk.show(tap, *question(desk, draft, offers))


@router.callback_query(DraftTap.filter(F.action == "set"))
async def set_choice(tap: CallbackQuery, callback_data: DraftTap, desk: Desk, state: FSMContext) -> None:
    draft = await current(tap, callback_data, desk, state)
    if draft is None:
        return
    await answer(tap)
    offers = await desk.offers(draft.spec)
    await open_draft(desk, state, draft.with_values(offers, **{callback_data.input: callback_data.value}), tap)


@router.callback_query(DraftTap.filter(F.action == "card"))
async def go_back(tap: CallbackQuery, callback_data: DraftTap, desk: Desk, state: FSMContext) -> None:
    draft = await current(tap, callback_data, desk, state)
    if draft is None:
        return
    await answer(tap)
    await open_draft(desk, state, draft, tap)


async def current(tap: CallbackQuery, callback_data: DraftTap, desk: Desk, state: FSMContext) -> Draft | None:
    """The draft that the button belongs to; a button of an older one is answered here."""
    draft = await load_draft(state)
    if draft is not None and draft.id == callback_data.draft:
        return draft
    key = Draft(id=callback_data.draft, service="", values={}).order_key(desk.user.id)
    ordered = await get_job_by_order(desk.studio.db, key)
    await answer(tap, desk.t("stale.ordered" if ordered else "stale.button"), alert=ordered is None)
    return None
