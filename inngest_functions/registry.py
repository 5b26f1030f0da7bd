"""The one list of the functions that are served. One that is missing here makes its events vanish."""

from typing import Any

import inngest

from inngest_functions.functions.hello_world import create_hello_function
from inngest_functions.functions.jobs import create_generation_function
from inngest_functions.functions.ping import create_ping_function
from inngest_functions.functions.scheduled_tasks import create_chore_function
from inngest_functions.run_locks import Calls
from services.hello import HelloEnvironment
from services.job_kinds import JOBS
from services.jobs.engine import JobEngine
from services.maintenance.scheduled_tasks import CHORES


def create_functions(
    client: inngest.Inngest, engine: JobEngine, calls: Calls, environment: HelloEnvironment | None = None
) -> list[inngest.Function[Any]]:
    return [
        *(create_generation_function(client, engine, spec, calls) for spec in JOBS.values()),
        *(create_chore_function(client, engine.studio, chore) for chore in CHORES),
        create_ping_function(client, engine.studio),
        create_hello_function(client, environment or HelloEnvironment()),
    ]
