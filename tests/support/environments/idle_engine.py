"""An engine for tests that inspect functions and never run one."""

from typing import Any

from services.core.background import BackgroundTasks
from services.jobs.engine import JobEngine


def create_idle_engine() -> JobEngine:
    """An engine without a database, a messenger or providers."""
    nothing: Any = None
    return JobEngine(nothing, nothing, nothing, BackgroundTasks(), {}, nothing)
