"""A stand-in for the Inngest dev server, in memory, for development and tests only.

It speaks the HTTP protocol that the Inngest SDK needs: the event API, app sync, function calls with memoised
steps, retries, sleeps, waits, invocations, parallel steps, cancel, on-failure, concurrency, idempotency, rate
limits, throttling and cron. It follows the open source of inngest/inngest, and ``tests/contract`` runs one
suite against both.

What it does not do: keep anything through a restart, sign requests, batch, debounce, run singletons, order by
priority, Connect.
"""

from sandbox.inngest.pace import Pace
from sandbox.inngest.stand import Fault, InngestStand
from sandbox.inngest.sync import SyncError

__all__ = ["Fault", "InngestStand", "Pace", "SyncError"]
