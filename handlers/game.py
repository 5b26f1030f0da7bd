"""The game of Leela: `/game`, the die, the reports and the path."""

import asyncio

from aiogram import F, Router
from aiogram.dispatcher.event.bases import SkipHandler
from aiogram.filters import Command, StateFilter
from aiogram.fsm.context import FSMContext
from aiogram.fsm.state import State, StatesGroup
from aiogram.types import BufferedInputFile, CallbackQuery, InlineKeyboardMarkup, Message

from handlers.context import UserContext, answer_callback, answer_stale
from handlers.filters import PLAIN_TEXT, Matches
from handlers.media.voice_and_improve import transcribe_voice
from services.leela import play
from services.leela.board import draw_move, draw_path
from services.leela.captions import move_caption, next_step_text, path_text
from services.leela.record import game_from_state
from services.leela.rules import MIN_REPORT_LENGTH
from services.messaging.buttons import MenuCallback
from services.messaging.leela_buttons import (
    LeelaCallback,
    confirm_restart_keyboard,
    game_keyboard,
    won_keyboard,
)
from storage.leela import GameRow

router = Router(name="leela")


class Leela(StatesGroup):
    """The conversation during the game.

    Attributes:
        playing: Messages are for the game, until the user turns to something else.
    """

    playing = State()


@router.message(Command("game"))
async def _game(message: Message, ctx: UserContext, state: FSMContext) -> None:
    """Start or continue a game of Leela."""
    await state.set_state(Leela.playing)
    await _show_game(ctx, await play.get_or_start_game(ctx.db, ctx.user.id, ctx.bot_name))


@router.callback_query(MenuCallback.filter(F.place == "game"))
async def _open_game(callback: CallbackQuery, ctx: UserContext, state: FSMContext) -> None:
    await answer_callback(callback)
    await state.set_state(Leela.playing)
    await _show_game(ctx, await play.get_or_start_game(ctx.db, ctx.user.id, ctx.bot_name))


async def _show_game(ctx: UserContext, game: GameRow) -> None:
    """Show the game: the rules before the first roll, afterwards the last move."""
    moves = await play.load_moves(ctx.db, game)
    if moves:
        parts = [ctx.t("leela.resumed"), move_caption(ctx.texts, ctx.language, moves[-1], game.awaits)]
    else:
        rules = ctx.t("leela.intro", count=MIN_REPORT_LENGTH)
        parts = [rules, next_step_text(ctx.texts, ctx.language, game.awaits)]
    image = await asyncio.to_thread(draw_move, game_from_state(game.state).square, moves[-1] if moves else None)
    await _send_image(ctx, image, "\n\n".join(parts), _game_keyboard(ctx, game))


def _game_keyboard(ctx: UserContext, game: GameRow) -> InlineKeyboardMarkup:
    return game_keyboard(ctx.texts, ctx.language, game.id, game.awaits, game.moves)


async def _send_image(ctx: UserContext, image: bytes, caption: str, markup: InlineKeyboardMarkup) -> None:
    photo = BufferedInputFile(image, "leela.jpg")
    await ctx.bot.send_photo(ctx.chat_id, photo, caption=caption, reply_markup=markup)


@router.callback_query(LeelaCallback.filter(F.action == "roll"))
async def _roll(
    callback: CallbackQuery,
    callback_data: LeelaCallback,
    ctx: UserContext,
    state: FSMContext,
    raw_state: str | None,
) -> None:
    """Roll the die, once per move. A repeated tap is answered with what the game awaits."""
    game = await play.find_open_game(ctx.db, ctx.user.id)
    if game is None or game.id != callback_data.game:
        await answer_stale(callback, ctx)
        return
    moves = callback_data.moves
    if await play.request_roll(ctx.db, game, moves, bot_name=ctx.bot_name, language=ctx.language):
        await answer_callback(callback)
        if raw_state != Leela.playing.state:
            await state.set_state(Leela.playing)
        return
    current = await play.find_open_game(ctx.db, ctx.user.id) or game
    await answer_callback(callback, ctx.t(f"leela.toast.{current.awaits}"))


