"""The chaos of bench/chaos, short: all eleven services while everything they need is killed again and again.

`CHAOS_SEED=<n>` makes it another one. Media come from Replicate's stand, which counts what it was asked for.
"""

import os
from pathlib import Path

import pytest

pytest.importorskip("espeakng_loader")

from bench.chaos.environment import open_stage
from bench.chaos.experiment import run
from bench.chaos.faults import Kind, schedule
from bench.chaos.users import wishes
from tests.support.processes.bot_process import Forge

ORDERS, SECONDS = 50, 12.0
PACE = 3.0
"""So that within the seconds each machine dies more than once."""


async def test_orders_end_once_while_processes_inngest_and_postgres_are_killed(
    tmp_path: Path, forge: Forge
) -> None:
    seed = int(os.environ.get("CHAOS_SEED", "1"))
    settings = {"JOB_LEASE_SECONDS": "2", "PLAN_A_START_TIMEOUT": "3"}
    async with open_stage(tmp_path, forge, offline=False, **settings) as stage:
        wanted = wishes(seed, ORDERS, SECONDS * 0.8, offline=False)
        harms = schedule(seed, SECONDS, pace=PACE)
        report = await run(stage, harms, wanted, settle=30.0, patience=6.0)
        told = f"CHAOS_SEED={seed}\n{report.table()}\n\n{await report.stories()}"

    assert report.verdict.kept, told
    assert len(report.evidence.jobs) >= ORDERS - len(report.given_up), told
    assert len(report.given_up) < ORDERS / 10, told
    for kind in (Kind.KILL, Kind.INNGEST_KILL, Kind.POSTGRES_KILL, Kind.TELEGRAM, Kind.PROVIDER, Kind.MODE):
        assert report.chaos.done[kind], f"nothing was done to it: {kind}\n{told}"
