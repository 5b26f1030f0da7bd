"""A cron function for each scheduled task. Our own scheduler runs the tasks that Inngest does not run."""

from functools import partial
from typing import Any

import inngest
from loguru import logger

from services.durable.steps import MAX_RETRIES
from services.maintenance.scheduled_tasks import ScheduledTask, run_task
from storage.pool import Pool


def create_scheduled_task_function(
    client: inngest.Inngest, db: Pool, task: ScheduledTask
) -> inngest.Function[Any]:
    """Create the function that Inngest's cron calls for a scheduled task."""

    async def run(ctx: inngest.Context) -> dict[str, Any]:
        scheduled_for = task.last_due_at()
        done = await ctx.step.run("perform", partial(run_task, db, task, scheduled_for, "A"))
        return {"scheduled_for": scheduled_for.isoformat(), "done": done}

    async def on_failure(ctx: inngest.Context) -> None:
        """Log the failure. The task is still due, so one of our processes will run it."""
        logger.error("scheduled task failed", task=task.id, plan="A", error=ctx.event.data.get("error"))

    return client.create_function(
        fn_id=task.function_id,
        name=task.id,
        trigger=inngest.TriggerCron(cron=task.cron),
        retries=MAX_RETRIES,
        concurrency=[inngest.Concurrency(limit=1)],
        on_failure=on_failure,
    )(run)
