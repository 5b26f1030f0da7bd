"""The cron functions: what has to be done every hour or day. This process does it where Inngest does not."""

from functools import partial
from typing import Any

import inngest
from loguru import logger

from services.durable.steps import RETRIES
from services.maintenance.scheduled_tasks import Chore, perform
from services.messaging.app_context import Studio


def create_chore_function(client: inngest.Inngest, studio: Studio, chore: Chore) -> inngest.Function[Any]:
    async def run(ctx: inngest.Context) -> dict[str, Any]:
        slot = chore.slot()
        done = await ctx.step.run("perform", partial(perform, studio, chore, slot, "A"))
        return {"slot": slot.isoformat(), "done": done}

    async def on_failure(ctx: inngest.Context) -> None:
        """The slot stays undone, so a process of ours will do it (services/maintenance/scheduled_tasks.py)."""
        logger.error("chore {} failed on plan A: {}", chore.id, ctx.event.data.get("error"))

    return client.create_function(
        fn_id=chore.function_id,
        name=chore.id,
        trigger=inngest.TriggerCron(cron=chore.cron),
        retries=RETRIES,
        concurrency=[inngest.Concurrency(limit=1)],
        on_failure=on_failure,
    )(run)
