"""A stand-in for the Inngest dev server, in memory, for development and tests only.

It speaks the protocols that the Inngest SDK needs, HTTP and Connect: the event API, app sync, function calls
with memoised steps, retries, sleeps, waits, invocations, parallel steps, cancel, on-failure, concurrency,
idempotency, priority, rate limits, throttling, debounce, batches, singletons, time-outs and cron. With ``Keys`` it
is a production server, which signs its calls and answers nobody without the key. It follows the open source of
inngest/inngest, and ``tests/contract`` runs one suite against both.

What it does not do: keep anything through a restart, close a batch at 10 MiB, spread crons by their jitter, heed a
Connect worker's capacity.
"""

from sandbox.inngest.api.sync import SyncError
from sandbox.inngest.clock import Clock
from sandbox.inngest.keys import ServerKeys
from sandbox.inngest.server import Fault, InngestServer

__all__ = ["Clock", "Fault", "InngestServer", "ServerKeys", "SyncError"]
