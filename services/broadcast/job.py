"""A broadcast: steps of some seconds, each of which goes on wherever the last one, or a dead one, stopped."""

from functools import partial
from typing import Any
from uuid import UUID, uuid4

from loguru import logger

from services.broadcast.passes import Revising, Sending
from services.broadcast.progress import show_end
from services.core.errors import Failure
from services.durable.steps import patiently
from services.jobs.enqueue import launch
from services.jobs.internal_jobs import Errand, ErrandSpec
from services.messaging.app_context import Studio
from storage.messaging.broadcasts import finish_broadcast, get_broadcast, go_on, pause_broadcast, take_broadcast

_STEP_SECONDS = 20.0
_MOST_STEPS = 500
"""Inngest allows 1000 in a run. What is left then is a new errand's."""


async def run(errand: Errand) -> dict[str, Any]:
    studio, steps = errand.studio, errand.steps
    broadcast_id, runs = UUID(errand.job.inputs["broadcast"]), int(errand.job.inputs["runs"])
    try:
        for number in range(1, _MOST_STEPS + 1):
            goes_on = await steps.run(f"send-{number}", partial(_send, studio, broadcast_id, runs))
            if not goes_on:
                return {"steps": number}
        await steps.run("successor", partial(_hand_on, errand, broadcast_id, runs))
    except Failure as failure:
        logger.error("broadcast {} is paused, a step failed: {}", broadcast_id, failure)
        await patiently(partial(pause_broadcast, studio.db, broadcast_id))
        raise
    return {"steps": _MOST_STEPS}


async def _send(studio: Studio, broadcast_id: UUID, runs: int) -> bool:
    """Some seconds of it; whether there is more to do, for this errand."""
    runner = uuid4()
    broadcast = await take_broadcast(studio.db, broadcast_id, runs, runner)
    if broadcast is None:
        return False
    work = (Sending if broadcast.task == "send" else Revising)(studio, broadcast, runner, seconds=_STEP_SECONDS)
    await work.run()
    finished = await patiently(partial(finish_broadcast, studio.db, broadcast_id, runner))
    now = await patiently(partial(get_broadcast, studio.db, broadcast_id))
    if now is None or now.runs != runs or now.runner != runner:
        return False  # another one has it
    if finished or now.state != "running":
        await show_end(studio, now)
        return False
    return True


async def _hand_on(errand: Errand, broadcast_id: UUID, runs: int) -> bool:
    """A new errand for what is left, in one transaction with the count that keys it."""
    async with errand.studio.db.acquire() as connection, connection.transaction():
        broadcast = await go_on(connection, broadcast_id, runs)
        if broadcast is None:
            return False
        job = errand.job
        await launch(
            connection,
            BROADCAST,
            f"{broadcast_id}:{broadcast.runs}",
            {"broadcast": str(broadcast_id), "runs": broadcast.runs},
            user_id=job.user_id,
            bot_name=job.bot_name,
            language=job.language,
        )
    return True


BROADCAST = ErrandSpec(
    id="broadcast", event="broadcast/message.start", function_id="send-broadcast", run=run, concurrency=5
)
ERRANDS = (BROADCAST,)
