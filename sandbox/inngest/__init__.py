"""A stand-in for the Inngest dev server, in memory, for development and tests only.

It implements the protocols that the Inngest SDK needs, HTTP and Connect: the event API, app sync, function calls
with memoized steps, retries, sleeps, waits, invocations, parallel steps, cancellation, on-failure functions,
concurrency, idempotency, priority, rate limits, throttling, debounce, batches, singletons, timeouts and cron. With
``ServerKeys`` it acts as a production server, which signs its calls and answers only requests that have the key. It
follows the source code of https://github.com/inngest/inngest, and ``tests/contract`` runs one suite against both.

It does not keep anything through a restart, close a batch at 10 MiB, spread crons by their jitter or respect the
capacity of a Connect worker.
"""

from sandbox.inngest.api.sync import SyncError
from sandbox.inngest.clock import Clock
from sandbox.inngest.keys import ServerKeys
from sandbox.inngest.server import Fault, InngestServer

__all__ = ["Clock", "Fault", "InngestServer", "ServerKeys", "SyncError"]
