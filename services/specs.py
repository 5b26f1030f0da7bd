"""Every kind of job by its id: what people order, and errands."""

from collections.abc import Mapping
from typing import Final

from services.errands import broadcast, game, notification, payment
from services.errands.spec import ErrandSpec
from services.generation.registry import SERVICES
from services.generation.spec import ServiceSpec

ERRANDS: Final[Mapping[str, ErrandSpec]] = {
    spec.id: spec for module in (payment, notification, broadcast, game) for spec in module.ERRANDS
}
JOBS: Final[Mapping[str, ServiceSpec | ErrandSpec]] = {**SERVICES, **ERRANDS}
