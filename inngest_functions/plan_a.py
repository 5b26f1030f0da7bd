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
    build_job_event,
    dedup_id_of,
)
from inngest_functions.functions.ping import ping_topic
from inngest_functions.hello import build_hello_event
from inngest_functions.runs import RunFailed, RunNotFinished, wait_for_run
from providers.errors import sanitize
from services.durable.pubsub import PubSub
from services.hello import HelloResult
from services.job_kinds import JOB_KINDS
from services.jobs.routing import InngestUnavailable
from storage.jobs.jobs import Job

_PROBE_INTERVAL: Final = 2.0
_PROBE_TIMEOUT: Final = 2.0
_SYNC_INTERVAL: Final = 15.0
_HELLO_TIMEOUT: Final = 15.0


def _to_inngest_event(job: Job) -> inngest.Event:
    name = JOB_KINDS[job.service].event
    return inngest.Event(name=name, id=dedup_id_of(job), data=build_job_event(job, name).model_dump(mode="json"))


class InngestPlan:
    """Plan A. Healthy while the circuit is closed and our functions are registered.

    One failed send opens the circuit; from then on nobody waits for Inngest but the probe, which closes it.
    """

    def __init__(
        self,
        client: inngest.Inngest,
        *,
        pubsub: PubSub | None = None,
        sync_url: str = "",
        connected: Callable[[], bool] | None = None,
        send_deadline: float = 0.8,
        ping_seconds: float = 3.0,
    ) -> None:
        """`sync_url` is where our functions are served; with Connect, `connected` says whether they are."""
        self._client = client
        self._sync_url = sync_url
        self._connected = connected
        self._pubsub = pubsub or PubSub()
        self._send_deadline = send_deadline
        self._ping_seconds = ping_seconds
        self._breaker = CircuitBreaker(failure_threshold=1, recovery_timeout=3600, name="inngest")
        self._synced = False
        self._synced_at = 0.0
        self._runs_nothing = False
        self._was_healthy = False
        self._since = datetime.now(UTC)

    @property
    def _registered(self) -> bool:
        return self._synced if self._connected is None else self._connected()

    @property
    def healthy(self) -> bool:
        return self._registered and not self._runs_nothing and bool(self._breaker.closed)

    @property
    def since(self) -> datetime:
        return self._since

    @property
    def state(self) -> str:
        """For the health page, in words."""
        if not self._breaker.closed:
            error = self._breaker.last_failure
            return f"away: {sanitize(str(error)) or type(error).__name__}"
        if self._runs_nothing:
            return "takes events, but runs nothing"
        if self._registered:
            return "ok"
        return (
            "our functions are not registered yet" if self._connected is None else "not connected to the gateway"
        )

    async def send(self, jobs: Sequence[Job]) -> None:
        await self._send([_to_inngest_event(job) for job in jobs])

    async def send_prediction_finished(self, prediction_id: str, job: Job) -> None:
        """Wake a run that waits for this prediction. Raises PlanAAway; the run then wakes up by itself."""
        data = PredictionFinished(prediction_id=prediction_id, job_id=job.id).model_dump(mode="json")
        await self._send([inngest.Event(name=PREDICTION_FINISHED, data=data)])

    async def send_cancellation(self, job: Job) -> None:
        """Have Inngest cancel a job's run. Raises PlanAAway; it then ends by itself, having lost its lease."""
        data = JobCancelled(job_id=job.id).model_dump(mode="json")
        await self._send([inngest.Event(name=JOB_CANCELLED, id=f"cancel:{job.id}", data=data)])

    async def hello(self, name: str, language: str) -> HelloResult:
        """Send hello world and give what its run gave. Raises PlanAAway."""
        (event_id,) = await self._send([build_hello_event(name, language)])
        try:
            return HelloResult.model_validate(await wait_for_run(self._client, event_id, seconds=_HELLO_TIMEOUT))
        except (RunFailed, RunNotFinished, aiohttp.ClientError) as error:
            raise InngestUnavailable(str(error)) from error

    async def check_runs(self) -> bool:
        """Send a ping and see whether it is run: Inngest is unhealthy until one is."""
        ping = Ping(id=secrets.token_hex(8))
        with suppress(InngestUnavailable), self._pubsub.subscribe(ping_topic(ping)) as received:
            await self._send([inngest.Event(name=PING, data=ping.model_dump(mode="json"))])
            with suppress(TimeoutError):
                await asyncio.wait_for(received.wait(), self._ping_seconds)
            self._runs_nothing = not received.is_set()
            self._synced = (
                self._synced and not self._runs_nothing
            )  # a server that was started anew knows no functions
        self._record_health()
        return self.healthy

    def _record_health(self) -> None:
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
            ids: list[str] = await self._breaker.call_async(self._send_with_deadline, events)
        except Exception as error:
            self._record_health()
            raise InngestUnavailable(f"{type(error).__name__}: {error}") from error
        return ids

    async def _send_with_deadline(self, events: list[inngest.Event]) -> list[str]:
        async with asyncio.timeout(self._send_deadline):
            return await self._client.send(events)

    async def watch(self) -> None:
        """Probe Inngest and keep our functions registered, for ever."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_PROBE_TIMEOUT)) as session:
            while True:
                try:
                    await self._breaker.call_async(self._probe, session)
                except (aiohttp.ClientError, TimeoutError, ConnectionError):
                    self._synced = False  # the breaker keeps why, and `state` says it
                if self._runs_nothing and self._breaker.closed:
                    await self.check_runs()
                self._record_health()
                await asyncio.sleep(_PROBE_INTERVAL)

    async def _probe(self, session: aiohttp.ClientSession) -> None:
        async with session.get(f"{self._client.event_api_origin.rstrip('/')}/health") as response:
            if response.status >= 500:
                raise ConnectionError(f"answers {response.status}")
        if self._connected is None and not (self._synced and time.monotonic() - self._synced_at < _SYNC_INTERVAL):
            await self._sync(session)

    async def _sync(self, session: aiohttp.ClientSession) -> None:
        """Register our functions: a PUT to our own endpoint has the SDK tell Inngest."""
        async with session.put(self._sync_url) as response:
            body = await response.text()
        # SDK 0.5.19 answers 200 with an error in the body when Inngest refuses a function: then it has none of us.
        if response.status != 200 or json.loads(body).get("ok") is not True:
            raise ConnectionError(f"registration answers {response.status}: {body[:200]}")
        self._synced, self._synced_at = True, time.monotonic()
