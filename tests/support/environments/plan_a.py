"""A replacement for Inngest in tests that send it nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from services.hello import HelloResult
from services.jobs.routing import InngestUnavailable
from storage.jobs.jobs import Job


@dataclass
class FakePlanA:
    """Available or not, as a test sets it. It accepts nothing, so what is sent to it stays in the outbox."""

    healthy: bool = False
    state: str = "ok"
    since: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    async def check_runs(self) -> bool:
        """Inngest runs nothing."""
        return False

    async def send(self, jobs: Sequence[Job]) -> None:
        """Refuse."""
        raise InngestUnavailable("a test's replacement accepts nothing")

    async def send_prediction_finished(self, prediction_id: str, job: Job) -> None:
        """Refuse."""
        raise InngestUnavailable("a test's replacement accepts nothing")

    async def send_cancellation(self, job: Job) -> None:
        """Refuse."""
        raise InngestUnavailable("a test's replacement accepts nothing")

    async def hello(self, name: str, language: str) -> HelloResult:
        """Refuse."""
        raise InngestUnavailable("a test's replacement accepts nothing")
