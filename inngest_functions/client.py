"""The one Inngest client, and Inngest as the business sees it: with a deadline, behind a circuit breaker."""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp
import inngest
from circuitbreaker import CircuitBreaker
from loguru import logger

from inngest_functions.events import PREDICTION_FINISHED, OrderEvent, PredictionFinished, sending_of
from services.generation.registry import SERVICES
from services.plans import PlanAAway
from storage.jobs import Job

APP_ID = "diptych"
SERVE_PATH = "/api/inngest"
_PROBE_EVERY = 2.0
_PROBE_SECONDS = 2.0
_SYNC_EVERY = 15.0


@dataclass(frozen=True)
class InngestConfig:
    """Where Inngest is. `production` means signed calls; keys are then required."""

    base_url: str | None
    """Of the dev server or a self-hosted one; None for Inngest's cloud."""
    production: bool
    event_key: str | None = None
    signing_key: str | None = None
    send_deadline: float = 0.8
    """Seconds for Inngest to accept events; the SDK alone tries for over 3 s, or minutes where packets vanish."""


def create_client(config: InngestConfig) -> inngest.Inngest:
    return inngest.Inngest(
        app_id=APP_ID,
        api_base_url=config.base_url,
        event_api_base_url=config.base_url,
        event_key=config.event_key,
        signing_key=config.signing_key,
        is_production=config.production,
        logger=logging.getLogger("inngest"),
    )


def _event(job: Job) -> inngest.Event:
    data = OrderEvent.of(job).model_dump(mode="json")
    return inngest.Event(name=SERVICES[job.service].event, id=sending_of(job), data=data)


class InngestPlan:
    """Plan A. Healthy while the circuit is closed and our functions are registered.

    One failed send opens the circuit; from then on nobody waits for Inngest but the probe, which closes it.
    """

    def __init__(self, client: inngest.Inngest, config: InngestConfig, sync_url: str) -> None:
        self._client = client
        self._config = config
        self._sync_url = sync_url
        self._breaker = CircuitBreaker(failure_threshold=1, recovery_timeout=3600, name="inngest")
        self._registered = False
        self._synced_at = 0.0

    @property
    def healthy(self) -> bool:
        return self._registered and bool(self._breaker.closed)

    @property
    def state(self) -> str:
        """For the health page, in words."""
        if not self._breaker.closed:
            why = self._breaker.last_failure
            return f"away: {why or type(why).__name__}"
        return "ok" if self._registered else "our functions are not registered yet"

    async def send(self, jobs: Sequence[Job]) -> None:
        events = [_event(job) for job in jobs]
        try:
            await self._breaker.call_async(self._send, events)
        except Exception as error:
            raise PlanAAway(f"{type(error).__name__}: {error}") from error

    async def prediction_finished(self, prediction_id: str, job: Job) -> None:
        """Wake a run that waits for this prediction. Raises PlanAAway; the run then wakes up by itself."""
        data = PredictionFinished(prediction_id=prediction_id, job_id=job.id).model_dump(mode="json")
        try:
            await self._breaker.call_async(self._send, [inngest.Event(name=PREDICTION_FINISHED, data=data)])
        except Exception as error:
            raise PlanAAway(f"{type(error).__name__}: {error}") from error

    async def _send(self, events: list[inngest.Event]) -> None:
        async with asyncio.timeout(self._config.send_deadline):
            await self._client.send(events)

    async def watch(self) -> None:
        """Probe Inngest and keep our functions registered, for ever."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_PROBE_SECONDS)) as session:
            while True:
                was = self.healthy
                try:
                    await self._breaker.call_async(self._probe, session)
                except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
                    self._registered = False
                    if was:
                        logger.warning("Inngest is away: {}", error or type(error).__name__)
                if self.healthy and not was:
                    logger.info("Inngest is there: plan A is open")
                await asyncio.sleep(_PROBE_EVERY)

    async def _probe(self, session: aiohttp.ClientSession) -> None:
        async with session.get(f"{self._client.event_api_origin.rstrip('/')}/health") as response:
            if response.status >= 500:
                raise ConnectionError(f"answers {response.status}")
        if self._registered and time.monotonic() - self._synced_at < _SYNC_EVERY:
            return
        async with session.put(self._sync_url) as response:
            if response.status != 200:
                raise ConnectionError(f"registration answers {response.status}: {(await response.text())[:200]}")
        self._registered, self._synced_at = True, time.monotonic()
