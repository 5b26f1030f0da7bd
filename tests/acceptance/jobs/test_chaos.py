"""A short run of bench/chaos: all eleven services while everything they need is killed again and again.

`CHAOS_SEED=<n>` changes the faults. Media come from the fake Replicate, which counts the requests.
"""

import os
from pathlib import Path

import pytest

pytest.importorskip("espeakng_loader")

from bench.chaos.environment import open_environment
from bench.chaos.experiment import run
from bench.chaos.faults import FaultKind, schedule
from bench.chaos.users import plan_orders
from tests.support.processes.bot_process import ProcessPool

ORDERS, SECONDS = 50, 12.0
PACE = 3.0
"""High enough that every part is killed more than once within `SECONDS`."""


async def test_orders_end_once_while_processes_inngest_and_postgres_are_killed(
    tmp_path: Path, process_pool: ProcessPool
) -> None:
    seed = int(os.environ.get("CHAOS_SEED", "1"))
    settings = {"JOB_LEASE_SECONDS": "2", "PLAN_A_START_TIMEOUT": "3"}
    async with open_environment(tmp_path, process_pool, offline=False, **settings) as environment:
        orders = plan_orders(seed, ORDERS, SECONDS * 0.8, offline=False)
        faults = schedule(seed, SECONDS, pace=PACE)
        report = await run(environment, faults, orders, settle=30.0, retry_after=6.0)
        summary = f"CHAOS_SEED={seed}\n{report.table()}\n\n{await report.describe_orders()}"

    assert report.verdict.all_held, summary
    assert len(report.evidence.jobs) >= ORDERS - len(report.abandoned), summary
    assert len(report.abandoned) < ORDERS / 10, summary
    for kind in (
        FaultKind.KILL,
        FaultKind.INNGEST_KILL,
        FaultKind.POSTGRES_KILL,
        FaultKind.TELEGRAM,
        FaultKind.PROVIDER,
        FaultKind.MODE,
    ):
        assert report.injector.counts[kind], f"no fault of this kind: {kind}\n{summary}"
