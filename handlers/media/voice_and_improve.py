"""Prompts from voice messages, and improved prompts."""

import secrets
from typing import Final

from aiogram import F, Router
from aiogram.filters import StateFilter
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery, Message
from loguru import logger

from handlers.context import UserContext, answer_callback
from handlers.filters import Matches
from handlers.media.uploads import receive_file
from handlers.order.draft import Draft, Ordering, load_draft
from handlers.order.wizard import (
    discard_stale_draft,
    load_current_draft,
    open_draft,
    open_free_text_order,
    submit_text,
)
from providers.protocols import ErrorKind, ProviderError
from services.core.errors import Failure
from services.generation.inputs import FileInput, TextInput
from services.messaging.buttons import DraftCallback, button, keyboard
from services.messaging.files import download_file

router = Router(name="voice_and_improve")
_MAX_VOICE_SECONDS: Final = 120
_IMPROVED_PROMPT_KEY: Final = "_improved"


def _expected_text_input(draft: Draft) -> TextInput | None:
    """The input that a transcribed voice message is for.

    Returns:
        The text input that is asked for or, if the card is open, the prompt. None if a recording is expected instead.
    """
    if draft.question_id:
        return draft.current_input if isinstance(draft.current_input, TextInput) else None
    takes_voice = any(isinstance(i, FileInput) and "voice" in i.kinds for i in draft.spec.inputs)
    return None if takes_voice else draft.spec.text_input


@router.message(StateFilter(Ordering.answering, Ordering.card), Matches(F.voice))
async def _receive_voice(message: Message, ctx: UserContext, state: FSMContext) -> None:
    """Use a voice message as text wherever text is expected."""
    draft = await load_draft(state)
    if draft is None:
        await discard_stale_draft(ctx, state)
        return
    text_input = _expected_text_input(draft)
    if text_input is None:
        await receive_file(message, ctx, state)  # the service asks for a recording
        return
    prompt = await transcribe_voice(message, ctx)
    if prompt:
        await submit_text(ctx, state, draft, text_input, prompt)


@router.message(Matches(F.voice))
async def _start_order_from_voice(message: Message, ctx: UserContext, state: FSMContext) -> None:
    if prompt := await transcribe_voice(message, ctx):
        await open_free_text_order(ctx, state, prompt)


async def transcribe_voice(message: Message, ctx: UserContext) -> str | None:
    """Transcribe a voice message.

    Args:
        message: The voice message.
        ctx: The user who sent it.

    Returns:
        The text; None if the message is too long or could not be transcribed, in which case the user has been told.
    """
    assert message.voice  # noqa: S101 - the filters say so
    if message.voice.duration > _MAX_VOICE_SECONDS:
        await ctx.send(ctx.t("words.too_long", seconds=_MAX_VOICE_SECONDS))
        return None
    try:
        audio = await download_file(ctx.bots, ctx.bot_name, message.voice.file_id)
        return await ctx.providers.transcription.transcribe(audio, "voice.ogg", ctx.language)
    except (ProviderError, Failure) as error:
        logger.warning("voice message not transcribed", error=error)
        unintelligible = isinstance(error, ProviderError) and error.kind is ErrorKind.BAD_INPUT
        await ctx.send(ctx.t("words.not_heard" if unintelligible else "words.no_ear"))
        return None


@router.callback_query(DraftCallback.filter(F.action == "improve"))
async def _improve(
    callback: CallbackQuery, callback_data: DraftCallback, ctx: UserContext, state: FSMContext
) -> None:
    """Show an improved prompt. It replaces the user's own only if they choose it."""
    draft = await load_current_draft(callback, callback_data, ctx, state)
    text = draft.spec.text_input if draft else None
    if draft is None or text is None:
        return
    await answer_callback(callback)
    try:
        improved = await ctx.providers.text.improve(draft.values[text.id], ctx.language)
    except ProviderError as error:
        logger.warning("prompt not improved", error=error)
        await ctx.send(ctx.t("words.not_improved"))
        return
    await state.update_data({"values": {**draft.values, _IMPROVED_PROMPT_KEY: improved}})
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
    prompt = draft.values.get(_IMPROVED_PROMPT_KEY) or draft.values[text.id]
    user_options = await ctx.user_options(draft.spec)
    await open_draft(ctx, state, draft.with_values(user_options, **{text.id: prompt[: text.max_length]}), callback)
