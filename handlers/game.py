"""The game of Leela: `/game`, the die, reports, the path."""

import asyncio

from aiogram import F, Router
from aiogram.dispatcher.event.bases import SkipHandler
from aiogram.exceptions import TelegramAPIError
from aiogram.filters import Command
from aiogram.fsm.context import FSMContext
from aiogram.fsm.state import State, StatesGroup
from aiogram.types import BufferedInputFile, CallbackQuery, InlineKeyboardMarkup, Message
from loguru import logger

from handlers.context import UserContext, answer_callback
from handlers.media.voice_and_improve import transcribe_voice
from services.leela import cards, play
from services.leela.board import draw_move, draw_path
from services.leela.cards import LeelaCallback
from services.leela.record import game_from_state
from services.messaging.buttons import MenuCallback
from storage.leela import GameRow, get_game, get_open_game

router = Router(name="leela")


class Leela(StatesGroup):
    playing = State()
    """What the person writes belongs to the game, until they go elsewhere."""


@router.message(Command("game"))
async def _game(message: Message, ctx: UserContext, state: FSMContext) -> None:
    await state.set_state(Leela.playing)
    await show_game(ctx, await play.get_or_start_game(ctx.app.db, ctx.user.id, ctx.bot_name))


@router.callback_query(MenuCallback.filter(F.place == "game"))
async def _open_game(callback: CallbackQuery, ctx: UserContext, state: FSMContext) -> None:
    await answer_callback(callback)
    await state.set_state(Leela.playing)
    await show_game(ctx, await play.get_or_start_game(ctx.app.db, ctx.user.id, ctx.bot_name))


async def show_game(ctx: UserContext, game: GameRow) -> None:
    """Where the game stands: the rules at its beginning, else the last move again."""
    texts, language = ctx.app.texts, ctx.user.language
    moves = await play.load_moves(ctx.app.db, game)
    if moves:
        parts = [ctx.t("leela.resumed"), cards.move_caption(texts, language, moves[-1], game.awaits)]
    else:
        rules = ctx.t("leela.intro", count=cards.MIN_REPORT_LENGTH)
        parts = [rules, cards.next_step_text(texts, language, game.awaits)]
    image = await asyncio.to_thread(draw_move, game_from_state(game.state).square, moves[-1] if moves else None)
    await _send_image(ctx, image, "\n\n".join(parts), _keyboard(ctx, game))


def _keyboard(ctx: UserContext, game: GameRow) -> InlineKeyboardMarkup:
    return cards.game_keyboard(ctx.app.texts, ctx.user.language, game.id, game.awaits, game.moves)


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
    game = await get_open_game(ctx.app.db, ctx.user.id)
    if game is None or game.id != callback_data.game:
        await answer_callback(callback, ctx.t("stale.button"), alert=True)
        return
    moves, language = callback_data.moves, ctx.user.language
    if await play.request_roll(ctx.app, game, moves, bot_name=ctx.bot_name, language=language):
        await answer_callback(callback)
        if raw_state != Leela.playing.state:
            await state.set_state(Leela.playing)
        return
    current = await get_open_game(ctx.app.db, ctx.user.id) or game
    await answer_callback(callback, ctx.t(f"leela.toast.{current.awaits}"))


@router.callback_query(LeelaCallback.filter(F.action == "path"))
async def _path(callback: CallbackQuery, callback_data: LeelaCallback, ctx: UserContext) -> None:
    game = await get_game(ctx.app.db, callback_data.game, ctx.user.id)
    if game is None:
        await answer_callback(callback, ctx.t("stale.button"), alert=True)
        return
    await answer_callback(callback)
    moves = await play.load_moves(ctx.app.db, game)
    image = await asyncio.to_thread(draw_path, moves, game_from_state(game.state).square)
    caption = ctx.t("leela.path", len(moves), path=cards.path_text(moves))
    texts, language = ctx.app.texts, ctx.user.language
    won = cards.won_keyboard(texts, language, game.id, game.moves)
    await _send_image(ctx, image, caption, won if game.ended else _keyboard(ctx, game))


@router.callback_query(LeelaCallback.filter(F.action == "restart"))
async def _ask_restart(callback: CallbackQuery, callback_data: LeelaCallback, ctx: UserContext) -> None:
    await answer_callback(callback)
    markup = cards.confirm_restart_keyboard(ctx.app.texts, ctx.user.language, callback_data.game)
    await ctx.send(ctx.t("leela.restart"), markup)


@router.callback_query(LeelaCallback.filter(F.action.in_({"sure", "new"})))
async def _restart(
    callback: CallbackQuery, callback_data: LeelaCallback, ctx: UserContext, state: FSMContext
) -> None:
    await answer_callback(callback)
    await state.set_state(Leela.playing)
    await show_game(ctx, await play.restart_game(ctx.app, callback_data.game, ctx.user.id, ctx.bot_name))


@router.callback_query(LeelaCallback.filter(F.action == "back"))
async def _back(callback: CallbackQuery, ctx: UserContext, state: FSMContext) -> None:
    await _open_game(callback, ctx, state)


@router.message(Leela.playing, F.voice)
async def _receive_voice_report(message: Message, ctx: UserContext, state: FSMContext) -> None:
    """A report may be spoken."""
    game = await get_open_game(ctx.app.db, ctx.user.id)
    if game is None or game.awaits != "report":
        raise SkipHandler
    if text := await transcribe_voice(message, ctx):
        await ctx.send(ctx.t("leela.heard", words=text))
        await submit_report(ctx, game, text)


@router.message(Leela.playing, F.text, ~F.text.startswith("/"))
async def _receive_text(message: Message, ctx: UserContext, state: FSMContext) -> None:
    game = await get_open_game(ctx.app.db, ctx.user.id)
    if game is None:
        await state.clear()  # won: what is written now is for the studio
        raise SkipHandler
    if game.awaits == "report":
        await submit_report(ctx, game, message.text or "")
    else:
        markup = _keyboard(ctx, game) if game.awaits == "roll" else None
        await ctx.send(ctx.t(f"leela.wait.{game.awaits}"), markup)


async def submit_report(ctx: UserContext, game: GameRow, text: str) -> None:
    if missing_chars := play.missing_characters(text):
        await ctx.send(ctx.t("leela.short", missing_chars))
        return
    placeholder = await ctx.send(ctx.t("leela.thinking"))
    accepted = await play.save_report(
        ctx.app,
        game,
        text,
        bot_name=ctx.bot_name,
        language=ctx.user.language,
        placeholder_id=placeholder.message_id,
    )
    if not accepted:
        try:
            await ctx.bot.delete_message(ctx.chat_id, placeholder.message_id)
        except TelegramAPIError as error:
            logger.debug("a message of {} was not deleted: {}", ctx.user.id, error.message)
