"""An Inngest function for each kind of job, created from its spec. It calls the same `run_job` as Plan B."""

from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import inngest
from loguru import logger

from inngest_functions.events import JOB_CANCELLED, JobEvent
from inngest_functions.run_locks import RunLocks
from inngest_functions.steps import InngestSteps
from services.core.errors import LeaseLost, RetriesExhausted
from services.durable.steps import MAX_RETRIES
from services.generation.spec import ServiceSpec
from services.jobs.engine import JobEngine, job_log_context
from services.jobs.expiry import STALE_AFTER
from services.jobs.internal_jobs import InternalJobSpec
from storage.jobs.jobs import Job, claim_job, release_job
from storage.jobs.journal import read_journal

_RUNS_PER_USER: Final = 2
_FINISH_TIMEOUT: Final = timedelta(hours=6)
"""No run should take this long. If one does, Inngest ends it and Plan B finishes the job from its journal."""

JobSpec = ServiceSpec | InternalJobSpec


def create_job_function(
    client: inngest.Inngest, engine: JobEngine, spec: JobSpec, run_locks: RunLocks
) -> inngest.Function[Any]:
    """Create the function that runs jobs of one kind on Plan A.

    Args:
        client: The Inngest client.
        engine: Runs the job.
        spec: The kind of job, with its limits.
        run_locks: Allow only one call at a time to work on a job.
    """

    async def run(ctx: inngest.Context) -> dict[str, str]:
        job_id = JobEvent.model_validate(ctx.event.data).job_id
        async with run_locks.exclusive(job_id):
            job = await claim_job(engine.db, job_id, ctx.run_id, "A", seconds=engine.lease_seconds)
            if job is None:  # the job has ended, or Plan B has taken it over
                return {"job_id": str(job_id), "state": "not ours"}
            with job_log_context(job):
                state = await _continue_job(engine, ctx, job)
        return {"job_id": str(job_id), "state": state}

    async def on_failure(ctx: inngest.Context) -> dict[str, str]:
        original: Any = ctx.event.data["event"]
        job_id = JobEvent.model_validate(original["data"]).job_id
        async with run_locks.exclusive(job_id):
            return {"job_id": str(job_id), "state": await _hand_over_failed_run(engine, ctx, job_id)}

    return client.create_function(
        fn_id=spec.function_id,
        name=spec.id,
        trigger=inngest.TriggerEvent(event=spec.event),
        retries=MAX_RETRIES,
        idempotency="event.data.dedup_id",
        priority=inngest.Priority(run="int(event.data.priority)"),
        throttle=inngest.Throttle(limit=spec.starts_per_minute, period=timedelta(minutes=1)),
        timeouts=inngest.Timeouts(start=STALE_AFTER, finish=_FINISH_TIMEOUT),
        concurrency=_concurrency(spec),
        cancel=[inngest.Cancel(event=JOB_CANCELLED, if_exp="async.data.job_id == event.data.job_id")],
        on_failure=on_failure,
    )(run)


def _concurrency(spec: JobSpec) -> list[inngest.Concurrency]:
    limits = [inngest.Concurrency(limit=spec.concurrency)]
    if isinstance(spec, ServiceSpec):
        limits.append(inngest.Concurrency(limit=_RUNS_PER_USER, key="event.data.user_id"))
    return limits


async def _continue_job(engine: JobEngine, ctx: inngest.Context, job: Job) -> str:
    """Run the claimed job until its next step, which ends this call, or until it ends."""
    entries = await read_journal(engine.db, job.id)
    if not entries:
        logger.info("job claimed", epoch=job.epoch, run=ctx.run_id)
    try:
        return await engine.run_job(job, InngestSteps(engine.db, job, entries, ctx, engine.lease_seconds))
    except LeaseLost:
        return "not ours"
    except RetriesExhausted as error:
        logger.warning("job handed to plan B", error=error)
        await release_job(engine.db, job.id, job.epoch)
        return "handed over"


async def _hand_over_failed_run(engine: JobEngine, ctx: inngest.Context, job_id: UUID) -> str:
    """Hand over a job whose run failed outside a step: Plan B continues it from its journal."""
    failed_run = str(ctx.event.data.get("run_id", ""))
    job = await claim_job(engine.db, job_id, failed_run, "A", seconds=engine.lease_seconds)
    if job is None:
        return "not ours"
    with job_log_context(job):
        logger.error("run failed, job handed to plan B", run=failed_run, error=ctx.event.data.get("error"))
    await release_job(engine.db, job_id, job.epoch)
    return "handed over"
