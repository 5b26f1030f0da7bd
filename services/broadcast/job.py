"""A broadcast: steps of some seconds, each of which goes on wherever the last one, or a dead one, stopped."""

from functools import partial
from typing import Any
from uuid import UUID, uuid4

from loguru import logger

from services.broadcast.passes import EditPass, SendPass
from services.broadcast.progress import show_final_progress
from services.core.errors import Failure
from services.durable.steps import retry_while_db_unavailable
from services.jobs.enqueue import enqueue
from services.jobs.internal_jobs import InternalJobContext, InternalJobSpec
from services.messaging.app_context import AppContext
from storage.messaging.broadcasts import (
    claim_broadcast,
    continue_broadcast,
    finish_broadcast,
    get_broadcast,
    pause_broadcast,
)

_STEP_SECONDS = 20.0
_MAX_STEPS = 500
"""Inngest allows 1000 in a run. What is left then is a new errand's."""


async def run(context: InternalJobContext) -> dict[str, Any]:
    studio, steps = context.studio, context.steps
    broadcast_id, run_count = UUID(context.job.inputs["broadcast"]), int(context.job.inputs["runs"])
    try:
        for number in range(1, _MAX_STEPS + 1):
            has_more = await steps.run(f"send-{number}", partial(_run_pass, studio, broadcast_id, run_count))
            if not has_more:
                return {"steps": number}
        await steps.run("successor", partial(_enqueue_next, context, broadcast_id, run_count))
    except Failure as failure:
        logger.error("broadcast {} is paused, a step failed: {}", broadcast_id, failure)
        await retry_while_db_unavailable(partial(pause_broadcast, studio.db, broadcast_id))
        raise
    return {"steps": _MAX_STEPS}


async def _run_pass(studio: AppContext, broadcast_id: UUID, run_count: int) -> bool:
    """Some seconds of it; whether there is more to do, for this errand."""
    worker_id = uuid4()
    broadcast = await claim_broadcast(studio.db, broadcast_id, run_count, worker_id)
    if broadcast is None:
        return False
    delivery_pass = (SendPass if broadcast.task == "send" else EditPass)(
        studio, broadcast, worker_id, seconds=_STEP_SECONDS
    )
    await delivery_pass.run()
    finished = await retry_while_db_unavailable(partial(finish_broadcast, studio.db, broadcast_id, worker_id))
    current = await retry_while_db_unavailable(partial(get_broadcast, studio.db, broadcast_id))
    if current is None or current.run_count != run_count or current.worker_id != worker_id:
        return False  # another one has it
    if finished or current.state != "running":
        await show_final_progress(studio, current)
        return False
    return True


async def _enqueue_next(context: InternalJobContext, broadcast_id: UUID, run_count: int) -> bool:
    """A new errand for what is left, in one transaction with the count that keys it."""
    async with context.studio.db.acquire() as connection, connection.transaction():
        broadcast = await continue_broadcast(connection, broadcast_id, run_count)
        if broadcast is None:
            return False
        job = context.job
        await enqueue(
            connection,
            BROADCAST,
            f"{broadcast_id}:{broadcast.run_count}",
            {"broadcast": str(broadcast_id), "runs": broadcast.run_count},
            user_id=job.user_id,
            bot_name=job.bot_name,
            language=job.language,
        )
    return True


BROADCAST = InternalJobSpec(
    id="broadcast", event="broadcast/message.start", function_id="send-broadcast", run=run, concurrency=5
)
INTERNAL_JOBS = (BROADCAST,)
