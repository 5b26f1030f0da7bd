"""The data of our Inngest events, with one pydantic model for each. `EVENTS` lists all of them by name.

docs/reference/events.md describes them. Events carry ids; what users wrote and sent stays in the database. So no
event contains a prompt, a photo or a secret, and none comes near Inngest's limit of 3 MiB.
"""

from typing import Final, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, create_model

from services.generation.registry import SERVICES
from services.generation.spec import ServiceSpec
from services.hello import Hello
from storage.jobs.jobs import Job

HELLO: Final = "demo/hello.world"
PREDICTION_FINISHED: Final = "provider/prediction.finished"
PING: Final = "diptych/ping"
JOB_CANCELLED: Final = "job/cancelled"


class EventData(BaseModel):
    """The base class of the data of events."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class PredictionFinished(EventData):
    """A provider's webhook reported that a prediction has ended, successfully or not."""

    prediction_id: str
    job_id: UUID


class JobCancelled(EventData):
    """The user cancelled the order. Inngest then cancels its run; the job itself has ended already."""

    job_id: UUID


class Ping(EventData):
    """Asks whether Inngest runs what it accepts; the run publishes the topic `ping:<id>`."""

    id: str


class JobEvent(EventData):
    """A job for Plan A. The event's id is `dedup_id`."""

    job_id: UUID
    user_id: int
    bot_name: str
    service: str
    priority: int = Field(default=0, ge=-600, le=600)
    """The run's head start over other waiting runs, in seconds: more for users who have paid."""
    dedup_id: str
    """Stays the same if an event is sent again, and changes if Inngest lost the run and must start it again."""


class PaymentProcess(JobEvent):
    """A payment was credited. The job sends the thanks, the inviter's reward and a message to the admins."""

    service: Literal["payment"] = "payment"


class BroadcastMessage(JobEvent):
    """A broadcast, or the rest of one."""

    service: Literal["broadcast"] = "broadcast"


class TrainingErrorNotification(JobEvent):
    """A training failed."""

    service: Literal["notification_training_error"] = "notification_training_error"


class SuccessNotification(JobEvent):
    """Good news about something that the user ordered or paid for."""

    service: Literal["notification_success"] = "notification_success"


class GenericNotification(JobEvent):
    """Any other notification for one user."""

    service: Literal["notification_generic"] = "notification_generic"


class BulkNotification(JobEvent):
    """The same message for several users."""

    service: Literal["notification_bulk"] = "notification_bulk"


class GameStep(JobEvent):
    """A player rolled the die or wrote a report."""

    service: Literal["game_step"] = "game_step"


class HelloWorld(Hello):
    """`demo/hello.world`: a name and a language, both with defaults."""


def _create_order_event_model(spec: ServiceSpec) -> type[JobEvent]:
    name = "".join(part.capitalize() for part in spec.id.split("_")) + "Order"
    service = (Literal[spec.id], spec.id)
    return create_model(name, __base__=JobEvent, __doc__=f"An order of {spec.id}.", service=service)


EVENTS: Final[dict[str, type[BaseModel]]] = {
    **{spec.event: _create_order_event_model(spec) for spec in SERVICES.values()},
    "payment/process.start": PaymentProcess,
    "broadcast/message.start": BroadcastMessage,
    "notification/training-error.start": TrainingErrorNotification,
    "notification/success.start": SuccessNotification,
    "notification/generic.start": GenericNotification,
    "notification/bulk.start": BulkNotification,
    "game/step.start": GameStep,
    JOB_CANCELLED: JobCancelled,
    PREDICTION_FINISHED: PredictionFinished,
    PING: Ping,
    HELLO: HelloWorld,
}


def dedup_id_of(job: Job) -> str:
    """The id by which Inngest deduplicates: the job's id, and how many times its run was lost."""
    return str(job.id) if job.resends == 0 else f"{job.id}:{job.resends}"


def build_job_event(job: Job, event: str) -> JobEvent:
    """Build the data of the event that starts a job on Plan A.

    Args:
        job: The job.
        event: The name of the event.
    """
    model = EVENTS[event]
    assert issubclass(model, JobEvent)  # noqa: S101 - only such events start jobs
    return model(
        job_id=job.id,
        user_id=job.user_id,
        bot_name=job.bot_name,
        service=job.service,
        priority=job.priority,
        dedup_id=dedup_id_of(job),
    )
