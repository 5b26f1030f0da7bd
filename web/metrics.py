"""`/metrics` for Prometheus: the counters of this process, and current figures from the database."""

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

from services.core.metrics import REGISTRY, initialize_counters
from services.jobs.routing import MODES, PlanRouter
from services.jobs.worker import Worker
from storage.pool import DATABASE_UNAVAILABLE, Pool
from storage.reports.metrics import DatabaseMetrics, MetricsReader

CACHE_SECONDS: Final = 1.0
_READ_TIMEOUT_SECONDS: Final = 1.0
_FORBIDDEN_TEXT: Final = "In production METRICS_TOKEN has to be set, and sent as a bearer token.\n"


class Metrics:
    """Serves the metrics.

    Args:
        db: The database.
        router: The modes, and Inngest's health.
        worker: Plan B's worker in this process.
        token: The bearer token that a request must have; empty for none.
        allow_anonymous: Whether requests are answered if `token` is empty.
    """

    def __init__(
        self, db: Pool, router: PlanRouter, worker: Worker, *, token: str = "", allow_anonymous: bool = True
    ) -> None:
        self._db = db
        self._router = router
        self._worker = worker
        self._token = token
        self._allow_anonymous = allow_anonymous
        self._reader = MetricsReader()
        self._database_metrics: DatabaseMetrics | None = None
        self._read_at = float("-inf")
        self._lock = asyncio.Lock()
        initialize_counters(router.services)

    def add_routes(self, app: web.Application) -> None:
        """Add `/metrics` to the web application."""
        app.router.add_get("/metrics", self._metrics)

    def collect(self) -> Iterator[Metric]:
        """All metrics. This makes the object a collector of prometheus_client."""
        yield from REGISTRY.collect()
        yield from self._process_metrics()
        metrics = self._database_metrics
        yield _gauge("diptych_database_up", "1 if the database answered within a second", metrics is not None)
        yield from _database_metrics(metrics, self._router.services)

    async def _metrics(self, request: web.Request) -> web.Response:
        """Metrics for Prometheus."""
        if self._token:
            authorization = request.headers.get("Authorization", "")
            if not hmac.compare_digest(authorization.encode(), f"Bearer {self._token}".encode()):
                return web.Response(status=401, headers={"WWW-Authenticate": "Bearer"})
        elif not self._allow_anonymous:
            return web.Response(status=403, text=_FORBIDDEN_TEXT)
        await self._refresh()
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self), headers={"Content-Type": content_type})

    async def _refresh(self) -> None:
        """Read the figures from the database, at most once per second. While it is unavailable, there are none."""
        async with self._lock:
            if time.monotonic() - self._read_at < CACHE_SECONDS:
                return
            try:
                async with (
                    asyncio.timeout(_READ_TIMEOUT_SECONDS),
                    self._db.acquire(timeout=_READ_TIMEOUT_SECONDS) as connection,
                ):
                    self._database_metrics = await self._reader.read(connection)
            except (*DATABASE_UNAVAILABLE, asyncpg.PostgresError) as error:
                logger.warning("database metrics not read", error=error)
                self._database_metrics = None
            self._read_at = time.monotonic()

    def _process_metrics(self) -> Iterator[Metric]:
        router, pool, worker = self._router, self._db, self._worker
        plan_a = router.plan_a
        yield _gauge("diptych_plan_a_healthy", "1 if this process sends orders to Inngest", plan_a.healthy)
        yield _gauge(
            "diptych_plan_a_since_timestamp_seconds",
            "When Plan A's health last changed, in Unix time",
            plan_a.since.timestamp(),
        )
        state = GaugeMetricFamily(
            "diptych_plan_a_state",
            "Inngest as this process sees it: ok, unavailable after a failed call, or another reason",
            labels=["state"],
        )
        state.add_metric([plan_a.state.partition(":")[0]], 1)
        yield state
        modes = GaugeMetricFamily("diptych_service_mode", "1 for the mode in force", labels=["service", "mode"])
        for service in router.services:
            for mode in MODES:
                modes.add_metric([service, mode], router.mode(service) == mode)
        yield modes
        yield _gauge("diptych_plan_b_in_flight", "Jobs running on Plan B in this process", worker.in_flight)
        yield _gauge(
            "diptych_plan_b_free_slots", "Jobs this process could start on Plan B now", max(0, worker.free_slots)
        )
        connections = GaugeMetricFamily(
            "diptych_database_connections", "Connections in this process's pool: idle or busy", labels=["state"]
        )
        connections.add_metric(["idle"], pool.get_idle_size())
        connections.add_metric(["busy"], pool.get_size() - pool.get_idle_size())
        yield connections


def _gauge(name: str, documentation: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, documentation, value=float(value))


def _database_metrics(metrics: DatabaseMetrics | None, services: Sequence[str]) -> Iterator[Metric]:
    """The figures from the database. They are the same in every process, so they must not be summed over processes."""
    job_labels = ["service", "plan"]
    jobs = GaugeMetricFamily(
        "diptych_jobs_open", "Orders that are queued or running", labels=[*job_labels, "state"]
    )
    oldest = GaugeMetricFamily(
        "diptych_oldest_waiting_seconds", "Age of the oldest queued order, in seconds", labels=job_labels
    )
    outbox = GaugeMetricFamily("diptych_outbox_jobs", "Orders waiting to be sent to Inngest", labels=[])
    internal = GaugeMetricFamily(
        "diptych_outbox_internal_jobs", "Internal jobs waiting to be sent to Inngest", labels=[]
    )
    incidents = GaugeMetricFamily(
        "diptych_incident_open", "1 while an incident of this kind is open", labels=["kind"]
    )
    fallbacks = CounterMetricFamily(
        "diptych_fallbacks", "Orders that went to Plan B because Inngest was unavailable", labels=["service"]
    )
    takeovers = CounterMetricFamily(
        "diptych_takeovers", "Orders taken over from a worker that stopped renewing its lease", labels=["service"]
    )
    ledger = GaugeMetricFamily(
        "diptych_ledger_stars", "Sum of an account's postings, in credits", labels=["account"]
    )
    if metrics:
        for group in metrics.open_orders:
            jobs.add_metric([group.service, group.plan, "running"], group.running)
            jobs.add_metric([group.service, group.plan, "queued"], group.queued)
            if group.oldest:
                oldest.add_metric([group.service, group.plan], max(0.0, time.time() - group.oldest.timestamp()))
        outbox.add_metric([], metrics.unpublished.orders)
        internal.add_metric([], metrics.unpublished.internal_jobs)
        for kind in metrics.incidents:
            incidents.add_metric([kind], 1)
        for service in {*services, *(service for _, service in metrics.recoveries)}:
            # Counters start at 0: Prometheus would not see the first event as an increase.
            fallbacks.add_metric([service], metrics.recoveries.get(("fell_back", service), 0))
            takeovers.add_metric([service], metrics.recoveries.get(("taken_over", service), 0))
        for account, credits in metrics.ledger.items():
            ledger.add_metric([account], credits)
    yield from (jobs, oldest, outbox, internal, incidents, fallbacks, takeovers, ledger)
