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
from services.core.errors import Failure, PermanentFailure
from services.jobs.internal_jobs import InternalJobContext, InternalJobSpec
from services.leela import cards
from services.leela.board import draw_move
from services.leela.record import awaits_after, game_from_state, game_to_state, move_from_row, move_to_row
from services.leela.reply import ask_model, template_reply
from services.leela.rules import apply_roll
from services.leela.settings import get_leela_settings
from services.messaging.telegram_errors import is_edit_unnecessary, is_user_unreachable, to_delivery_failure
from storage.leela import GameRow, MoveRow, add_move, advance_game, get_game, get_move, reject_report, set_reply

Verdict = Literal["allowed", "care", "refused", "unknown"]
"""Of a report. `unknown` where moderation is away: it is kept, and shown to no model."""


async def run(context: InternalJobContext) -> dict[str, Any]:
    """`inputs`: the game, the number of the move, and the task: `roll` or `reply`."""
    return await (_run_roll(context) if context.job.inputs["task"] == "roll" else _run_reply(context))


# ---------------------------------------------------------------- the die and the move


async def _run_roll(context: InternalJobContext) -> dict[str, Any]:
    steps, (game_id, number) = context.steps, _game_and_move_number(context)
    try:
        roll = await _roll_die(context)
        moved = await steps.run("move", partial(_apply_move, context, roll["value"]))
    except Failure:
        undo = partial(advance_game, context.studio.db, game_id, number - 1, "dice", "roll")
        await steps.run("undo", undo)
        raise
    if moved:
        if seconds := get_leela_settings().leela_dice_seconds:
            await steps.sleep("settle", seconds)
        await steps.run("show", partial(_show_move, context, rethrown=roll["twice"]), retry_outages=True)
    return {"rolled": roll["value"]}


async def _roll_die(context: InternalJobContext) -> dict[str, Any]:
    """Telegram throws the die, so nobody here can choose its value; the journal has it before it is used.

    After a death between the throw and the journal that throw is unknown: another one counts, and that is said.
    """
    studio, job, rethrown = context.studio, context.job, False

    async def note_rethrow(started_at: datetime) -> None:
        nonlocal rethrown
        rethrown = True

    async def send_dice() -> dict[str, Any]:
        try:
            message = await studio.bot_or_default(job.bot_name).send_dice(job.user_id)
        except TelegramAPIError as error:
            raise to_delivery_failure(error) from error
        if message.dice is None:
            raise PermanentFailure("failure.telegram", detail="a die without a value")
        return {"value": message.dice.value, "twice": rethrown}

    return await context.steps.run("dice", send_dice, reconcile=note_rethrow, retry_outages=True)


async def _apply_move(context: InternalJobContext, value: int) -> bool:
    """False where the player began anew meanwhile. Done again, it finds what it did."""
    db, (game_id, number) = context.studio.db, _game_and_move_number(context)
    game = await get_game(db, game_id, context.job.user_id)
    if game is None:
        return False
    if game.moves == number - 1:
        move = apply_roll(game_from_state(game.state), value)
        row, state, awaits = move_to_row(move, number), game_to_state(move.game), awaits_after(move)
        if await add_move(db, game_id, row, state, awaits, won=move.game.won):
            return True
    return await get_move(db, game_id, number) is not None


async def _show_move(context: InternalJobContext, *, rethrown: bool) -> None:
    studio, job = context.studio, context.job
    game, row = await _load_game_and_move(context)
    move = move_from_row(row, game_from_state(game.state))
    caption = cards.move_caption(studio.texts, job.language, move, game.awaits)
    if rethrown:
        caption = f"{studio.texts.t(job.language, 'leela.twice')}\n\n{caption}"
    if move.game.won:
        markup = cards.won_keyboard(studio.texts, job.language, game.id, row.number)
    else:
        markup = cards.game_keyboard(studio.texts, job.language, game.id, game.awaits, row.number)
    image = await asyncio.to_thread(draw_move, move.square, move)
    try:
        await studio.bot_or_default(job.bot_name).send_photo(
            job.user_id, BufferedInputFile(image, "leela.jpg"), caption=caption, reply_markup=markup
        )
    except TelegramAPIError as error:
        if not is_user_unreachable(error):
            raise to_delivery_failure(error) from error


# ---------------------------------------------------------------- the report and the reply


