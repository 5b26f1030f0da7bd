"""Prometheus metrics counted in this process.

Metrics shared by all processes are read from the database by web/metrics.py.
"""

import asyncio
import platform
from collections.abc import Iterable
from datetime import datetime
from importlib.metadata import version
from typing import Final, get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

from storage.jobs.jobs import Job, Plan

VERSION: Final = "0.2.0"
REGISTRY: Final = CollectorRegistry()
_LAG_INTERVAL_SECONDS: Final = 0.5

disable_created_metrics()  # type: ignore[no-untyped-call]  # an unused extra series for each
ProcessCollector(registry=REGISTRY)

_JOBS_ENDED: Final = Counter(
    "diptych_jobs_ended",
    "Jobs this process ended: succeeded, failed or cancelled",
    ["service", "plan", "end"],
    registry=REGISTRY,
)
_JOBS_FAILED: Final = Counter(
    "diptych_jobs_failed", "Jobs this process ended as failed, by failure key", ["service", "failure"],
    registry=REGISTRY,
)  # fmt: skip
_JOB_SECONDS: Final = Histogram(
    "diptych_job_seconds",
    "Time from the start of a job's work to its end",
    ["service", "plan"],
    buckets=(0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 2400, 3600),
    registry=REGISTRY,
)
_JOB_WAITING_SECONDS: Final = Histogram(
    "diptych_job_waiting_seconds",
    "Time from acceptance to the start of the work, recorded at the end",
    ["service", "plan"],
    buckets=(0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800),
    registry=REGISTRY,
)
PROVIDER_CALLS: Final = Counter(
    "diptych_provider_calls", "Calls to a provider", ["provider", "method"], registry=REGISTRY
)
_PROVIDER_ERRORS: Final = Counter(
    "diptych_provider_errors", "Calls that failed or reported failed work", ["provider", "method", "kind"],
    registry=REGISTRY,
)  # fmt: skip
_PROVIDER_SECONDS: Final = Histogram(
    "diptych_provider_seconds",
    "Duration of calls to a provider",
    ["provider", "method"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
    registry=REGISTRY,
)
_TELEGRAM_CALLS: Final = Counter(
    "diptych_telegram_calls",
    "Calls to Telegram, counting each attempt: ok, 429, 400, 403, 5xx, no answer, …",
    ["method", "outcome"],
    registry=REGISTRY,
)
_TELEGRAM_SECONDS: Final = Histogram(
    "diptych_telegram_seconds",
    "Duration of calls to Telegram, except getUpdates",
    ["method"],
    buckets=(0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
    registry=REGISTRY,
)
TELEGRAM_WAIT_SECONDS: Final = Counter(
    "diptych_telegram_wait_seconds", "Time Telegram asked to wait in 429 responses", registry=REGISTRY
)
_LOOP_LAG: Final = Histogram(
    "diptych_loop_lag_seconds",
    "How late the event loop wakes up",
    buckets=(0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
    registry=REGISTRY,
)
_BUILD_INFO: Final = Gauge(
    "diptych_build_info", "Versions in use", ["version", "python", "aiogram", "inngest"], registry=REGISTRY
)
_BUILD_INFO.labels(VERSION, platform.python_version(), version("aiogram"), version("inngest")).set(1)


def initialize_counters(services: Iterable[str]) -> None:
    """Create the job counters with the value 0; otherwise Prometheus misses the first increase.

    Args:
        services: The ids of all kinds of jobs.
    """
    for service in services:
        for plan in get_args(Plan):
            for end in ("succeeded", "failed", "cancelled"):
                _JOBS_ENDED.labels(service, plan, end)


def record_job_end(job: Job) -> None:
    """Count a job that this process has just ended."""
    _JOBS_ENDED.labels(job.service, job.plan, job.state).inc()
    if job.failure:
        _JOBS_FAILED.labels(job.service, job.failure).inc()
    started_at = job.started_at or job.ended_at
    _JOB_WAITING_SECONDS.labels(job.service, job.plan).observe(_seconds_between(job.created_at, started_at))
    _JOB_SECONDS.labels(job.service, job.plan).observe(_seconds_between(started_at, job.ended_at))


def record_provider_call(provider: str, method: str, error: str, seconds: float) -> None:
    """Count a call to a provider.

    Args:
        provider: The provider's name.
        method: The method of the protocol.
        error: The kind of ProviderError; empty on success.
        seconds: The duration of the call.
    """
    PROVIDER_CALLS.labels(provider, method).inc()
    if error:
        _PROVIDER_ERRORS.labels(provider, method, error).inc()
    _PROVIDER_SECONDS.labels(provider, method).observe(seconds)


def record_telegram_call(method: str, outcome: str, seconds: float) -> None:
    """Count a call to Telegram.

    Args:
        method: The Bot API method, such as `sendMessage`.
        outcome: `ok`, or the error's status.
        seconds: The duration of the call. Not recorded for getUpdates, which waits on purpose.
    """
    _TELEGRAM_CALLS.labels(method, outcome).inc()
    if method != "getUpdates":
        _TELEGRAM_SECONDS.labels(method).observe(seconds)


async def measure_loop_lag() -> None:
    """Measure how late the event loop is, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + _LAG_INTERVAL_SECONDS
        await asyncio.sleep(_LAG_INTERVAL_SECONDS)
        _LOOP_LAG.observe(max(0.0, loop.time() - due))


def _seconds_between(begin: datetime | None, end: datetime | None) -> float:
    return max(0.0, (end - begin).total_seconds()) if begin and end else 0.0
