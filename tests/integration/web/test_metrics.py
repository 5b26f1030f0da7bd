"""/metrics: who may read it, what it shows of the database, and what remains while that is unavailable."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import web

from providers.instrumented import instrumented
from providers.protocols import ErrorKind, Prediction, ProviderError
from services.core.metrics import record_provider_call
from services.durable.pubsub import PubSub
from services.job_kinds import JOB_KINDS
from services.jobs.routing import PlanRouter
from services.jobs.worker import Worker
from storage.pool import Pool, create_pool
from tests.support.environments.idle_engine import create_idle_engine
from tests.support.test_data.factories import add_job, add_user
from tests.support.test_data.metric_samples import MetricSamples
from web import metrics
from web.metrics import Metrics


@dataclass
class FakeInngest:
    healthy: bool = True
    state: str = "ok"
    since: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass
class MetricsServer:
    """The /metrics page and what it reads."""

    db: Pool
    router: PlanRouter
    inngest: FakeInngest
    worker: Worker
    url: str = ""

    async def open(self, **options: Any) -> web.AppRunner:
        app = web.Application()
        Metrics(self.db, self.router, self.worker, **options).add_routes(app)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/metrics"
        return runner

    async def read(self) -> MetricSamples:
        async with aiohttp.ClientSession() as session, session.get(self.url) as response:
            assert response.status == 200
            assert response.headers["Content-Type"].startswith("text/plain")
            return MetricSamples(await response.text())

    async def status(self, token: str = "") -> int:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with aiohttp.ClientSession(headers=headers) as session, session.get(self.url) as response:
            return response.status


@pytest.fixture
async def page(dsn: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[MetricsServer]:
    monkeypatch.setattr(metrics, "CACHE_SECONDS", 0.0)
    db, inngest = await create_pool(dsn, size=3), FakeInngest()
    router = PlanRouter(db, cast("Any", inngest), list(JOB_KINDS))
    page = MetricsServer(db, router, inngest, Worker(create_idle_engine(), router, PubSub(), slots=8))
    runner = await page.open()
    yield page
    await runner.cleanup()
    await db.close()


async def test_metrics_show_what_is_in_the_database(page: MetricsServer, db: Pool) -> None:
    await add_user(db)
    await add_job(db, price=4, fell_back=True)
    taken = await add_job(db, price=4, plan="A")
    await db.execute("UPDATE jobs SET created_at = now() - interval '100 s'")
    await db.execute("UPDATE jobs SET state = 'running', epoch = 1 WHERE id = $1", taken.id)
    await db.execute("UPDATE jobs SET plan = 'B', epoch = 2 WHERE id = $1", taken.id)
    await db.execute("INSERT INTO incidents (kind, opened_at, last_seen_at) VALUES ('queue', now(), now())")
    for _ in range(2):  # the sums are not added up twice
        samples = await page.read()
        assert samples.get("diptych_database_up") == 1
        assert samples.get("diptych_jobs_open", service="text_to_image", plan="B", state="queued") == 1
        assert samples.get("diptych_jobs_open", state="running") == 1
        assert 99 < (samples.get("diptych_oldest_waiting_seconds", plan="B") or 0) < 130
        assert samples.get("diptych_fallbacks_total", service="text_to_image") == 1
        assert samples.get("diptych_takeovers_total") == 1
        assert samples.get("diptych_incident_open", kind="queue") == 1
        assert samples.get("diptych_outbox_jobs") == 0
        accounts = {
            name: samples.get("diptych_ledger_stars", account=name) for name in ("available", "held", "bonuses")
        }
        assert accounts == {"available": 92, "held": 8, "bonuses": -100}
        assert samples.get("diptych_ledger_stars") == 0


async def test_metrics_of_settled_rows_are_counted_once(
    page: MetricsServer, db: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settled rows are not read again, and none is lost or counted twice."""
    monkeypatch.setattr("storage.reports.metrics._SETTLE_SECONDS", 0.0)
    for user_id in range(1001, 1006):
        await add_user(db, user_id)
        await add_job(db, user_id, fell_back=True)
        samples = await page.read()
        assert samples.get("diptych_ledger_stars", account="bonuses") == -100 * (user_id - 1000)
        assert samples.get("diptych_fallbacks_total") == user_id - 1000


