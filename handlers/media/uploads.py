"""Files for an order: a single photo, video or recording, or many photos, which are counted until /done."""

import asyncio
from typing import Final

from aiogram import F, Router
from aiogram.exceptions import TelegramAPIError
from aiogram.filters import Command, StateFilter
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery, Message

from handlers.context import UserContext, answer_callback
from handlers.filters import Matches
from handlers.media.files import extract_file, require_file, verify_content
from handlers.order.draft import Draft, Ordering, load_draft, save_draft
from handlers.order.wizard import PENDING_PHOTO_KEY, discard_stale_draft, load_current_draft, open_draft
from handlers.views import service_name
from services.core.errors import InvalidRequest
from services.generation.inputs import FileInput, FileRef, PhotosInput
from services.generation.registry import SERVICES
from services.messaging.buttons import DraftCallback, ServiceCallback, button, keyboard
from services.messaging.telegram_errors import is_edit_unnecessary

router = Router(name="uploads")
_COUNTER_SECONDS: Final = 1.0
_FULL_KEY: Final = "_full"

_HAS_FILE: Final = Matches(F.photo | F.document | F.voice | F.audio | F.video | F.video_note)


@router.message(StateFilter(Ordering.answering), Command("done"))
async def _done(message: Message, ctx: UserContext, state: FSMContext) -> None:
    """Finish sending the photos for a training."""
    draft = await load_draft(state)
    if draft is None:
        await discard_stale_draft(ctx, state)
    else:
        await _finish_photos(ctx, state, draft)


@router.callback_query(DraftCallback.filter(F.action == "done"))
async def _done_button(
    callback: CallbackQuery, callback_data: DraftCallback, ctx: UserContext, state: FSMContext
) -> None:
    draft = await load_current_draft(callback, callback_data, ctx, state)
    if draft is None:
        return
    await answer_callback(callback)
    await _finish_photos(ctx, state, draft)


async def _finish_photos(ctx: UserContext, state: FSMContext, draft: Draft) -> None:
    """Continue with the photos that were sent, or say how many are missing."""
    photos_input = draft.current_input
    if not isinstance(photos_input, PhotosInput):
        await open_draft(ctx, state, draft)
        return
    try:
        photos = photos_input.validate(draft.values.get(_pending_photos_key(photos_input)), draft.values, {})
    except InvalidRequest as refused:
        await ctx.send(ctx.failure_text(refused))
        return
    await open_draft(ctx, state, draft.with_raw_values({photos_input.id: photos}))


@router.message(StateFilter(Ordering.answering, Ordering.card), _HAS_FILE)
async def receive_file(message: Message, ctx: UserContext, state: FSMContext) -> None:
    """Use a file as the input that is asked for or, if the card is open, as the input that it fits.

    If the input cannot take the file, answer with the reason and the question again.
    """
    draft = await load_draft(state)
    if draft is None:
        await discard_stale_draft(ctx, state)
        return
    expected = draft.current_input or _input_for(draft, extract_file(message))
    if not isinstance(expected, FileInput | PhotosInput):
        await ctx.send(ctx.t("input.text_please"))
        return
    try:
        file = require_file(message)
        expected.validate_file(file)
        await verify_content(ctx.bots, ctx.bot_name, file)
    except InvalidRequest as refused:
        hint = ctx.t(f"service.{draft.service}.ask.{expected.id}")
        await ctx.send(f"{ctx.failure_text(refused)}\n\n{hint}")
        return
    if isinstance(expected, PhotosInput):
        await _add_photo(ctx, state, draft, expected, file)
    else:
        await open_draft(ctx, state, draft.with_raw_values({expected.id: file.model_dump()}))


def _input_for(draft: Draft, file: FileRef | None) -> FileInput | None:
    """The service's first input for files of this kind, or else its first for any file; None if it has none."""
    file_inputs = [each for each in draft.spec.inputs if isinstance(each, FileInput)]
    matching = (each for each in file_inputs if file is not None and file.kind in each.kinds)
    return next(matching, file_inputs[0] if file_inputs else None)