async def _run_reply(context: InternalJobContext) -> dict[str, Any]:
    studio, job, steps = context.studio, context.job, context.steps
    game_id, number = _game_and_move_number(context)
    row = (await _load_game_and_move(context))[1]
    verdict = await _moderate_report(context, row.report or "")
    if verdict == "refused":
        await steps.run("refuse", partial(reject_report, studio.db, game_id, number))
        refusal = studio.texts.t(job.language, "leela.refused")
        await steps.run("deliver", partial(_deliver, context, refusal, None), retry_outages=True)
        return {"verdict": verdict}
    reply = await steps.run("reply", partial(_build_reply, context, row, verdict))
    await steps.run("keep", partial(set_reply, studio.db, game_id, number, reply))
    text = f"{reply}\n\n{cards.next_step_text(studio.texts, job.language, 'roll')}"
    markup = cards.game_keyboard(studio.texts, job.language, game_id, "roll", number)
    await steps.run("deliver", partial(_deliver, context, text, markup), retry_outages=True)
    return {"verdict": verdict}


async def _moderate_report(context: InternalJobContext, report: str) -> Verdict:
    """What becomes of the report. Somebody who writes of harming themselves is not told of rules."""
    moderation = context.studio.providers.moderation

    async def moderate() -> Verdict:
        result = await moderation.moderate(report)
        if result.allowed:
            return "allowed"
        mentions_self_harm = all(
            name.startswith("self-harm") and "instructions" not in name for name in result.categories
        )
        return "care" if mentions_self_harm and result.categories else "refused"

    try:
        return await context.steps.run("moderate", moderate)
    except Failure as failure:
        logger.warning("job {}: a report was not looked at: {}", context.job.id, failure)
        return "unknown"


async def _build_reply(context: InternalJobContext, row: MoveRow, verdict: Verdict) -> str:
    """As HTML. A model that cannot answer holds nobody's game up: words of our own do instead."""
    studio, job, text = context.studio, context.job, context.studio.providers.text
    report, move = row.report or "", move_from_row(row)
    if verdict == "care":
        return studio.texts.t(job.language, "leela.care")
    if verdict == "allowed" and not text.offline:
        try:
            answer = await ask_model(text, move, report, job.language)
        except ProviderError as error:
            logger.warning("job {}: no model answered a report: {}", job.id, error)
        else:
            return studio.texts.t(job.language, "leela.reply.model", reply=answer)
    return template_reply(studio.texts, move, report, job.language)


async def _deliver(context: InternalJobContext, text: str, markup: InlineKeyboardMarkup | None) -> None:
    """Turn the message that said "thinking" into this: done twice, it is the same. Where it is gone, a new one."""
    studio, job = context.studio, context.job
    bot, message_id = studio.bot_or_default(job.bot_name), job.inputs.get("thinking")
    try:
        if message_id is not None and await _try_edit(
            bot.edit_message_text, text, job.user_id, message_id, markup
        ):
            return
        await bot.send_message(job.user_id, text, reply_markup=markup)
    except TelegramAPIError as error:
        if not is_user_unreachable(error):
            raise to_delivery_failure(error) from error


async def _try_edit(
    edit: Any, text: str, chat_id: int, message_id: int, markup: InlineKeyboardMarkup | None
) -> bool:
    try:
        await edit(text, chat_id=chat_id, message_id=message_id, reply_markup=markup)
    except TelegramAPIError as error:
        if not is_edit_unnecessary(error):
            raise
        return "not modified" in error.message
    return True


# ---------------------------------------------------------------- both


def _game_and_move_number(context: InternalJobContext) -> tuple[UUID, int]:
    return UUID(context.job.inputs["game"]), int(context.job.inputs["move"])


async def _load_game_and_move(context: InternalJobContext) -> tuple[GameRow, MoveRow]:
    """The game, and the move this is about. Raises Broken for one that is not there."""
    game_id, number = _game_and_move_number(context)
    game = await get_game(context.studio.db, game_id, context.job.user_id)
    row = await get_move(context.studio.db, game_id, number)
    if game is None or row is None:
        raise PermanentFailure("failure.unexpected", detail=f"no move {number} of game {game_id}")
    return game, row


GAME_STEP = InternalJobSpec(
    id="game_step", event="game/step.start", function_id="game-step", run=run, concurrency=20
)
INTERNAL_JOBS = (GAME_STEP,)
