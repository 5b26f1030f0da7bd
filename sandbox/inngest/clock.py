"""How fast time passes in the stand-in."""

import asyncio
import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Clock:
    """How long things take."""

    retry_delays: tuple[float, ...] = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
    """Seconds before the second try, the third, …; the last one goes on. The real server starts at 15 to 45."""
    unreachable_seconds: float = 120.0
    """Seconds for which an app that cannot be reached costs no attempts.

    The real server counts them, but with its long delays it rides out a restart of minutes; with the short
    ones here a restart would end every run.
    """
    lease_seconds: float = 120.0
    """Seconds for which a Connect worker has a call to itself, unless it extends its lease."""
    speed: float = 1.0
    """How many times faster than real sleeps, waits, time-outs and delays pass."""

    def now(self) -> float:
        """Seconds on a clock that runs at this pace."""
        return time.monotonic() * self.speed

    async def sleep(self, seconds: float) -> None:
        """Let so many seconds of that clock pass."""
        await asyncio.sleep(seconds / self.speed)

    def retry_delay(self, attempt: int) -> float:
        """Seconds before trying again after the attempt, counted from 0."""
        return self.retry_delays[min(attempt, len(self.retry_delays) - 1)]
