"""Every kind of job by its id: what people order, and errands."""

from services.errands.registry import ERRANDS
from services.errands.spec import ErrandSpec
from services.generation.registry import SERVICES
from services.generation.spec import ServiceSpec

JOBS: dict[str, ServiceSpec | ErrandSpec] = {**SERVICES, **ERRANDS}
