"""The data of our Inngest events, as pydantic models. Names are the field's own: see docs/reference."""

from uuid import UUID

from pydantic import BaseModel, ConfigDict

from storage.jobs import Job

PREDICTION_FINISHED = "provider/prediction.finished"


class PredictionFinished(BaseModel):
    """A provider's webhook said that a prediction has ended, well or not."""

    model_config = ConfigDict(frozen=True)

    prediction_id: str
    job_id: UUID


def sending_of(job: Job) -> str:
    """What Inngest de-duplicates by: the job's id, and how often its run was lost."""
    return str(job.id) if job.epoch == 0 else f"{job.id}:{job.epoch}"


class OrderEvent(BaseModel):
    """An accepted order. The event's id is the job's; what was ordered stays in the database."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    job_id: UUID
    user_id: int
    bot_name: str
    service: str
    sending: str
    """The same for every try to send one event; another one where Inngest lost the run and must begin again."""

    @classmethod
    def of(cls, job: Job) -> "OrderEvent":
        return cls(
            job_id=job.id, user_id=job.user_id, bot_name=job.bot_name, service=job.service, sending=sending_of(job)
        )
