"""Files for an order: one photo, film or recording; or many photos, counted until /done."""

import asyncio

from aiogram import F, Router
from aiogram.exceptions import TelegramAPIError
from aiogram.filters import Command
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery, InlineKeyboardMarkup, Message

from handlers.context import UserContext, answer_callback
from handlers.media.files import extract_file, require_file, verify_content
from handlers.order.draft import Draft, Ordering, load_draft, save_draft
from handlers.order.wizard import PENDING_PHOTO_KEY, discard_stale_draft, load_current_draft, open_draft
from services.core.errors import InvalidRequest
from services.generation.inputs import FileInput, FileRef, PhotosInput
from services.generation.registry import SERVICES
from services.messaging.buttons import DraftCallback, ServiceCallback, button, keyboard
from services.messaging.telegram_errors import is_edit_unnecessary

router = Router(name="uploads")
_COUNTER_SECONDS = 1.0

_HAS_FILE = F.photo | F.document | F.voice | F.audio | F.video | F.video_note


@router.message(Ordering.asking, Command("done"))
async def _done(message: Message, ctx: UserContext, state: FSMContext) -> None:
    draft = await load_draft(state)
    if draft is None:
        await discard_stale_draft(ctx, state)
    else:
        await finish_photos(ctx, state, draft)


@router.callback_query(DraftCallback.filter(F.action == "done"))
async def _done_button(
    callback: CallbackQuery, callback_data: DraftCallback, ctx: UserContext, state: FSMContext
) -> None:
    draft = await load_current_draft(callback, callback_data, ctx, state)
    if draft is None:
        return
    await answer_callback(callback)
    await finish_photos(ctx, state, draft)


async def finish_photos(ctx: UserContext, state: FSMContext, draft: Draft) -> None:
    """Go on from the photos, or say how many are missing."""
    asked = draft.current_input
    if not isinstance(asked, PhotosInput):
        await open_draft(ctx, state, draft)
        return
    try:
        photos = asked.validate(draft.values.get(_pending_photos_key(asked)), draft.values, {})
    except InvalidRequest as refused:
        await ctx.send(ctx.t(refused.key, **refused.params))
        return
    await open_draft(ctx, state, draft.model_copy(update={"values": {**draft.values, asked.id: photos}}))


@router.message(Ordering.asking, _HAS_FILE)
@router.message(Ordering.card, _HAS_FILE)
async def receive_file(message: Message, ctx: UserContext, state: FSMContext) -> None:
    draft = await load_draft(state)
    if draft is None:
        await discard_stale_draft(ctx, state)
        return
    asked = draft.current_input or _input_for(draft, extract_file(message))
    if not isinstance(asked, FileInput | PhotosInput):
        await ctx.send(ctx.t("input.text_please"))
        return
    try:
        file = require_file(message)
        asked.validate_file(file)
        await verify_content(ctx.bot, file)
    except InvalidRequest as refused:
        hint = ctx.t(f"service.{draft.service}.ask.{asked.id}")
        await ctx.send(f"{ctx.t(refused.key, **refused.params)}\n\n{hint}")
        return
    if isinstance(asked, PhotosInput):
        await add_photo(ctx, state, draft, asked, file)
    else:
        await open_draft(
            ctx, state, draft.model_copy(update={"values": {**draft.values, asked.id: file.model_dump()}})
        )


def _input_for(draft: Draft, file: FileRef | None) -> FileInput | None:
    """Where the card has a place for this kind of file; else its first place for any."""
    file_inputs = [i for i in draft.spec.inputs if isinstance(i, FileInput)]
    fitting = (i for i in file_inputs if file is not None and file.kind in i.kinds)
    return next(fitting, file_inputs[0] if file_inputs else None)


def _pending_photos_key(photos_input: PhotosInput) -> str:
    """Where the draft keeps photos that are still being sent."""
    return f"_{photos_input.id}"


async def add_photo(
    ctx: UserContext, state: FSMContext, draft: Draft, photos_input: PhotosInput, photo: FileRef
) -> None:
    """Put one more photo to the others; one message counts them all."""
    photos = list(draft.values.get(_pending_photos_key(photos_input), []))
    if len(photos) >= photos_input.max_count:
        if len(photos) == photos_input.max_count and not draft.values.get("_full"):
            await save_draft(state, draft.model_copy(update={"values": {**draft.values, "_full": True}}))
            await ctx.send(ctx.t("input.too_many_photos", most=photos_input.max_count))
        return
    photos.append(photo.model_dump())
    draft = draft.model_copy(update={"values": {**draft.values, _pending_photos_key(photos_input): photos}})
    await save_draft(state, draft)
    if not draft.counter:
        counter = await show_photo_count(ctx, draft, photos_input, len(photos))
        await save_draft(state, draft.model_copy(update={"counter": counter}))
    elif ctx.chat_id not in _chats_to_update:
        _chats_to_update.add(ctx.chat_id)
        ctx.app.background.spawn(_show_photo_count_later(ctx, state), f"photos-{ctx.chat_id}")


_chats_to_update: set[int] = set()
"""Chats whose count of photos will be shown in a moment."""


async def _show_photo_count_later(ctx: UserContext, state: FSMContext) -> None:
    """Edits count as sends: the count is shown once a second at most, however fast an album comes in."""
    try:
        await asyncio.sleep(_COUNTER_SECONDS)
    finally:
        _chats_to_update.discard(ctx.chat_id)
    draft = await load_draft(state)
    if draft is not None and draft.counter and isinstance(draft.current_input, PhotosInput):
        await show_photo_count(
            ctx, draft, draft.current_input, len(draft.values.get(_pending_photos_key(draft.current_input), ()))
        )


async def show_photo_count(ctx: UserContext, draft: Draft, photos_input: PhotosInput, count: int) -> int:
    """Show how many photos there are; the id of the message that shows it."""
    limits = ctx.t("photos.more", least=photos_input.min_count, most=photos_input.max_count)
    text = f"{ctx.t('photos.count', count)}\n{limits}"
    markup = keyboard([[button(ctx.t("button.done"), DraftCallback(draft=draft.id, action="done"))]])
    if not draft.counter:
        return (await ctx.send(text, markup)).message_id
    try:
        await _edit_counter(ctx, draft.counter, text, markup)
    except TelegramAPIError as error:
        if not is_edit_unnecessary(error):
            raise
    return draft.counter


async def _edit_counter(ctx: UserContext, message_id: int, text: str, markup: InlineKeyboardMarkup) -> None:
    await ctx.bot.edit_message_text(text, chat_id=ctx.chat_id, message_id=message_id, reply_markup=markup)


@router.message(_HAS_FILE)
async def _offer_services_for_photo(message: Message, ctx: UserContext, state: FSMContext) -> None:
    """A photo that nobody asked for: offer what can be made of it."""
    file = extract_file(message)
    services = [
        s for s in SERVICES.values() if any(isinstance(i, FileInput) and "photo" in i.kinds for i in s.inputs)
    ]
    if file is None or file.kind != "photo":
        await ctx.send(ctx.t("other.file"))
        return
    try:
        await verify_content(ctx.bot, file)
    except InvalidRequest as refused:
        await ctx.send(ctx.t(refused.key, **refused.params))
        return
    await state.set_data({PENDING_PHOTO_KEY: file.model_dump()})
    await state.set_state(Ordering.offered)
    rows = [
        [button(f"{s.emoji} {ctx.t(f'service.{s.id}.name')} ", ServiceCallback(service=s.id))] for s in services
    ]
    await ctx.send(ctx.t("other.photo"), keyboard(rows))
