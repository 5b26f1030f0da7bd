"""Every kind of job by its id: what people order, and errands."""

from collections.abc import Mapping
from typing import Final

from services.billing import payment_followup as payment
from services.broadcast import job as broadcast
from services.generation.registry import SERVICES
from services.generation.spec import ServiceSpec
from services.jobs.internal_jobs import ErrandSpec
from services.leela import job as game
from services.notifications import notices as notification

ERRANDS: Final[Mapping[str, ErrandSpec]] = {
    spec.id: spec for module in (payment, notification, broadcast, game) for spec in module.ERRANDS
}
JOBS: Final[Mapping[str, ServiceSpec | ErrandSpec]] = {**SERVICES, **ERRANDS}
