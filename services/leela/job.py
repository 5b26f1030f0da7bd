"""A step of Leela: the die and the move that follows it, or the reply to a player's report."""

import asyncio
from datetime import datetime
from functools import partial
from typing import Any, Literal
from uuid import UUID

from aiogram.exceptions import TelegramAPIError
from aiogram.types import BufferedInputFile, InlineKeyboardMarkup
from loguru import logger

from providers.protocols import ProviderError
from services.core.errors import Broken, Failure
from services.jobs.internal_jobs import Errand, ErrandSpec
from services.leela import cards
from services.leela.board import draw_move
from services.leela.record import awaits_after, game_of, move_of, row_of, state_of
from services.leela.reply import ask_model, own_words
from services.leela.rules import play
from services.leela.settings import leela_settings
from services.messaging.telegram_errors import delivery_failure, nothing_to_edit, person_is_gone
from storage.leela import GameRow, MoveRow, add_move, drop_report, get_game, get_move, go_on, set_reply

Verdict = Literal["allowed", "care", "refused", "unknown"]
"""Of a report. `unknown` where moderation is away: it is kept, and shown to no model."""


async def run(errand: Errand) -> dict[str, Any]:
    """`inputs`: the game, the number of the move, and the task: `roll` or `reply`."""
    return await (_roll(errand) if errand.job.inputs["task"] == "roll" else _reply(errand))


# ---------------------------------------------------------------- the die and the move


async def _roll(errand: Errand) -> dict[str, Any]:
    steps, (game_id, number) = errand.steps, _place(errand)
    try:
        thrown = await _throw(errand)
        landed = await steps.run("move", partial(_move, errand, thrown["value"]))
    except Failure:
        undo = partial(go_on, errand.studio.db, game_id, number - 1, "dice", "roll")
        await steps.run("undo", undo)
        raise
    if landed:
        if seconds := leela_settings().leela_dice_seconds:
            await steps.sleep("settle", seconds)
        await steps.run("show", partial(_show, errand, twice=thrown["twice"]), patient=True)
    return {"rolled": thrown["value"]}


async def _throw(errand: Errand) -> dict[str, Any]:
    """Telegram throws the die, so nobody here can choose its value; the journal has it before it is used.

    After a death between the throw and the journal that throw is unknown: another one counts, and that is said.
    """
    studio, job, twice = errand.studio, errand.job, False

    async def recover(begun: datetime) -> None:
        nonlocal twice
        twice = True

    async def throw() -> dict[str, Any]:
        try:
            message = await studio.bot(job.bot_name).send_dice(job.user_id)
        except TelegramAPIError as error:
            raise delivery_failure(error) from error
        if message.dice is None:
            raise Broken("failure.telegram", detail="a die without a value")
        return {"value": message.dice.value, "twice": twice}

    return await errand.steps.run("dice", throw, recover=recover, patient=True)


async def _move(errand: Errand, value: int) -> bool:
    """False where the player began anew meanwhile. Done again, it finds what it did."""
    db, (game_id, number) = errand.studio.db, _place(errand)
    game = await get_game(db, game_id, errand.job.user_id)
    if game is None:
        return False
    if game.moves == number - 1:
        move = play(game_of(game.state), value)
        row, state, awaits = row_of(move, number), state_of(move.game), awaits_after(move)
        if await add_move(db, game_id, row, state, awaits, won=move.game.won):
            return True
    return await get_move(db, game_id, number) is not None


async def _show(errand: Errand, *, twice: bool) -> None:
    studio, job = errand.studio, errand.job
    game, row = await _game(errand)
    move = move_of(row, game_of(game.state))
    caption = cards.move_caption(studio.texts, job.language, move, game.awaits)
    if twice:
        caption = f"{studio.texts.t(job.language, 'leela.twice')}\n\n{caption}"
    if move.game.won:
        markup = cards.won_keyboard(studio.texts, job.language, game.id, row.number)
    else:
        markup = cards.game_keyboard(studio.texts, job.language, game.id, game.awaits, row.number)
    picture = await asyncio.to_thread(draw_move, move.square, move)
    try:
        await studio.bot(job.bot_name).send_photo(
            job.user_id, BufferedInputFile(picture, "leela.jpg"), caption=caption, reply_markup=markup
        )
    except TelegramAPIError as error:
        if not person_is_gone(error):
            raise delivery_failure(error) from error


