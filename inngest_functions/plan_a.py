"""Plan A: Inngest behind the interface that the rest of the bot uses. Every send has a deadline."""

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
from providers.redaction import redact_line
from services.durable.pubsub import PubSub
from services.hello import HelloResult
from services.job_kinds import JOB_KINDS
from services.jobs.routing import InngestUnavailable
from storage.jobs.jobs import Job

_PROBE_TIMEOUT: Final = 2.0
_SYNC_INTERVAL: Final = 15.0
_HELLO_TIMEOUT: Final = 15.0


def _to_inngest_event(job: Job) -> inngest.Event:
    name = JOB_KINDS[job.service].event
    return inngest.Event(name=name, id=dedup_id_of(job), data=build_job_event(job, name).model_dump(mode="json"))


class InngestPlan:
    """Plan A. It is healthy if the last call succeeded, our functions are registered and Inngest runs what it accepts.

    One failed call makes it unhealthy, and orders go to Plan B until a call succeeds, such as the next probe.

    Args:
        client: The Inngest client.
        pubsub: Receives the topic that is published once a ping has run.
        sync_url: The URL that our functions are served at; empty with Connect.
        connected: With Connect, returns whether we are connected.
        send_deadline: Seconds that Inngest has to accept events.
        ping_seconds: Seconds that Inngest has to run a ping.
    """

    def __init__(
        self,
        client: inngest.Inngest,
        pubsub: PubSub,
        *,
        sync_url: str = "",
        connected: Callable[[], bool] | None = None,
        send_deadline: float = 0.8,
        ping_seconds: float = 3.0,
    ) -> None:
        self._client = client
        self._sync_url = sync_url
        self._connected = connected
        self._pubsub = pubsub
        self._send_deadline = send_deadline
        self._ping_seconds = ping_seconds
        self._error: Exception | None = None
        """Why the last call failed."""
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
        """Whether orders may be sent to Inngest."""
        return self._registered and not self._runs_nothing and self._error is None

    @property
    def since(self) -> datetime:
        """When this process last saw `healthy` change."""
        return self._since

    @property
    def state(self) -> str:
        """`ok`, or why Plan A is not healthy, for the health page and admins."""
        if self._error is not None:
            return f"unavailable: {redact_line(str(self._error)) or type(self._error).__name__}"
        if self._runs_nothing:
            return "accepts events but runs nothing"
        if self._registered:
            return "ok"
        return (
            "our functions are not registered yet" if self._connected is None else "not connected to the gateway"
        )

    async def send(self, jobs: Sequence[Job]) -> None:
        """Send the events that start these jobs. Raises InngestUnavailable."""
        await self._send([_to_inngest_event(job) for job in jobs])

    async def send_prediction_finished(self, prediction_id: str, job: Job) -> None:
        """Wake the run that waits for this prediction. Raises InngestUnavailable; the run then wakes up by itself."""
        data = PredictionFinished(prediction_id=prediction_id, job_id=job.id).model_dump(mode="json")
        await self._send([inngest.Event(name=PREDICTION_FINISHED, data=data)])

    async def send_cancellation(self, job: Job) -> None:
        """Cancel a job's run. Raises InngestUnavailable; the run then ends by itself, because it has lost the lease."""
        data = JobCancelled(job_id=job.id).model_dump(mode="json")
        await self._send([inngest.Event(name=JOB_CANCELLED, id=f"cancel:{job.id}", data=data)])

    async def hello(self, name: str, language: str) -> HelloResult:
        """Send the hello-world event and return the result of its run. Raises InngestUnavailable."""
        (event_id,) = await self._send([build_hello_event(name, language)])
        try:
            return HelloResult.model_validate(await wait_for_run(self._client, event_id, seconds=_HELLO_TIMEOUT))
        except (RunFailed, RunNotFinished, aiohttp.ClientError) as error:
            raise InngestUnavailable(str(error)) from error

    async def check_runs(self) -> bool:
        """Send a ping and wait for its run. If it does not run, Plan A is unhealthy until a later ping runs.

        Returns:
            Whether Plan A is healthy.
        """
        ping = Ping(id=secrets.token_hex(8))
        with suppress(InngestUnavailable), self._pubsub.subscribe(ping_topic(ping)) as received:
            await self._send([inngest.Event(name=PING, data=ping.model_dump(mode="json"))])
            with suppress(TimeoutError):
                await asyncio.wait_for(received.wait(), self._ping_seconds)
            self._runs_nothing = not received.is_set()
            if self._runs_nothing:
                self._synced = False  # a restarted server has forgotten our functions
        self._record_health()
        return self.healthy

    def _record_health(self) -> None:
        """Log and record a change of `healthy`."""
        if self.healthy == self._was_healthy:
            return
        self._was_healthy, self._since = self.healthy, datetime.now(UTC)
        if self.healthy:
            logger.info("plan A is healthy")
        else:
            logger.warning("plan A is unhealthy", reason=self.state)

    async def _send(self, events: list[inngest.Event]) -> list[str]:
        try:
            async with asyncio.timeout(self._send_deadline):
                ids = await self._client.send(events)
        except Exception as error:
            self._error = error
            self._record_health()
            raise InngestUnavailable(f"{type(error).__name__}: {error}") from error
        self._error = None
        return ids

    async def check(self) -> None:
        """Probe Inngest once, and register our functions if it does not know them. To be called every few seconds."""
        try:
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_PROBE_TIMEOUT)) as session:
                await self._probe(session)
        except Exception as error:
            self._error, self._synced = error, False
            if not isinstance(error, aiohttp.ClientError | TimeoutError | ConnectionError):
                self._record_health()
                raise
        else:
            self._error = None
        if self._runs_nothing and self._error is None:
            await self.check_runs()
        self._record_health()

    async def _probe(self, session: aiohttp.ClientSession) -> None:
        async with session.get(f"{self._client.event_api_origin.rstrip('/')}/health") as response:
            if response.status >= 500:
                raise ConnectionError(f"health check answered {response.status}")
        if self._connected is None and not (self._synced and time.monotonic() - self._synced_at < _SYNC_INTERVAL):
            await self._sync(session)

    async def _sync(self, session: aiohttp.ClientSession) -> None:
        """Register our functions: a PUT to our own endpoint makes the SDK register them."""
        async with session.put(self._sync_url) as response:
            body = await response.text()
        # If Inngest refuses one function, it registers none, and SDK 0.5.19 answers 200 with an error in the body.
        if response.status != 200 or json.loads(body).get("ok") is not True:
            raise ConnectionError(f"registration answered {response.status}: {body[:200]}")
        self._synced, self._synced_at = True, time.monotonic()