@router.callback_query(LeelaCallback.filter(F.action == "path"))
async def _path(callback: CallbackQuery, callback_data: LeelaCallback, ctx: UserContext) -> None:
    game = await play.find_game(ctx.db, callback_data.game, ctx.user.id)
    if game is None:
        await answer_stale(callback, ctx)
        return
    await answer_callback(callback)
    moves = await play.load_moves(ctx.db, game)
    image = await asyncio.to_thread(draw_path, moves, game_from_state(game.state).square)
    caption = ctx.t("leela.path", len(moves), path=path_text(moves))
    won = won_keyboard(ctx.texts, ctx.language, game.id, game.moves)
    await _send_image(ctx, image, caption, won if game.ended else _game_keyboard(ctx, game))


@router.callback_query(LeelaCallback.filter(F.action == "restart"))
async def _confirm_restart(callback: CallbackQuery, callback_data: LeelaCallback, ctx: UserContext) -> None:
    await answer_callback(callback)
    await ctx.send(ctx.t("leela.restart"), confirm_restart_keyboard(ctx.texts, ctx.language, callback_data.game))


@router.callback_query(LeelaCallback.filter(F.action.in_({"sure", "new"})))
async def _restart(
    callback: CallbackQuery, callback_data: LeelaCallback, ctx: UserContext, state: FSMContext
) -> None:
    await answer_callback(callback)
    await state.set_state(Leela.playing)
    await _show_game(ctx, await play.restart_game(ctx.db, callback_data.game, ctx.user.id, ctx.bot_name))


@router.callback_query(LeelaCallback.filter(F.action == "back"))
async def _back(callback: CallbackQuery, ctx: UserContext, state: FSMContext) -> None:
    await _open_game(callback, ctx, state)


@router.message(StateFilter(Leela.playing), Matches(F.voice))
async def _receive_voice_report(message: Message, ctx: UserContext, state: FSMContext) -> None:
    """Use a voice message as the report if the game awaits one. Otherwise leave it to the next handlers."""
    game = await play.find_open_game(ctx.db, ctx.user.id)
    if game is None or game.awaits != "report":
        raise SkipHandler
    if text := await transcribe_voice(message, ctx):
        await ctx.send(ctx.t("leela.heard", words=text))
        await _submit_report(ctx, game, text)


@router.message(StateFilter(Leela.playing), PLAIN_TEXT)
async def _receive_text(message: Message, ctx: UserContext, state: FSMContext) -> None:
    """Use text as the report if the game awaits one. Otherwise reply with what it awaits."""
    game = await play.find_open_game(ctx.db, ctx.user.id)
    if game is None:
        await state.clear()  # the game has been won, so the text is a prompt
        raise SkipHandler
    if game.awaits == "report":
        await _submit_report(ctx, game, message.text or "")
    else:
        markup = _game_keyboard(ctx, game) if game.awaits == "roll" else None
        await ctx.send(ctx.t(f"leela.wait.{game.awaits}"), markup)


async def _submit_report(ctx: UserContext, game: GameRow, text: str) -> None:
    """Save the report if it is long enough. A placeholder is sent at once, which later becomes the reply."""
    if missing_chars := play.missing_characters(text):
        await ctx.send(ctx.t("leela.short", missing_chars))
        return
    placeholder = await ctx.send(ctx.t("leela.thinking"))
    accepted = await play.save_report(
        ctx.db,
        game,
        text,
        bot_name=ctx.bot_name,
        language=ctx.language,
        placeholder_id=placeholder.message_id,
    )
    if not accepted:
        await ctx.messenger.delete_message(ctx.bot_name, ctx.chat_id, placeholder.message_id)
