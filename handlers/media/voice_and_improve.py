"""Words that were not typed: spoken prompts, and prompts that were made richer."""

import secrets

from aiogram import F, Router
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery, Message
from loguru import logger

from handlers.context import Desk, answer
from handlers.media.uploads import take_file
from handlers.order.draft import Draft, Ordering, load_draft, new_draft
from handlers.order.wizard import current, lost, open_draft, take
from providers.protocols import ErrorKind, ProviderError
from services.core.errors import Failure
from services.generation.inputs import FileInput, TextInput
from services.generation.registry import SERVICES
from services.messaging.buttons import DraftTap, button, keyboard
from services.messaging.files import download

router = Router(name="words")
_LONGEST_SECONDS = 120
IMPROVED = "_improved"


def wants_words(draft: Draft) -> TextInput | None:
    """The text that is asked for, or that words sent at the card belong to."""
    if draft.asking:
        return draft.asked if isinstance(draft.asked, TextInput) else None
    takes_voice = any(isinstance(i, FileInput) and "voice" in i.kinds for i in draft.spec.inputs)
    return None if takes_voice else draft.spec.text_input


@router.message(Ordering.asking, F.voice)
@router.message(Ordering.card, F.voice)
async def spoken(message: Message, desk: Desk, state: FSMContext) -> None:
    """A spoken prompt works wherever a typed one does."""
    draft = await load_draft(state)
    if draft is None:
        await lost(desk, state)
        return
    asked = wants_words(draft)
    if asked is None:
        await take_file(message, desk, state)  # a recording that the service asks for
        return
    words = await hear(message, desk)
    if words:
        await take(desk, state, draft, asked, words)


@router.message(F.voice)
async def spoken_out_of_the_blue(message: Message, desk: Desk, state: FSMContext) -> None:
    spec = next(spec for spec in SERVICES.values() if spec.takes_free_text)
    asked = spec.text_input
    words = await hear(message, desk)
    if words and asked:
        await take(desk, state, new_draft(spec.id), asked, words)


async def hear(message: Message, desk: Desk) -> str | None:
    """What was said, repeated to the person; None where it could not be understood, which is said too."""
    assert message.voice  # noqa: S101 - the filters say so
    if message.voice.duration > _LONGEST_SECONDS:
        await desk.say(desk.t("words.too_long", seconds=_LONGEST_SECONDS))
        return None
    try:
        sound = await download(desk.bot, message.voice.file_id)
        words = await desk.studio.providers.transcription.transcribe(sound, "voice.ogg", desk.user.language)
    except (ProviderError, Failure) as error:
        logger.info("a voice of {} was not understood: {}", desk.user.id, error)
        spoken_badly = isinstance(error, ProviderError) and error.kind is ErrorKind.BAD_INPUT
        await desk.say(desk.t("words.not_heard" if spoken_badly else "words.no_ear"))
        return None
    return words


@router.callback_query(DraftTap.filter(F.action == "improve"))
async def improve(tap: CallbackQuery, callback_data: DraftTap, desk: Desk, state: FSMContext) -> None:
    """Show richer words first; they are used only if the person says so."""
    draft = await current(tap, callback_data, desk, state)
    text = draft.spec.text_input if draft else None
    if draft is None or text is None:
        return
    await answer(tap)
    try:
        words = await desk.studio.providers.text.improve(draft.values[text.id], desk.user.language)
    except ProviderError as error:
        logger.info("words of {} were not improved: {}", desk.user.id, error)
        await desk.say(desk.t("words.not_improved"))
        return
    await state.update_data({"values": {**draft.values, IMPROVED: words}})
    rows = [
        [button(desk.t("button.use"), DraftTap(draft=draft.id, action="use", value=secrets.token_hex(2)))],
        [button(desk.t("button.keep"), DraftTap(draft=draft.id, action="card"))],
    ]
    await desk.show(tap, desk.t("words.improved", words=words), keyboard(rows))


@router.callback_query(DraftTap.filter(F.action == "use"))
async def use(tap: CallbackQuery, callback_data: DraftTap, desk: Desk, state: FSMContext) -> None:
    draft = await current(tap, callback_data, desk, state)
    text = draft.spec.text_input if draft else None
    if draft is None or text is None:
        return
    await answer(tap)
    words = draft.values.get(IMPROVED) or draft.values[text.id]
    offers = await desk.offers(draft.spec)
    await open_draft(desk, state, draft.with_values(offers, **{text.id: words[: text.max_length]}), tap)
