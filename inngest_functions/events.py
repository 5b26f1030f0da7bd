"""The data of our Inngest events, as pydantic models. Names are the field's own: see docs/reference."""

from uuid import UUID

from pydantic import BaseModel, ConfigDict

from storage.jobs import Job


class OrderEvent(BaseModel):
    """An accepted order. The event's id is the job's; what was ordered stays in the database."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    job_id: UUID
    user_id: int
    bot_name: str
    service: str

    @classmethod
    def of(cls, job: Job) -> "OrderEvent":
        return cls(job_id=job.id, user_id=job.user_id, bot_name=job.bot_name, service=job.service)
