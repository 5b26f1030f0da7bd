"""Inngest as the business sees it: Plan A, with a deadline for every send and a circuit breaker in front."""

import asyncio
import json
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

import aiohttp
import inngest
from circuitbreaker import CircuitBreaker
from loguru import logger

from inngest_functions.events import (
    JOB_CANCELLED,
    PING,
    PREDICTION_FINISHED,
    JobCancelled,
    Ping,
    PredictionFinished,
    event_of,
    sending_of,
)
from inngest_functions.functions.ping import signal_of
from inngest_functions.hello import hello_event
from inngest_functions.runs import RunFailed, RunUnknown, wait_for_run
from providers.errors import clean
from services.durable.pubsub import Signals
from services.hello import HelloResult
from services.job_kinds import JOBS
from services.jobs.routing import PlanAAway
from storage.jobs.jobs import Job

_PROBE_EVERY: Final = 2.0
_PROBE_SECONDS: Final = 2.0
_SYNC_EVERY: Final = 15.0
_HELLO_SECONDS: Final = 15.0


def _event(job: Job) -> inngest.Event:
    name = JOBS[job.service].event
    return inngest.Event(name=name, id=sending_of(job), data=event_of(job, name).model_dump(mode="json"))


class InngestPlan:
    """Plan A. Healthy while the circuit is closed and our functions are registered.

    One failed send opens the circuit; from then on nobody waits for Inngest but the probe, which closes it.
    """

    def __init__(
        self,
        client: inngest.Inngest,
        *,
        signals: Signals | None = None,
        sync_url: str = "",
        connected: Callable[[], bool] | None = None,
        send_deadline: float = 0.8,
        ping_seconds: float = 3.0,
    ) -> None:
        """`sync_url` is where our functions are served; with Connect, `connected` says whether they are."""
        self._client = client
        self._sync_url = sync_url
        self._connected = connected
        self._signals = signals or Signals()
        self._send_deadline = send_deadline
        self._ping_seconds = ping_seconds
        self._breaker = CircuitBreaker(failure_threshold=1, recovery_timeout=3600, name="inngest")
        self._synced = False
        self._synced_at = 0.0
        self._silent = False
        self._was_healthy = False
        self._since = datetime.now(UTC)

    @property
    def _registered(self) -> bool:
        return self._synced if self._connected is None else self._connected()

    @property
    def healthy(self) -> bool:
        return self._registered and not self._silent and bool(self._breaker.closed)

    @property
    def since(self) -> datetime:
        return self._since

    @property
    def state(self) -> str:
        """For the health page, in words."""
        if not self._breaker.closed:
            why = self._breaker.last_failure
            return f"away: {clean(str(why)) or type(why).__name__}"
        if self._silent:
            return "takes events, but runs nothing"
        if self._registered:
            return "ok"
        return (
            "our functions are not registered yet" if self._connected is None else "not connected to the gateway"
        )

    async def send(self, jobs: Sequence[Job]) -> None:
        await self._send([_event(job) for job in jobs])

    async def prediction_finished(self, prediction_id: str, job: Job) -> None:
        """Wake a run that waits for this prediction. Raises PlanAAway; the run then wakes up by itself."""
        data = PredictionFinished(prediction_id=prediction_id, job_id=job.id).model_dump(mode="json")
        await self._send([inngest.Event(name=PREDICTION_FINISHED, data=data)])

    async def cancelled(self, job: Job) -> None:
        """Have Inngest cancel a job's run. Raises PlanAAway; it then ends by itself, having lost its lease."""
        data = JobCancelled(job_id=job.id).model_dump(mode="json")
        await self._send([inngest.Event(name=JOB_CANCELLED, id=f"cancel:{job.id}", data=data)])

    async def hello(self, name: str, language: str) -> HelloResult:
        """Send hello world and give what its run gave. Raises PlanAAway."""
        (event_id,) = await self._send([hello_event(name, language)])
        try:
            return HelloResult.model_validate(await wait_for_run(self._client, event_id, seconds=_HELLO_SECONDS))
        except (RunFailed, RunUnknown, aiohttp.ClientError) as error:
            raise PlanAAway(str(error)) from error

    async def runs_something(self) -> bool:
        """Send a ping and see whether it is run: Inngest is unhealthy until one is."""
        ping = Ping(id=secrets.token_hex(8))
        with suppress(PlanAAway), self._signals.expect(signal_of(ping)) as heard:
            await self._send([inngest.Event(name=PING, data=ping.model_dump(mode="json"))])
            with suppress(TimeoutError):
                await asyncio.wait_for(heard.wait(), self._ping_seconds)
            self._silent = not heard.is_set()
            self._synced = self._synced and not self._silent  # a server that was started anew knows no functions
        self._note()
        return self.healthy

    def _note(self) -> None:
        """Say and remember that Inngest has come or gone."""
        if self.healthy == self._was_healthy:
            return
        self._was_healthy, self._since = self.healthy, datetime.now(UTC)
        if self.healthy:
            logger.info("Inngest is there: plan A is open")
        else:
            logger.warning("Inngest is away: {}", self.state)

    async def _send(self, events: list[inngest.Event]) -> list[str]:
        try:
            ids: list[str] = await self._breaker.call_async(self._send_in_time, events)
        except Exception as error:
            self._note()
            raise PlanAAway(f"{type(error).__name__}: {error}") from error
        return ids

    async def _send_in_time(self, events: list[inngest.Event]) -> list[str]:
        async with asyncio.timeout(self._send_deadline):
            return await self._client.send(events)

    async def watch(self) -> None:
        """Probe Inngest and keep our functions registered, for ever."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_PROBE_SECONDS)) as session:
            while True:
                try:
                    await self._breaker.call_async(self._probe, session)
                except (aiohttp.ClientError, TimeoutError, ConnectionError):
                    self._synced = False  # the breaker keeps why, and `state` says it
                if self._silent and self._breaker.closed:
                    await self.runs_something()
                self._note()
                await asyncio.sleep(_PROBE_EVERY)

    async def _probe(self, session: aiohttp.ClientSession) -> None:
        async with session.get(f"{self._client.event_api_origin.rstrip('/')}/health") as response:
            if response.status >= 500:
                raise ConnectionError(f"answers {response.status}")
        if self._connected is None and not (self._synced and time.monotonic() - self._synced_at < _SYNC_EVERY):
            await self._sync(session)

    async def _sync(self, session: aiohttp.ClientSession) -> None:
        """Register our functions: a PUT to our own endpoint has the SDK tell Inngest."""
        async with session.put(self._sync_url) as response:
            body = await response.text()
        # SDK 0.5.19 answers 200 with an error in the body when Inngest refuses a function: then it has none of us.
        if response.status != 200 or json.loads(body).get("ok") is not True:
            raise ConnectionError(f"registration answers {response.status}: {body[:200]}")
        self._synced, self._synced_at = True, time.monotonic()
