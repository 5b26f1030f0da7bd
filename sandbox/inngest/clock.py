"""How fast time passes in the server."""

import asyncio
import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Clock:
    """How long retries, sleeps, waits and leases take."""

    retry_delays: tuple[float, ...] = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
    """Seconds before the second attempt, the third, …; the last one repeats.

    The real server starts with 15 to 45 seconds.
    """
    unreachable_seconds: float = 120.0
    """Seconds during which an unreachable app uses up no attempts.

    The real server counts these attempts, but its long delays cover a restart of several minutes. With the short
    ones here a restart would end every run.
    """
    lease_seconds: float = 120.0
    """Seconds for which a call belongs to a Connect worker, unless the worker extends its lease."""
    speed: float = 1.0
    """How many times faster than in reality sleeps, waits, timeouts and delays pass."""

    def now(self) -> float:
        """Return the seconds on a monotonic clock that runs at this speed."""
        return time.monotonic() * self.speed

    async def sleep(self, seconds: float) -> None:
        """Wait for so many seconds on that clock."""
        await asyncio.sleep(seconds / self.speed)

    def retry_delay(self, attempt: int) -> float:
        """Return the seconds before the next attempt; ``attempt`` counts from 0."""
        return self.retry_delays[min(attempt, len(self.retry_delays) - 1)]
