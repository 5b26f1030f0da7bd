"""Words that were not typed: spoken prompts, and prompts that were made richer."""

import secrets

from aiogram import F, Router
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery, Message
from loguru import logger

from handlers.context import UserContext, answer_callback
from handlers.media.uploads import receive_file
from handlers.order.draft import Draft, Ordering, load_draft, new_draft
from handlers.order.wizard import discard_stale_draft, load_current_draft, open_draft, submit_text
from providers.protocols import ErrorKind, ProviderError
from services.core.errors import Failure
from services.generation.inputs import FileInput, TextInput
from services.generation.registry import SERVICES
from services.messaging.buttons import DraftCallback, button, keyboard
from services.messaging.files import download_file

router = Router(name="words")
_MAX_VOICE_SECONDS = 120
IMPROVED_PROMPT_KEY = "_improved"


def expected_text_input(draft: Draft) -> TextInput | None:
    """The text that is asked for, or that words sent at the card belong to."""
    if draft.asking:
        return draft.current_input if isinstance(draft.current_input, TextInput) else None
    takes_voice = any(isinstance(i, FileInput) and "voice" in i.kinds for i in draft.spec.inputs)
    return None if takes_voice else draft.spec.text_input


@router.message(Ordering.asking, F.voice)
@router.message(Ordering.card, F.voice)
async def _receive_voice(message: Message, ctx: UserContext, state: FSMContext) -> None:
    """A spoken prompt works wherever a typed one does."""
    draft = await load_draft(state)
    if draft is None:
        await discard_stale_draft(ctx, state)
        return
    text_input = expected_text_input(draft)
    if text_input is None:
        await receive_file(message, ctx, state)  # a recording that the service asks for
        return
    prompt = await transcribe_voice(message, ctx)
    if prompt:
        await submit_text(ctx, state, draft, text_input, prompt)


@router.message(F.voice)
async def _start_order_from_voice(message: Message, ctx: UserContext, state: FSMContext) -> None:
    spec = next(spec for spec in SERVICES.values() if spec.takes_free_text)
    asked = spec.text_input
    words = await transcribe_voice(message, ctx)
    if words and asked:
        await submit_text(ctx, state, new_draft(spec.id), asked, words)


async def transcribe_voice(message: Message, ctx: UserContext) -> str | None:
    """What was said, repeated to the person; None where it could not be understood, which is said too."""
    assert message.voice  # noqa: S101 - the filters say so
    if message.voice.duration > _MAX_VOICE_SECONDS:
        await ctx.send(ctx.t("words.too_long", seconds=_MAX_VOICE_SECONDS))
        return None
    try:
        audio = await download_file(ctx.bot, message.voice.file_id)
        text = await ctx.app.providers.transcription.transcribe(audio, "voice.ogg", ctx.user.language)
    except (ProviderError, Failure) as error:
        logger.info("a voice of {} was not understood: {}", ctx.user.id, error)
        unintelligible = isinstance(error, ProviderError) and error.kind is ErrorKind.BAD_INPUT
        await ctx.send(ctx.t("words.not_heard" if unintelligible else "words.no_ear"))
        return None
    return text


@router.callback_query(DraftCallback.filter(F.action == "improve"))
async def _improve(
    callback: CallbackQuery, callback_data: DraftCallback, ctx: UserContext, state: FSMContext
) -> None:
    """Show richer words first; they are used only if the person says so."""
    draft = await load_current_draft(callback, callback_data, ctx, state)
    text = draft.spec.text_input if draft else None
    if draft is None or text is None:
        return
    await answer_callback(callback)
    try:
        improved = await ctx.app.providers.text.improve(draft.values[text.id], ctx.user.language)
    except ProviderError as error:
        logger.info("words of {} were not improved: {}", ctx.user.id, error)
        await ctx.send(ctx.t("words.not_improved"))
        return
    await state.update_data({"values": {**draft.values, IMPROVED_PROMPT_KEY: improved}})
    rows = [
        [button(ctx.t("button.use"), DraftCallback(draft=draft.id, action="use", value=secrets.token_hex(2)))],
        [button(ctx.t("button.keep"), DraftCallback(draft=draft.id, action="card"))],
    ]
    await ctx.edit_or_send(callback, ctx.t("words.improved", words=improved), keyboard(rows))


@router.callback_query(DraftCallback.filter(F.action == "use"))
async def _use_improved(
    callback: CallbackQuery, callback_data: DraftCallback, ctx: UserContext, state: FSMContext
) -> None:
    draft = await load_current_draft(callback, callback_data, ctx, state)
    text = draft.spec.text_input if draft else None
    if draft is None or text is None:
        return
    await answer_callback(callback)
    prompt = draft.values.get(IMPROVED_PROMPT_KEY) or draft.values[text.id]
    user_options = await ctx.user_options(draft.spec)
    await open_draft(ctx, state, draft.with_values(user_options, **{text.id: prompt[: text.max_length]}), callback)
