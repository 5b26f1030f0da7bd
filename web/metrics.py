"""`/metrics` for Prometheus: what this process has counted, and what stands in the database now."""

import asyncio
import hmac
import time
from collections.abc import Iterator, Sequence
from typing import Final

import asyncpg
from aiohttp import web
from loguru import logger
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from services.core.metrics import REGISTRY, begin_counting
from services.jobs.routing import MODES, Plans
from services.jobs.worker import Queue
from services.messaging.app_context import Studio
from storage.pool import DATABASE_AWAY
from storage.reports.metrics import GaugeReader, Gauges

_KEEP_SECONDS: Final = 1.0
_READ_SECONDS: Final = 1.0
_CLOSED: Final = "In production METRICS_TOKEN has to be set, and sent as a bearer token.\n"


class Metrics:
    """`token` has to be sent where it is set. Without one, `open_to_all` says whether anybody is answered."""

    def __init__(
        self, studio: Studio, plans: Plans, queue: Queue, *, token: str = "", open_to_all: bool = True
    ) -> None:
        self._db = studio.db
        self._plans = plans
        self._queue = queue
        self._token = token
        self._open_to_all = open_to_all
        self._reader = GaugeReader()
        self._gauges: Gauges | None = None
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()
        begin_counting(plans.services)

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/metrics", self._metrics)

    async def _metrics(self, request: web.Request) -> web.Response:
        if self._token:
            given = request.headers.get("Authorization", "")
            if not hmac.compare_digest(given.encode(), f"Bearer {self._token}".encode()):
                return web.Response(status=401, headers={"WWW-Authenticate": "Bearer"})
        elif not self._open_to_all:
            return web.Response(status=403, text=_CLOSED)
        await self._read()
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self), headers={"Content-Type": content_type})

    async def _read(self) -> None:
        """Read the gauges anew, unless that was done a moment ago. Without the database there are none."""
        async with self._reading:
            if time.monotonic() - self._read_at < _KEEP_SECONDS:
                return
            try:
                async with asyncio.timeout(_READ_SECONDS), self._db.acquire(timeout=_READ_SECONDS) as connection:
                    self._gauges = await self._reader.read(connection)
            except (*DATABASE_AWAY, asyncpg.PostgresError) as error:
                logger.warning("/metrics is without the database's numbers: {}", type(error).__name__)
                self._gauges = None
            self._read_at = time.monotonic()

    def collect(self) -> Iterator[Metric]:
        """Everything, as prometheus_client asks for it."""
        yield from REGISTRY.collect()
        yield from self._of_process()
        yield _gauge(
            "diptych_database_up", "Whether the database answers within a second", self._gauges is not None
        )
        yield from _of_database(self._gauges, self._plans.services)

    def _of_process(self) -> Iterator[Metric]:
        plan_a, pool, queue = self._plans.plan_a, self._db, self._queue
        yield _gauge("diptych_plan_a_healthy", "Whether this process sends orders to Inngest", plan_a.healthy)
        yield _gauge(
            "diptych_plan_a_since_timestamp_seconds", "When that last changed, Unix time", plan_a.since.timestamp()
        )
        state = GaugeMetricFamily(
            "diptych_plan_a_state", "ok, or why not; away is an open circuit", labels=["state"]
        )
        state.add_metric([plan_a.state.partition(":")[0]], 1)
        yield state
        modes = GaugeMetricFamily("diptych_service_mode", "1 for each service's mode", labels=["service", "mode"])
        for service in self._plans.services:
            for mode in MODES:
                modes.add_metric([service, mode], self._plans.mode(service) == mode)
        yield modes
        yield _gauge("diptych_plan_b_in_flight", "Jobs that this process runs on Plan B", queue.in_flight)
        yield _gauge("diptych_plan_b_free_slots", "Jobs that it could run besides", max(0, queue.free))
        connections = GaugeMetricFamily("diptych_database_connections", "Of this process's pool", labels=["state"])
        connections.add_metric(["idle"], pool.get_idle_size())
        connections.add_metric(["busy"], pool.get_size() - pool.get_idle_size())
        yield connections


def _gauge(name: str, about: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, about, value=float(value))


def _of_database(gauges: Gauges | None, services: Sequence[str]) -> Iterator[Metric]:
    """The same in every process; so take one of them, and not their sum."""
    where = ["service", "plan"]
    jobs = GaugeMetricFamily("diptych_jobs_open", "Jobs that are queued or running", labels=[*where, "state"])
    oldest = GaugeMetricFamily("diptych_oldest_waiting_seconds", "Age of the oldest queued job", labels=where)
    outbox = GaugeMetricFamily("diptych_outbox_jobs", "Orders that wait to be sent to Inngest", labels=[])
    incidents = GaugeMetricFamily("diptych_incident_open", "1 for each incident that is open", labels=["kind"])
    fallbacks = CounterMetricFamily(
        "diptych_fallbacks", "Orders that went to Plan B because Inngest was away", labels=["service"]
    )
    takeovers = CounterMetricFamily("diptych_takeovers", "Jobs that another runner took over", labels=["service"])
    ledger = GaugeMetricFamily("diptych_ledger_stars", "Sum of an account's postings", labels=["account"])
    if gauges:
        for each in gauges.open:
            jobs.add_metric([each.service, each.plan, each.state], each.count)
            if each.state == "queued":
                oldest.add_metric([each.service, each.plan], each.oldest_seconds)
        outbox.add_metric([], gauges.outbox)
        for kind in gauges.incidents:
            incidents.add_metric([kind], 1)
        for service in {*services, *(service for _, service in gauges.rescues)}:
            # From 0 on: Prometheus does not see a counter grow that begins with its first event.
            fallbacks.add_metric([service], gauges.rescues.get(("fell_back", service), 0))
            takeovers.add_metric([service], gauges.rescues.get(("taken_over", service), 0))
        for account, stars in gauges.ledger.items():
            ledger.add_metric([account], stars)
    yield from (jobs, oldest, outbox, incidents, fallbacks, takeovers, ledger)