def _pending_photos_key(photos_input: PhotosInput) -> str:
    """The key under which the draft keeps the photos while they are being sent."""
    return f"_{photos_input.id}"


async def _add_photo(
    ctx: UserContext, state: FSMContext, draft: Draft, photos_input: PhotosInput, photo: FileRef
) -> None:
    """Add a photo to the pending ones. One message shows their number; only the first excess photo gets an answer."""
    key = _pending_photos_key(photos_input)
    photos = list(draft.values.get(key, []))
    if len(photos) >= photos_input.max_count:
        if len(photos) == photos_input.max_count and not draft.values.get(_FULL_KEY):
            await save_draft(state, draft.with_raw_values({_FULL_KEY: True}))
            await ctx.send(ctx.t("input.too_many_photos", most=photos_input.max_count))
        return
    photos.append(photo.model_dump())
    draft = draft.with_raw_values({key: photos})
    await save_draft(state, draft)
    if not draft.counter:
        counter = await _show_photo_count(ctx, draft, photos_input, len(photos))
        await save_draft(state, draft.model_copy(update={"counter": counter}))
    elif ctx.chat_id not in _chats_to_update:
        _chats_to_update.add(ctx.chat_id)
        ctx.background.spawn(_show_photo_count_later(ctx, state), f"photos-{ctx.chat_id}")


_chats_to_update: set[int] = set()
"""Chats whose number of photos is about to be shown."""


async def _show_photo_count_later(ctx: UserContext, state: FSMContext) -> None:
    """Show the number of photos at most once per second, however fast an album arrives: edits count as sends."""
    try:
        await asyncio.sleep(_COUNTER_SECONDS)
    finally:
        _chats_to_update.discard(ctx.chat_id)
    draft = await load_draft(state)
    if draft is not None and draft.counter and isinstance(draft.current_input, PhotosInput):
        photos = draft.values.get(_pending_photos_key(draft.current_input), ())
        await _show_photo_count(ctx, draft, draft.current_input, len(photos))


async def _show_photo_count(ctx: UserContext, draft: Draft, photos_input: PhotosInput, count: int) -> int:
    """Show the number of photos in the draft's counter message, or in a new one. Returns the id of the message."""
    limits = ctx.t("photos.more", least=photos_input.min_count, most=photos_input.max_count)
    text = f"{ctx.t('photos.count', count)}\n{limits}"
    markup = keyboard([[button(ctx.t("button.done"), DraftCallback(draft=draft.id, action="done"))]])
    if not draft.counter:
        return (await ctx.send(text, markup)).message_id
    try:
        await ctx.bot.edit_message_text(text, chat_id=ctx.chat_id, message_id=draft.counter, reply_markup=markup)
    except TelegramAPIError as error:
        if not is_edit_unnecessary(error):
            raise
    return draft.counter


@router.message(_HAS_FILE)
async def _offer_services_for_photo(message: Message, ctx: UserContext, state: FSMContext) -> None:
    """For a photo outside any order, offer the services that take a photo."""
    file = extract_file(message)
    if file is None or file.kind != "photo":
        await ctx.send(ctx.t("other.file"))
        return
    try:
        await verify_content(ctx.bots, ctx.bot_name, file)
    except InvalidRequest as refused:
        await ctx.send(ctx.failure_text(refused))
        return
    await state.set_data({PENDING_PHOTO_KEY: file.model_dump()})
    await state.set_state(Ordering.photo_waiting)
    services = [
        spec
        for spec in SERVICES.values()
        if any(isinstance(each, FileInput) and "photo" in each.kinds for each in spec.inputs)
    ]
    rows = [[button(f"{service_name(ctx, spec)} ", ServiceCallback(service=spec.id))] for spec in services]
    await ctx.send(ctx.t("other.photo"), keyboard(rows))
