"""The cron functions: what has to be done every hour or day. This process does it where Inngest does not."""

from functools import partial
from typing import Any

import inngest
from loguru import logger

from services.durable.steps import MAX_RETRIES
from services.maintenance.scheduled_tasks import ScheduledTask, run_task
from services.messaging.app_context import AppContext


def create_scheduled_task_function(
    client: inngest.Inngest, studio: AppContext, task: ScheduledTask
) -> inngest.Function[Any]:
    async def run(ctx: inngest.Context) -> dict[str, Any]:
        scheduled_for = task.last_due_at()
        done = await ctx.step.run("perform", partial(run_task, studio, task, scheduled_for, "A"))
        return {"slot": scheduled_for.isoformat(), "done": done}

    async def on_failure(ctx: inngest.Context) -> None:
        """The slot stays undone, so a process of ours will do it (services/maintenance/scheduled_tasks.py)."""
        logger.error("chore {} failed on plan A: {}", task.id, ctx.event.data.get("error"))

    return client.create_function(
        fn_id=task.function_id,
        name=task.id,
        trigger=inngest.TriggerCron(cron=task.cron),
        retries=MAX_RETRIES,
        concurrency=[inngest.Concurrency(limit=1)],
        on_failure=on_failure,
    )(run)
