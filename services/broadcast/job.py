"""The internal job that sends, edits or deletes a broadcast.

It runs as a series of steps of some seconds each, on either plan. Each step continues where the last one ended or died.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from uuid import UUID, uuid4

from loguru import logger

from services.broadcast.delivery import BroadcastDelivery, DeliveryTask, OutcomeT
from services.broadcast.progress import show_progress
from services.broadcast.tasks import EditTask, SendTask
from services.core.background import BackgroundTasks
from services.core.errors import Failure
from services.durable.retry import retry_while_db_unavailable
from services.jobs.internal_jobs import InternalJobContext, InternalJobSpec, enqueue
from services.messaging.bots import Bots
from services.messaging.messenger import Messenger
from services.messaging.rate_limiter import PAID_MESSAGES_PER_SECOND, RateLimiter
from storage.messaging.broadcast_recipients import mark_unanswered_unknown
from storage.messaging.broadcasts import (
    Broadcast,
    claim_broadcast,
    continue_broadcast,
    finish_broadcast,
    get_broadcast,
    pause_broadcast,
)
from storage.pool import Executor, Pool

_STEP_SECONDS: Final = 20.0
_MAX_STEPS: Final = 500
"""Inngest allows 1000 steps per run: https://www.inngest.com/docs/usage-limits/inngest. After this many steps, another
internal job continues."""

BROADCAST: Final = InternalJobSpec(
    id="broadcast", event="broadcast/message.start", function_id="send-broadcast", concurrency=5
)
INTERNAL_JOBS: Final = (BROADCAST,)


async def enqueue_run(db: Executor, broadcast: Broadcast, language: str) -> None:
    """Enqueue the internal job for a broadcast that was started, resumed or continued.

    Args:
        db: A connection inside the transaction that changed the broadcast.
        broadcast: The broadcast after the change. Its `run_count` is part of the job's key.
        language: The admin's language.
    """
    await enqueue(
        db,
        BROADCAST,
        f"{broadcast.id}:{broadcast.run_count}",
        {"broadcast": str(broadcast.id), "runs": broadcast.run_count},
        user_id=broadcast.admin_id,
        bot_name=broadcast.bot_name,
        language=language,
    )


@dataclass(frozen=True)
class BroadcastJob:
    """Runs `BROADCAST`.

    Attributes:
        db: The database.
        bots: The bots, with their rate limiters.
        messenger: Shows the progress to the admin.
        background: Runs the calls.
    """

    db: Pool
    bots: Bots
    messenger: Messenger
    background: BackgroundTasks

    async def run(self, context: InternalJobContext) -> dict[str, Any]:
        """Send, edit or delete until nothing is left, or the broadcast is paused or stopped.

        Returns:
            The job's result, `{"steps": …}`, with the number of steps.

        Raises:
            Failure: A step failed for good. The broadcast is paused, and an admin can resume it.
        """
        job, steps = context.job, context.steps
        broadcast_id, run_count = UUID(job.inputs["broadcast"]), int(job.inputs["runs"])
        try:
            for number in range(1, _MAX_STEPS + 1):
                has_more = await steps.run(f"send-{number}", partial(self._run_step, broadcast_id, run_count))
                if not has_more:
                    return {"steps": number}
            await steps.run("successor", partial(self._enqueue_next, broadcast_id, run_count, job.language))
        except Failure:
            logger.warning("broadcast paused, a step failed", broadcast=broadcast_id)
            await retry_while_db_unavailable(partial(pause_broadcast, self.db, broadcast_id))
            raise
        return {"steps": _MAX_STEPS}

    async def _run_step(self, broadcast_id: UUID, run_count: int) -> bool:
        """Run the broadcast for some seconds. Returns whether there is more to do."""
        worker_id = uuid4()
        broadcast = await claim_broadcast(self.db, broadcast_id, run_count, worker_id)
        if broadcast is None:
            return False
        bot, limiter = self.bots.for_broadcasts[broadcast.bot_name], self.bots.rate_limiters[broadcast.bot_name]
        if broadcast.task == "send":
            if broadcast.paid:
                limiter = RateLimiter(PAID_MESSAGES_PER_SECOND)
            await self._mark_unanswered(broadcast_id, worker_id)
            await self._deliver(broadcast, SendTask(self.db, bot, broadcast, worker_id), limiter)
        else:
            await self._deliver(broadcast, EditTask(self.db, bot, broadcast, worker_id), limiter)
        finished = await retry_while_db_unavailable(partial(finish_broadcast, self.db, broadcast_id, worker_id))
        current = await retry_while_db_unavailable(partial(get_broadcast, self.db, broadcast_id))
        if current is None or current.run_count != run_count or current.worker_id != worker_id:
            return False  # another step holds it
        if finished or current.state != "running":
            await show_progress(self.messenger, current)
            return False
        return True

    async def _mark_unanswered(self, broadcast_id: UUID, worker_id: UUID) -> None:
        """Record messages left unanswered by an earlier step as `unknown`. They may have arrived, so are not resent."""
        unanswered = await retry_while_db_unavailable(
            partial(mark_unanswered_unknown, self.db, broadcast_id, worker_id)
        )
        if unanswered:
            logger.warning("broadcast messages may not have arrived", broadcast=broadcast_id, count=unanswered)

    async def _deliver(self, broadcast: Broadcast, task: DeliveryTask[OutcomeT], limiter: RateLimiter) -> None:
        delivery = BroadcastDelivery(self.db, self.messenger, self.background, broadcast, task, limiter)
        await delivery.run(_STEP_SECONDS)

    async def _enqueue_next(self, broadcast_id: UUID, run_count: int, language: str) -> bool:
        """Enqueue a job that continues, in one transaction with the increment of the run count in its key."""
        async with self.db.acquire() as connection, connection.transaction():
            broadcast = await continue_broadcast(connection, broadcast_id, run_count)
            if broadcast is None:
                return False
            await enqueue_run(connection, broadcast, language)
        return True
