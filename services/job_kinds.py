"""All kinds of jobs: the services that users order, and the internal jobs."""

from collections.abc import Mapping
from typing import Final

from services.billing import payment_followup as payment
from services.broadcast import job as broadcast
from services.generation.registry import SERVICES
from services.generation.spec import ServiceSpec
from services.jobs.internal_jobs import InternalJobSpec
from services.leela import job as game
from services.notifications import notices as notification

INTERNAL_JOBS: Final[Mapping[str, InternalJobSpec]] = {
    spec.id: spec for module in (payment, notification, broadcast, game) for spec in module.INTERNAL_JOBS
}
"""The internal jobs by id. bot/app.py maps each to the function that runs it."""
JOB_KINDS: Final[Mapping[str, ServiceSpec | InternalJobSpec]] = {**SERVICES, **INTERNAL_JOBS}
"""All job kinds by id, which is stored as `service` in their jobs."""
