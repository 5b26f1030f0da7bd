"""A thousand orders while everything they need is killed again and again: what was done, and what came out.

    python -m bench.chaos [--orders 1000] [--seconds 300] [--seed 1] [--stand] [--folder F]

Two bot processes share one PostgreSQL, one Inngest and one Telegram. People order all eleven services by the
bot's own conversation while the machines are harmed (bench/chaos/faults.py); then the harm ends, and what is left
has to come to its end by itself. `--seed` makes both schedules, the harm's and the people's, repeatable; which
harm meets which order is up to the machine. With `--stand` media and trainings are made by a stand-in of
Replicate that loses answers and refuses; without, by the offline providers, for real.

Exit code 1 if a promise is broken; the stories of the orders in question are printed, and with `--folder` the
processes' logs are there.
"""

import argparse
import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from loguru import logger

from bench.chaos.environment import ChaosEnvironment, open_environment
from bench.chaos.faults import FaultInjector, FaultKind, ScheduledFault, schedule
from bench.chaos.invariants import Evidence, Verdict, check_invariants, collect_evidence, describe_order
from bench.chaos.users import TRAINED_BY, ChaosUser, PlannedOrder, plan_orders
from tests.support.processes.bot_process import ProcessPool
from tests.support.processes.orphans import temporary_folder

FIRST_USER = 5001
_MAX_DESCRIBED_ORDERS = 10
_TRAINING_TIMEOUT = 90.0
"""How long somebody waits for their model."""
_UNFINISHED = """
SELECT count(*) FILTER (WHERE ended_at IS NULL) AS open, count(*) FILTER (WHERE NOT finalized) AS unsaid,
       (SELECT count(*) FROM outbox) AS unsent FROM jobs"""
_EVENTS = "SELECT kind, count(*) AS count FROM job_events GROUP BY kind"
_FAILURES = """
SELECT failure, strpos(inputs::text, '#') > 0 AS unlucky, count(*) AS count
FROM jobs WHERE failure IS NOT NULL GROUP BY 1, 2 ORDER BY 1"""


@dataclass
class DatabaseView:
    """What the database has, as people could know it: orders taken, models trained. Looked at by one for all."""

    stage: ChaosEnvironment
    keys: set[str] = field(default_factory=set)
    model_owners: set[tuple[int, str]] = field(default_factory=set)
    training: set[int] = field(default_factory=set)
    """People whose training is under way."""

    async def follow(self) -> None:
        while True:
            rows = await self.stage.rows("SELECT order_key, user_id, service, ended_at FROM jobs")
            self.keys = {row["order_key"] for row in rows}
            under_way = (row for row in rows if row["service"] in TRAINED_BY.values() and row["ended_at"] is None)
            self.training = {row["user_id"] for row in under_way}
            rows = await self.stage.rows("SELECT user_id, kind FROM user_models")
            self.model_owners = {(row["user_id"], row["kind"]) for row in rows}
            await asyncio.sleep(0.5)

    async def wait_for_order(self, key: str, seconds: float) -> bool:
        return await _wait(seconds, lambda: key in self.keys)

    async def wait_for_model(self, user_id: int, kind: str) -> bool:
        """Whether they have a model, once no training of theirs is under way."""
        await _wait(
            _TRAINING_TIMEOUT, lambda: (user_id, kind) in self.model_owners or user_id not in self.training
        )
        return (user_id, kind) in self.model_owners


async def _wait(seconds: float, true: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.1)
    return True


@dataclass(frozen=True)
class Report:
    injector: FaultInjector
    evidence: Evidence
    verdict: Verdict
    statistics: dict[str, int | str]
    """What is worth knowing and no promise."""
    abandoned: list[PlannedOrder]

    async def describe_orders(self) -> str:
        """Of the first orders that broke a promise, and of those that were delivered twice for a reason."""
        broken = [(job, ", ".join(wrongs)) for job, wrongs in self.verdict.violations.items()][
            :_MAX_DESCRIBED_ORDERS
        ]
        noted = list(self.verdict.excused_duplicates.items())[:_MAX_DESCRIBED_ORDERS]
        parts = [
            f"{what}: {await describe_order(self.injector.stage, self.evidence, job)}"
            for job, what in broken + noted
        ]
        return "\n\n".join([*parts, *(f"given up: {planned}" for planned in self.abandoned)])

    def table(self) -> str:
        done = [(kind, self.injector.counts[kind]) for kind in FaultKind if self.injector.counts[kind]]
        rows = [("**what was done**", "**times**"), *done, ("**what came out**", "**orders**")]
        return "\n".join(
            f"| {name} | {count} |"
            for name, count in [*rows, *self.verdict.counts.items(), *self.statistics.items()]
        )


