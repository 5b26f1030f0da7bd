"""Wakes the job that waits for a prediction when the provider reports that the prediction has ended."""

from loguru import logger

from services.durable.pubsub import publish
from services.jobs.routing import InngestUnavailable, PlanA
from storage.jobs.jobs import get_job_by_prediction
from storage.pool import Executor


async def wake_job(db: Executor, plan_a: PlanA, prediction_id: str) -> bool:
    """Wake the job that waits for a prediction, in any process and on either plan.

    This is only a hint: the job polls the provider anyway, just a little later without a wake-up.

    Args:
        db: The database.
        plan_a: Inngest, for the runs of Plan A jobs.
        prediction_id: The provider's id of the prediction.

    Returns:
        Whether the prediction is one of ours.
    """
    job = await get_job_by_prediction(db, prediction_id)
    if job is not None and not job.ended:
        await publish(db, prediction_id)
        if job.plan == "A":
            try:
                await plan_a.send_prediction_finished(prediction_id, job)
            except InngestUnavailable as error:
                logger.warning("run not woken at Inngest", job=job.id, prediction=prediction_id, error=error)
    return job is not None
