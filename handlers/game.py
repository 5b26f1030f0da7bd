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

from handlers.context import Desk, answer
from handlers.media.voice_and_improve import hear
from services.leela import cards, play
from services.leela.board import draw_move, draw_path
from services.leela.cards import LeelaTap
from services.leela.record import game_of
from services.messaging.buttons import MenuTap
from storage.leela import GameRow, get_game, open_game

router = Router(name="leela")


class Leela(StatesGroup):
    playing = State()
    """What the person writes belongs to the game, until they go elsewhere."""


@router.message(Command("game"))
async def game(message: Message, desk: Desk, state: FSMContext) -> None:
    await state.set_state(Leela.playing)
    await show(desk, await play.begin(desk.studio.db, desk.user.id, desk.bot_name))


@router.callback_query(MenuTap.filter(F.place == "game"))
async def go_to_game(tap: CallbackQuery, desk: Desk, state: FSMContext) -> None:
    await answer(tap)
    await state.set_state(Leela.playing)
    await show(desk, await play.begin(desk.studio.db, desk.user.id, desk.bot_name))


async def show(desk: Desk, game: GameRow) -> None:
    """Where the game stands: the rules at its beginning, else the last move again."""
    texts, language = desk.studio.texts, desk.user.language
    moves = await play.moves_of(desk.studio.db, game)
    if moves:
        parts = [desk.t("leela.resumed"), cards.move_caption(texts, language, moves[-1], game.awaits)]
    else:
        rules = desk.t("leela.intro", count=cards.REPORT_LENGTH)
        parts = [rules, cards.next_step(texts, language, game.awaits)]
    picture = await asyncio.to_thread(draw_move, game_of(game.state).square, moves[-1] if moves else None)
    await _send(desk, picture, "\n\n".join(parts), _keyboard(desk, game))


def _keyboard(desk: Desk, game: GameRow) -> InlineKeyboardMarkup:
    return cards.game_keyboard(desk.studio.texts, desk.user.language, game.id, game.awaits, game.moves)


async def _send(desk: Desk, picture: bytes, caption: str, markup: InlineKeyboardMarkup) -> None:
    photo = BufferedInputFile(picture, "leela.jpg")
    await desk.bot.send_photo(desk.chat_id, photo, caption=caption, reply_markup=markup)


@router.callback_query(LeelaTap.filter(F.action == "roll"))
async def roll(
    tap: CallbackQuery, callback_data: LeelaTap, desk: Desk, state: FSMContext, raw_state: str | None
) -> None:
    game = await open_game(desk.studio.db, desk.user.id)
    if game is None or game.id != callback_data.game:
        await answer(tap, desk.t("stale.button"), alert=True)
        return
    moves, language = callback_data.moves, desk.user.language
    if await play.roll(desk.studio, game, moves, bot_name=desk.bot_name, language=language):
        await answer(tap)
        if raw_state != Leela.playing.state:
            await state.set_state(Leela.playing)
        return
    current = await open_game(desk.studio.db, desk.user.id) or game
    await answer(tap, desk.t(f"leela.toast.{current.awaits}"))


@router.callback_query(LeelaTap.filter(F.action == "path"))
async def path(tap: CallbackQuery, callback_data: LeelaTap, desk: Desk) -> None:
    game = await get_game(desk.studio.db, callback_data.game, desk.user.id)
    if game is None:
        await answer(tap, desk.t("stale.button"), alert=True)
        return
    await answer(tap)
    moves = await play.moves_of(desk.studio.db, game)
    picture = await asyncio.to_thread(draw_path, moves, game_of(game.state).square)
    caption = desk.t("leela.path", len(moves), path=cards.path_words(moves))
    texts, language = desk.studio.texts, desk.user.language
    won = cards.won_keyboard(texts, language, game.id, game.moves)
    await _send(desk, picture, caption, won if game.ended else _keyboard(desk, game))


@router.callback_query(LeelaTap.filter(F.action == "restart"))
async def ask_restart(tap: CallbackQuery, callback_data: LeelaTap, desk: Desk) -> None:
    await answer(tap)
    markup = cards.sure_keyboard(desk.studio.texts, desk.user.language, callback_data.game)
    await desk.say(desk.t("leela.restart"), markup)


@router.callback_query(LeelaTap.filter(F.action.in_({"sure", "new"})))
async def restart(tap: CallbackQuery, callback_data: LeelaTap, desk: Desk, state: FSMContext) -> None:
    await answer(tap)
    await state.set_state(Leela.playing)
    await show(desk, await play.restart(desk.studio, callback_data.game, desk.user.id, desk.bot_name))


@router.callback_query(LeelaTap.filter(F.action == "back"))
async def back(tap: CallbackQuery, desk: Desk, state: FSMContext) -> None:
    await go_to_game(tap, desk, state)


@router.message(Leela.playing, F.voice)
async def spoken(message: Message, desk: Desk, state: FSMContext) -> None:
    """A report may be spoken."""
    game = await open_game(desk.studio.db, desk.user.id)
    if game is None or game.awaits != "report":
        raise SkipHandler
    if words := await hear(message, desk):
        await desk.say(desk.t("leela.heard", words=words))
        await take_report(desk, game, words)


@router.message(Leela.playing, F.text, ~F.text.startswith("/"))
async def written(message: Message, desk: Desk, state: FSMContext) -> None:
    game = await open_game(desk.studio.db, desk.user.id)
    if game is None:
        await state.clear()  # won: what is written now is for the studio
        raise SkipHandler
    if game.awaits == "report":
        await take_report(desk, game, message.text or "")
    else:
        markup = _keyboard(desk, game) if game.awaits == "roll" else None
        await desk.say(desk.t(f"leela.wait.{game.awaits}"), markup)


async def take_report(desk: Desk, game: GameRow, text: str) -> None:
    if missing := play.missing(text):
        await desk.say(desk.t("leela.short", missing))
        return
    thinking = await desk.say(desk.t("leela.thinking"))
    taken = await play.report(
        desk.studio,
        game,
        text,
        bot_name=desk.bot_name,
        language=desk.user.language,
        thinking=thinking.message_id,
    )
    if not taken:
        try:
            await desk.bot.delete_message(desk.chat_id, thinking.message_id)
        except TelegramAPIError as error:
            logger.debug("a message of {} was not deleted: {}", desk.user.id, error.message)
