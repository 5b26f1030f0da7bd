"""The internal job of a game of Leela: rolls the die and makes the move, or replies to a player's report."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final, Literal
from uuid import UUID

from loguru import logger

from providers.protocols import ProviderError
from services.core.errors import Failure, PermanentFailure
from services.durable.step_names import DELIVER
from services.generation.context import Providers
from services.jobs.internal_jobs import InternalJobContext, InternalJobSpec
from services.leela.board import draw_move
from services.leela.captions import move_caption, next_step_text
from services.leela.record import awaits_after, game_from_state, game_to_state, move_from_row, move_to_row
from services.leela.reply import ask_model, template_reply
from services.leela.rules import apply_roll
from services.messaging.leela_buttons import game_keyboard, won_keyboard
from services.messaging.messenger import Messenger
from storage.jobs.jobs import Job
from storage.leela import GameRow, MoveRow, add_move, advance_game, get_game, get_move, reject_report, set_reply
from storage.pool import Pool

Verdict = Literal["allowed", "care", "refused", "unknown"]
"""The outcome of moderating a report. If moderation is unavailable it is `unknown`, and the report is saved but not
sent to a model."""

GAME_STEP: Final = InternalJobSpec(
    id="game_step", event="game/step.start", function_id="game-step", concurrency=20
)
INTERNAL_JOBS: Final = (GAME_STEP,)


@dataclass(frozen=True)
class GameJob:
    """Runs `GAME_STEP`.

    A job's `inputs` are the `game`, the number of the `move`, and the `task`. The task `roll` makes the move; `reply`
    answers the report on it, in the message `thinking`.

    Attributes:
        db: The database.
        messenger: Sends the messages, and has the texts.
        providers: The providers, for moderating reports and replying to them.
        dice_seconds: Seconds between the die and the message with the move, so that the animation of the die has ended
            on the player's screen.
    """

    db: Pool
    messenger: Messenger
    providers: Providers
    dice_seconds: float = 3.0

    async def run(self, context: InternalJobContext) -> dict[str, Any]:
        """Do the job's task.

        Returns:
            The job's result: the value rolled, or the outcome of moderation.

        Raises:
            Failure: A step failed for good. After a failed roll the player can roll again.
        """
        return await (
            self._run_roll(context) if context.job.inputs["task"] == "roll" else self._run_reply(context)
        )

    # ---------------------------------------------------------------- the die and the move

    async def _run_roll(self, context: InternalJobContext) -> dict[str, Any]:
        steps, (game_id, number) = context.steps, _game_and_move_number(context.job)
        try:
            roll = await self._roll_die(context)
            moved = await steps.run("move", partial(self._apply_move, context.job, roll["value"]))
        except Failure:
            await steps.run("undo", partial(advance_game, self.db, game_id, number - 1, "dice", "roll"))
            raise
        if moved:
            if self.dice_seconds:
                await steps.sleep("settle", self.dice_seconds)
            show = partial(self._show_move, context.job, rethrown=roll["twice"])
            await steps.run("show", show, retry_outages=True)
        return {"rolled": roll["value"]}

    async def _roll_die(self, context: InternalJobContext) -> dict[str, Any]:
        """Send Telegram's die, whose value the bot cannot influence. The value is journaled before it is used.

        If the process dies between the throw and the journal, the value is lost. The die is then thrown again, and the
        player is told that the last throw counts.
        """
        job, rethrown = context.job, False

        async def note_rethrow(started_at: datetime) -> None:
            nonlocal rethrown
            rethrown = True

        async def send_dice() -> dict[str, Any]:
            return {"value": await self.messenger.send_dice(job.user_id, job.bot_name), "twice": rethrown}

        return await context.steps.run("dice", send_dice, reconcile=note_rethrow, retry_outages=True)

    async def _apply_move(self, job: Job, value: int) -> bool:
        """Make the move, once. Returns False if the player began a new game in the meantime."""
        game_id, number = _game_and_move_number(job)
        game = await get_game(self.db, game_id, job.user_id)
        if game is None:
            return False
        if game.moves == number - 1:
            move = apply_roll(game_from_state(game.state), value)
            row, state, awaits = move_to_row(move, number), game_to_state(move.game), awaits_after(move)
            if await add_move(self.db, game_id, row, state, awaits, won=move.game.won):
                return True
        return await get_move(self.db, game_id, number) is not None

    async def _show_move(self, job: Job, *, rethrown: bool) -> None:
        texts, language = self.messenger.texts, job.language
        game, row = await self._load_game_and_move(job)
        move = move_from_row(row, game_from_state(game.state))
        caption = move_caption(texts, language, move, game.awaits)
        if rethrown:
            caption = f"{texts.t(language, 'leela.twice')}\n\n{caption}"
        if move.game.won:
            markup = won_keyboard(texts, language, game.id, row.number)
        else:
            markup = game_keyboard(texts, language, game.id, game.awaits, row.number)
        image = await asyncio.to_thread(draw_move, move.square, move)
        await self.messenger.send_image(
            job.user_id, job.bot_name, image, "leela.jpg", caption=caption, markup=markup
        )

    # ---------------------------------------------------------------- the report and the reply

    async def _run_reply(self, context: InternalJobContext) -> dict[str, Any]:
        job, steps, texts = context.job, context.steps, self.messenger.texts
        game_id, number = _game_and_move_number(job)
        _, row = await self._load_game_and_move(job)
        verdict = await self._moderate_report(context, row.report or "")
        if verdict == "refused":
            await steps.run("refuse", partial(reject_report, self.db, game_id, number))
            text, markup = texts.t(job.language, "leela.refused"), None
        else:
            reply = await steps.run("reply", partial(self._build_reply, job, row, verdict))
            await steps.run("keep", partial(set_reply, self.db, game_id, number, reply))
            text = f"{reply}\n\n{next_step_text(texts, job.language, 'roll')}"
            markup = game_keyboard(texts, job.language, game_id, "roll", number)
        placeholder_id = job.inputs.get("thinking")
        deliver = partial(self.messenger.edit_or_send, job.user_id, job.bot_name, text, markup, placeholder_id)
        await steps.run(DELIVER, deliver, retry_outages=True)
        return {"verdict": verdict}

    async def _moderate_report(self, context: InternalJobContext, report: str) -> Verdict:
        """Moderate a report. Reports about self-harm get `care`: a caring reply, not a reminder of the rules."""

        async def moderate() -> Verdict:
            result = await self.providers.moderation.moderate(report)
            if result.allowed:
                return "allowed"
            mentions_self_harm = all(
                name.startswith("self-harm") and "instructions" not in name for name in result.categories
            )
            return "care" if mentions_self_harm and result.categories else "refused"

        try:
            return await context.steps.run("moderate", moderate)
        except Failure as failure:
            logger.warning("report not moderated", error=failure)
            return "unknown"

    async def _build_reply(self, job: Job, row: MoveRow, verdict: Verdict) -> str:
        """Build the reply as HTML. If the model fails, a text of our own is used, so that the game can go on."""
        texts, text_provider = self.messenger.texts, self.providers.text
        report, move = row.report or "", move_from_row(row)
        if verdict == "care":
            return texts.t(job.language, "leela.care")
        if verdict == "allowed" and not text_provider.offline:
            try:
                answer = await ask_model(text_provider, move, report, job.language)
            except ProviderError as error:
                logger.warning("no reply from the model, using our own", error=error)
            else:
                return texts.t(job.language, "leela.reply.model", reply=answer)
        return template_reply(texts, move, report, job.language)

    # ---------------------------------------------------------------- both

    async def _load_game_and_move(self, job: Job) -> tuple[GameRow, MoveRow]:
        """Load the job's game and move. Raises PermanentFailure if one of them does not exist."""
        game_id, number = _game_and_move_number(job)
        game, row = await get_game(self.db, game_id, job.user_id), await get_move(self.db, game_id, number)
        if game is None or row is None:
            raise PermanentFailure("failure.unexpected", detail=f"game {game_id} has no move {number}")
        return game, row


def _game_and_move_number(job: Job) -> tuple[UUID, int]:
    return UUID(job.inputs["game"]), int(job.inputs["move"])