# ---------------------------------------------------------------- the report and the reply


async def _reply(errand: Errand) -> dict[str, Any]:
    studio, job, steps = errand.studio, errand.job, errand.steps
    game_id, number = _place(errand)
    row = (await _game(errand))[1]
    verdict = await _look(errand, row.report or "")
    if verdict == "refused":
        await steps.run("refuse", partial(drop_report, studio.db, game_id, number))
        refusal = studio.texts.t(job.language, "leela.refused")
        await steps.run("deliver", partial(_say, errand, refusal, None), patient=True)
        return {"verdict": verdict}
    reply = await steps.run("reply", partial(_answer, errand, row, verdict))
    await steps.run("keep", partial(set_reply, studio.db, game_id, number, reply))
    text = f"{reply}\n\n{cards.next_step(studio.texts, job.language, 'roll')}"
    markup = cards.game_keyboard(studio.texts, job.language, game_id, "roll", number)
    await steps.run("deliver", partial(_say, errand, text, markup), patient=True)
    return {"verdict": verdict}


async def _look(errand: Errand, report: str) -> Verdict:
    """What becomes of the report. Somebody who writes of harming themselves is not told of rules."""
    moderation = errand.studio.providers.moderation

    async def look() -> Verdict:
        found = await moderation.moderate(report)
        if found.allowed:
            return "allowed"
        hurt = all(name.startswith("self-harm") and "instructions" not in name for name in found.categories)
        return "care" if hurt and found.categories else "refused"

    try:
        return await errand.steps.run("moderate", look)
    except Failure as failure:
        logger.warning("job {}: a report was not looked at: {}", errand.job.id, failure)
        return "unknown"


async def _answer(errand: Errand, row: MoveRow, verdict: Verdict) -> str:
    """As HTML. A model that cannot answer holds nobody's game up: words of our own do instead."""
    studio, job, text = errand.studio, errand.job, errand.studio.providers.text
    report, move = row.report or "", move_of(row)
    if verdict == "care":
        return studio.texts.t(job.language, "leela.care")
    if verdict == "allowed" and not text.offline:
        try:
            said = await ask_model(text, move, report, job.language)
        except ProviderError as error:
            logger.warning("job {}: no model answered a report: {}", job.id, error)
        else:
            return studio.texts.t(job.language, "leela.reply.model", reply=said)
    return own_words(studio.texts, move, report, job.language)


async def _say(errand: Errand, text: str, markup: InlineKeyboardMarkup | None) -> None:
    """Turn the message that said "thinking" into this: done twice, it is the same. Where it is gone, a new one."""
    studio, job = errand.studio, errand.job
    bot, message_id = studio.bot(job.bot_name), job.inputs.get("thinking")
    try:
        if message_id is not None and await _edited(bot.edit_message_text, text, job.user_id, message_id, markup):
            return
        await bot.send_message(job.user_id, text, reply_markup=markup)
    except TelegramAPIError as error:
        if not person_is_gone(error):
            raise delivery_failure(error) from error


async def _edited(
    edit: Any, text: str, chat_id: int, message_id: int, markup: InlineKeyboardMarkup | None
) -> bool:
    try:
        await edit(text, chat_id=chat_id, message_id=message_id, reply_markup=markup)
    except TelegramAPIError as error:
        if not nothing_to_edit(error):
            raise
        return "not modified" in error.message
    return True


# ---------------------------------------------------------------- both


def _place(errand: Errand) -> tuple[UUID, int]:
    return UUID(errand.job.inputs["game"]), int(errand.job.inputs["move"])


async def _game(errand: Errand) -> tuple[GameRow, MoveRow]:
    """The game, and the move this is about. Raises Broken for one that is not there."""
    game_id, number = _place(errand)
    game = await get_game(errand.studio.db, game_id, errand.job.user_id)
    row = await get_move(errand.studio.db, game_id, number)
    if game is None or row is None:
        raise Broken("failure.unexpected", detail=f"no move {number} of game {game_id}")
    return game, row


GAME_STEP = ErrandSpec(id="game_step", event="game/step.start", function_id="game-step", run=run, concurrency=20)
ERRANDS = (GAME_STEP,)
