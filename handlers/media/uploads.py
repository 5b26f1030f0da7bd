"""Files for an order: one photo, film or recording; or many photos, counted until /done."""

import asyncio

from aiogram import F, Router
from aiogram.exceptions import TelegramAPIError
from aiogram.filters import Command
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery, InlineKeyboardMarkup, Message

from handlers.context import Desk, answer
from handlers.media.files import file_of, look_inside, required_file
from handlers.order.draft import Draft, Ordering, load_draft, save_draft
from handlers.order.wizard import PHOTO, current, lost, open_draft
from services.core.errors import Refused
from services.generation.inputs import FileInput, FileRef, PhotosInput
from services.generation.registry import SERVICES
from services.messaging.buttons import DraftTap, ServiceTap, button, keyboard
from services.messaging.telegram_errors import nothing_to_edit

router = Router(name="uploads")
_COUNT_EVERY = 1.0

_FILES = F.photo | F.document | F.voice | F.audio | F.video | F.video_note


@router.message(Ordering.asking, Command("done"))
async def done(message: Message, desk: Desk, state: FSMContext) -> None:
    draft = await load_draft(state)
    if draft is None:
        await lost(desk, state)
    else:
        await finish_photos(desk, state, draft)


@router.callback_query(DraftTap.filter(F.action == "done"))
async def tap_done(tap: CallbackQuery, callback_data: DraftTap, desk: Desk, state: FSMContext) -> None:
    draft = await current(tap, callback_data, desk, state)
    if draft is None:
        return
    await answer(tap)
    await finish_photos(desk, state, draft)


async def finish_photos(desk: Desk, state: FSMContext, draft: Draft) -> None:
    """Go on from the photos, or say how many are missing."""
    asked = draft.asked
    if not isinstance(asked, PhotosInput):
        await open_draft(desk, state, draft)
        return
    try:
        photos = asked.check(draft.values.get(_gathered(asked)), draft.values, {})
    except Refused as refused:
        await desk.say(desk.t(refused.key, **refused.params))
        return
    await open_draft(desk, state, draft.model_copy(update={"values": {**draft.values, asked.id: photos}}))


@router.message(Ordering.asking, _FILES)
@router.message(Ordering.card, _FILES)
async def take_file(message: Message, desk: Desk, state: FSMContext) -> None:
    draft = await load_draft(state)
    if draft is None:
        await lost(desk, state)
        return
    asked = draft.asked or _place_for(draft, file_of(message))
    if not isinstance(asked, FileInput | PhotosInput):
        await desk.say(desk.t("input.text_please"))
        return
    try:
        file = required_file(message)
        asked.check_file(file)
        await look_inside(desk.bot, file)
    except Refused as refused:
        hint = desk.t(f"service.{draft.service}.ask.{asked.id}")
        await desk.say(f"{desk.t(refused.key, **refused.params)}\n\n{hint}")
        return
    if isinstance(asked, PhotosInput):
        await add_photo(desk, state, draft, asked, file)
    else:
        await open_draft(
            desk, state, draft.model_copy(update={"values": {**draft.values, asked.id: file.model_dump()}})
        )


def _place_for(draft: Draft, file: FileRef | None) -> FileInput | None:
    """Where the card has a place for this kind of file; else its first place for any."""
    places = [i for i in draft.spec.inputs if isinstance(i, FileInput)]
    fitting = (i for i in places if file is not None and file.kind in i.kinds)
    return next(fitting, places[0] if places else None)


def _gathered(asked: PhotosInput) -> str:
    """Where the draft keeps photos that are still being sent."""
    return f"_{asked.id}"


async def add_photo(desk: Desk, state: FSMContext, draft: Draft, asked: PhotosInput, photo: FileRef) -> None:
    """Put one more photo to the others; one message counts them all."""
    photos = list(draft.values.get(_gathered(asked), []))
    if len(photos) >= asked.most:
        if len(photos) == asked.most and not draft.values.get("_full"):
            await save_draft(state, draft.model_copy(update={"values": {**draft.values, "_full": True}}))
            await desk.say(desk.t("input.too_many_photos", most=asked.most))
        return
    photos.append(photo.model_dump())
    draft = draft.model_copy(update={"values": {**draft.values, _gathered(asked): photos}})
    await save_draft(state, draft)
    if not draft.counter:
        counter = await count_photos(desk, draft, asked, len(photos))
        await save_draft(state, draft.model_copy(update={"counter": counter}))
    elif desk.chat_id not in _counting:
        _counting.add(desk.chat_id)
        desk.studio.background.spawn(_count_soon(desk, state), f"photos-{desk.chat_id}")


_counting: set[int] = set()
"""Chats whose count of photos will be shown in a moment."""


async def _count_soon(desk: Desk, state: FSMContext) -> None:
    """Edits count as sends: the count is shown once a second at most, however fast an album comes in."""
    try:
        await asyncio.sleep(_COUNT_EVERY)
    finally:
        _counting.discard(desk.chat_id)
    draft = await load_draft(state)
    if draft is not None and draft.counter and isinstance(draft.asked, PhotosInput):
        await count_photos(desk, draft, draft.asked, len(draft.values.get(_gathered(draft.asked), ())))


async def count_photos(desk: Desk, draft: Draft, asked: PhotosInput, count: int) -> int:
    """Show how many photos there are; the id of the message that shows it."""
    text = f"{desk.t('photos.count', count)}\n{desk.t('photos.more', least=asked.least, most=asked.most)}"
    markup = keyboard([[button(desk.t("button.done"), DraftTap(draft=draft.id, action="done"))]])
    if not draft.counter:
        return (await desk.say(text, markup)).message_id
    try:
        await _edit(desk, draft.counter, text, markup)
    except TelegramAPIError as error:
        if not nothing_to_edit(error):
            raise
    return draft.counter


async def _edit(desk: Desk, message_id: int, text: str, markup: InlineKeyboardMarkup) -> None:
    await desk.bot.edit_message_text(text, chat_id=desk.chat_id, message_id=message_id, reply_markup=markup)


@router.message(_FILES)
async def photo_out_of_the_blue(message: Message, desk: Desk, state: FSMContext) -> None:
    """A photo that nobody asked for: offer what can be made of it."""
    file = file_of(message)
    takers = [
        s for s in SERVICES.values() if any(isinstance(i, FileInput) and "photo" in i.kinds for i in s.inputs)
    ]
    if file is None or file.kind != "photo":
        await desk.say(desk.t("other.file"))
        return
    try:
        await look_inside(desk.bot, file)
    except Refused as refused:
        await desk.say(desk.t(refused.key, **refused.params))
        return
    await state.set_data({PHOTO: file.model_dump()})
    await state.set_state(Ordering.offered)
    rows = [[button(f"{s.emoji} {desk.t(f'service.{s.id}.name')} ", ServiceTap(service=s.id))] for s in takers]
    await desk.say(desk.t("other.photo"), keyboard(rows))