async def run(
    environment: ChaosEnvironment,
    faults: list[ScheduledFault],
    planned: list[PlannedOrder],
    *,
    settle: float,
    retry_after: float = 20.0,
) -> Report:
    """Two processes, the people and the harm side by side; then up to `settle` seconds for the rest to end.

    People try again what nobody has answered after `patience` seconds.
    """
    begun = time.monotonic()
    await environment.start_two_processes()
    count = max(wish.user_number for wish in planned) + 1
    people = [ChaosUser(environment, FIRST_USER + number, retry_after) for number in range(count)]
    known, chaos = DatabaseView(environment), FaultInjector(environment)
    async with asyncio.TaskGroup() as group:
        following = group.create_task(known.follow())
        async with asyncio.TaskGroup() as living:
            living.create_task(chaos.run(faults))
            for number, user in enumerate(people):
                own = [wish for wish in planned if wish.user_number == number]
                living.create_task(_run_user(user, own, known, time.monotonic()))
        following.cancel()
    await chaos.clear_faults()
    ordered = time.monotonic()
    await _wait_for_all(environment, settle)
    ended = time.monotonic()
    evidence = await collect_evidence(chaos)
    verdict = await check_invariants(chaos, evidence, people)
    facts = await _collect_statistics(environment, people)
    facts |= {"seconds of harm": round(ordered - begun), "seconds until all had ended": round(ended - ordered)}
    return Report(chaos, evidence, verdict, facts, [planned for person in people for planned in person.abandoned])


async def _run_user(user: ChaosUser, own: Iterable[PlannedOrder], known: DatabaseView, begun: float) -> None:
    for planned in own:
        await asyncio.sleep(max(0.0, begun + planned.at - time.monotonic()))
        if planned.service in TRAINED_BY and not await _ensure_model(user, planned, known):
            user.abandoned.append(planned)
        else:
            await user.place_order(planned, known.wait_for_order)


async def _ensure_model(user: ChaosUser, planned: PlannedOrder, known: DatabaseView) -> bool:
    """Have it trained again where that has failed."""
    kind = "v1" if planned.service == "neuro_image" else "v2"
    for _ in range(3):
        if await known.wait_for_model(user.id, kind):
            return True
        await user.place_order(replace(planned, service=TRAINED_BY[planned.service]), known.wait_for_order)
    return await known.wait_for_model(user.id, kind)


async def _wait_for_all(environment: ChaosEnvironment, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while True:
                (left,) = await environment.rows(_UNFINISHED)
                pending = (await environment.telegram.call("GET", "/sim/state"))["bots"][0]["pending_updates"]
                if not any(left.values()) and not pending:
                    return
                await asyncio.sleep(0.3)


async def _collect_statistics(environment: ChaosEnvironment, people: Iterable[ChaosUser]) -> dict[str, int | str]:
    events = {row["kind"]: row["count"] for row in await environment.rows(_EVENTS)}
    failures = await environment.rows(_FAILURES)
    plans = Counter(row["plan"] for row in await environment.rows("SELECT plan FROM jobs"))
    return {
        "ended on plan A, on plan B": f"{plans['A']}, {plans['B']}",
        "taken over, fell back, handed over": ", ".join(
            str(events.get(kind, 0)) for kind in ("taken_over", "fell_back", "handed_over")
        ),
        "failed, as their words asked for": _format_failures(row for row in failures if row["unlucky"]),
        "failed otherwise, and were refunded": _format_failures(row for row in failures if not row["unlucky"]),
        "wishes given up": sum(len(user.abandoned) for user in people),
        "starts of a process that its database was away for": len(environment.failed_starts),
    }


def _format_failures(failures: Iterable[dict[str, Any]]) -> str:
    """By what people were told."""
    return ", ".join(f"{row['failure']} {row['count']}" for row in failures) or "0"


async def _main(given: argparse.Namespace, folder: Path) -> int:
    process_pool, offline = ProcessPool(folder), not given.stand
    await process_pool.open()
    try:
        async with open_environment(folder, process_pool, offline=offline, JOB_LEASE_SECONDS="4") as environment:
            wanted = plan_orders(given.seed, given.orders, given.seconds, offline=offline)
            harms = schedule(given.seed, given.seconds, pace=given.pace)
            report = await run(environment, harms, wanted, settle=given.settle)
            print(f"seed {given.seed}\n\n{report.table()}\n\n{await report.describe_orders()}")
            return 0 if report.verdict.all_held else 1
    finally:
        await process_pool.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description=__doc__.splitlines()[0])
    parser.add_argument("--orders", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=300, help="over which orders and harm are spread")
    parser.add_argument("--settle", type=float, default=240, help="seconds for the rest to end, once all is well")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pace", type=float, default=1.0, help="how many times more harm than usual")
    parser.add_argument("--stand", action="store_true", help="media by a stand-in of Replicate")
    parser.add_argument("--folder", type=Path, help="where logs and media stay; a temporary one otherwise")
    given = parser.parse_args()
    logger.remove()  # the stands' own words
    logging.getLogger("asyncpg").setLevel(logging.CRITICAL)  # a trace each time the database is away
    with temporary_folder() as temporary:
        folder = given.folder or temporary
        folder.mkdir(parents=True, exist_ok=True)
        return asyncio.run(_main(given, folder))
