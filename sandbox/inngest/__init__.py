"""A stand-in for the Inngest dev server, in memory, for development and tests only.

It has what this product uses: the event API, app sync, function calls over HTTP and Connect with memoized steps
(run, sleep, wait for an event), retries, cancellation by an event, on-failure functions, concurrency, throttling,
priority, idempotency, timeouts and cron. With ``ServerKeys`` it acts as a production server, which signs its calls
and answers only requests that have the key. Anything else is refused with an error that names it. It follows the
source code of https://github.com/inngest/inngest, and ``tests/contract`` runs one suite against both.
"""

from sandbox.inngest.clock import Clock
from sandbox.inngest.keys import ServerKeys
from sandbox.inngest.server import Fault, InngestServer

__all__ = ["Clock", "Fault", "InngestServer", "ServerKeys"]
