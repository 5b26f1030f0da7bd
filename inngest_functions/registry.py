"""All functions that are served. The events of a function that is missing here start nothing."""

from collections.abc import Sequence
from typing import Any

import inngest

from inngest_functions.functions.hello_world import create_hello_function
from inngest_functions.functions.jobs import create_job_function
from inngest_functions.functions.ping import create_ping_function
from inngest_functions.functions.scheduled_tasks import create_scheduled_task_function
from inngest_functions.run_locks import RunLocks
from services.hello import HelloEnvironment
from services.job_kinds import JOB_KINDS
from services.jobs.engine import JobEngine
from services.maintenance.scheduled_tasks import ScheduledTask


def create_functions(
    client: inngest.Inngest,
    engine: JobEngine,
    run_locks: RunLocks,
    tasks: Sequence[ScheduledTask],
    environment: HelloEnvironment | None = None,
) -> list[inngest.Function[Any]]:
    """Create all functions of the app.

    Args:
        client: The Inngest client.
        engine: Runs jobs.
        run_locks: Allow only one call at a time to work on a job.
        tasks: The scheduled tasks.
        environment: What hello world says about this process.
    """
    return [
        *(create_job_function(client, engine, spec, run_locks) for spec in JOB_KINDS.values()),
        *(create_scheduled_task_function(client, engine.db, task) for task in tasks),
        create_ping_function(client, engine.db),
        create_hello_function(client, environment or HelloEnvironment()),
    ]