async def test_metrics_show_plans_modes_and_the_process(page: MetricsServer) -> None:
    page.inngest.healthy, page.inngest.state = False, "unavailable: ConnectTimeout: https://inn.gs/e/s3cr3t"
    await page.router.set_mode("b", service="speech")
    samples = await page.read()
    assert samples.get("diptych_plan_a_healthy") == 0
    assert samples.get("diptych_plan_a_state", state="unavailable") == 1
    assert samples.get("diptych_service_mode", service="speech", mode="b") == 1
    assert samples.get("diptych_service_mode", mode="auto") == len(page.router.services) - 1
    assert samples.get("diptych_plan_b_free_slots") == 8
    assert samples.get("diptych_build_info", version="0.2.0") == 1
    assert (samples.get("process_resident_memory_bytes") or 0) > 0


async def test_metrics_with_a_locked_table_answer_within_three_seconds(page: MetricsServer, db: Pool) -> None:
    assert (await page.read()).get("diptych_outbox_jobs") == 0
    async with db.acquire() as connection, connection.transaction():
        await connection.execute("LOCK TABLE outbox")
        started_at = time.monotonic()
        samples = await page.read()
        assert time.monotonic() - started_at < 3
    assert samples.get("diptych_database_up") == 0
    assert samples.get("diptych_outbox_jobs") is None, "unknown figures are left out"
    assert samples.get("diptych_plan_a_healthy") == 1
    assert (await page.read()).get("diptych_database_up") == 1


async def test_metrics_without_the_database_keep_all_others(page: MetricsServer) -> None:
    page.db.terminate()
    samples = await page.read()
    assert samples.get("diptych_database_up") == 0
    assert samples.get("diptych_plan_b_free_slots") == 8


async def test_metrics_need_the_token_unless_anonymous_reading_is_allowed(page: MetricsServer) -> None:
    assert await page.status() == 200, "open to all in development"
    for options, wanted in (
        ({"token": "t0ken"}, {"": 401, "other": 401, "t0ken": 200}),
        ({"token": "t0ken", "allow_anonymous": False}, {"": 401, "t0ken": 200}),
        ({"allow_anonymous": False}, {"": 403, "t0ken": 403}),
    ):
        runner = await page.open(**cast("dict[str, Any]", options))
        assert {token: await page.status(token) for token in wanted} == wanted
        await runner.cleanup()


class FakeProvider:
    """A provider with one fixed outcome per method."""

    name = "fake"
    offline = True

    async def start(self, request: str) -> str:
        raise ProviderError(ErrorKind.QUOTA, request)

    async def get(self, prediction_id: str) -> Prediction:
        return Prediction(prediction_id, "failed", error=ErrorKind.TIMED_OUT)

    async def fetch(self, output: str) -> bytes:
        return output.encode()

    async def check(self) -> None:
        raise KeyError

    async def close(self) -> None:
        pass


async def test_provider_calls_and_errors_are_counted(page: MetricsServer) -> None:
    provider = instrumented(FakeProvider(), record_provider_call)
    assert (provider.name, provider.offline) == ("fake", True)
    with pytest.raises(ProviderError):
        await provider.start("a lighthouse")
    with pytest.raises(KeyError):
        await provider.check()
    assert await provider.fetch("png") == b"png"
    assert (await provider.get("1")).status == "failed"
    await provider.close()
    samples = await page.read()
    calls = {name: samples.get("diptych_provider_calls_total", provider="fake", method=name) for name in METHODS}
    assert calls == {"start": 1, "get": 1, "fetch": 1, "check": 1, "close": None}
    errors = {name: samples.get("diptych_provider_errors_total", provider="fake", kind=name) for name in KINDS}
    assert errors == {"quota": 1, "timed_out": 1, "unexpected": 1, "failed": None}
    assert samples.get("diptych_provider_seconds_count", provider="fake") == 4


METHODS = ("start", "get", "fetch", "check", "close")
KINDS = ("quota", "timed_out", "unexpected", "failed")
