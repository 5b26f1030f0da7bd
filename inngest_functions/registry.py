"""The one list of the functions that are served. One that is missing here makes its events vanish."""

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
from services.maintenance.scheduled_tasks import SCHEDULED_TASKS


def create_functions(
    client: inngest.Inngest, engine: JobEngine, run_locks: RunLocks, environment: HelloEnvironment | None = None
) -> list[inngest.Function[Any]]:
    return [
        *(create_job_function(client, engine, spec, run_locks) for spec in JOB_KINDS.values()),
        *(create_scheduled_task_function(client, engine.studio, chore) for chore in SCHEDULED_TASKS),
        create_ping_function(client, engine.studio),
        create_hello_function(client, environment or HelloEnvironment()),
    ]
