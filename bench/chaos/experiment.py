"""A thousand orders while everything they need is killed again and again: the faults, and the results.

    python -m bench.chaos [--orders 1000] [--seconds 300] [--seed 1] [--fake-replicate] [--folder F]

Two bot processes share one PostgreSQL, one Inngest and one Telegram. Users order all eleven services in the
bot's own conversation while faults happen (bench/chaos/faults.py); then the faults end, and the remaining orders
must end by themselves. `--seed` makes both schedules repeatable, that of the faults and that of the users; which
fault hits which order depends on the machine. With `--fake-replicate`, media and trainings come from a fake
Replicate that loses responses and refuses requests; without it, the offline providers really make them.

The exit code is 1 if a promise is broken; the history of each such order is printed. With `--folder` the processes'
logs are kept there.
"""

import argparse
import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.chaos.environment import ChaosEnvironment, open_environment
from bench.chaos.faults import FaultInjector, FaultKind, ScheduledFault, schedule
from bench.chaos.invariants import Evidence, Verdict, check_invariants, collect_evidence, describe_order
from bench.chaos.users import TRAINED_BY, ChaosUser, PlannedOrder, plan_orders
from bench.command_line import create_parser, print_logs, set_up_logs
from tests.support.processes.bot_process import ProcessPool
from tests.support.processes.orphans import temporary_folder

FIRST_USER = 5001
_MAX_DESCRIBED_ORDERS = 10
_TRAINING_TIMEOUT = 90.0
"""How long a user waits for their model."""
_UNFINISHED = """
SELECT count(*) FILTER (WHERE ended_at IS NULL) AS open, count(*) FILTER (WHERE NOT finalized) AS unfinalized,
       (SELECT count(*) FROM outbox) AS unsent FROM jobs"""
_EVENTS = "SELECT kind, count(*) AS count FROM job_events GROUP BY kind"
_FAILURES = """
SELECT failure, strpos(inputs::text, '#') > 0 AS triggered, count(*) AS count
FROM jobs WHERE failure IS NOT NULL GROUP BY 1, 2 ORDER BY 1"""


@dataclass
class DatabaseView:
    """What users can know of the database: accepted orders, trained models. Polled once for all users."""

    environment: ChaosEnvironment
    keys: set[str] = field(default_factory=set)
    model_owners: set[tuple[int, str]] = field(default_factory=set)
    training: set[int] = field(default_factory=set)
    """Users with a training in progress."""

    async def follow(self) -> None:
        while True:
            rows = await self.environment.rows("SELECT order_key, user_id, service, ended_at FROM jobs")
            self.keys = {row["order_key"] for row in rows}
            in_progress = (
                row for row in rows if row["service"] in TRAINED_BY.values() and row["ended_at"] is None
            )
            self.training = {row["user_id"] for row in in_progress}
            rows = await self.environment.rows("SELECT user_id, kind FROM user_models")
            self.model_owners = {(row["user_id"], row["kind"]) for row in rows}
            await asyncio.sleep(0.5)

    async def wait_for_order(self, key: str, seconds: float) -> bool:
        return await _wait(seconds, lambda: key in self.keys)

    async def wait_for_model(self, user_id: int, kind: str) -> bool:
        """Whether the user has a model, once no training of theirs is in progress."""
        await _wait(
            _TRAINING_TIMEOUT, lambda: (user_id, kind) in self.model_owners or user_id not in self.training
        )
        return (user_id, kind) in self.model_owners


async def _wait(seconds: float, condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
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
    """Figures that are worth knowing but promise nothing."""
    abandoned: list[PlannedOrder]

    async def describe_orders(self) -> str:
        """The history of the first orders that broke a promise, and of those delivered twice with an excuse."""
        broken = [(job, ", ".join(violations)) for job, violations in self.verdict.violations.items()][
            :_MAX_DESCRIBED_ORDERS
        ]
        noted = list(self.verdict.excused_duplicates.items())[:_MAX_DESCRIBED_ORDERS]
        parts = [
            f"{what}: {await describe_order(self.injector.environment, self.evidence, job)}"
            for job, what in broken + noted
        ]
        return "\n\n".join([*parts, *(f"abandoned: {planned}" for planned in self.abandoned)])

    def table(self) -> str:
        injected = [(kind, self.injector.counts[kind]) for kind in FaultKind if self.injector.counts[kind]]
        rows = [("**fault**", "**times**"), *injected, ("**result**", "**orders**")]
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
    """Run two processes, the users and the faults at once; then wait up to `settle` seconds for the rest to end.

    Users try again after `retry_after` seconds without an answer.
    """
    started_at = time.monotonic()
    await environment.start_two_processes()
    count = max(order.user_number for order in planned) + 1
    users = [ChaosUser(environment, FIRST_USER + number, retry_after) for number in range(count)]
    view, injector = DatabaseView(environment), FaultInjector(environment)
    async with asyncio.TaskGroup() as group:
        following = group.create_task(view.follow())
        async with asyncio.TaskGroup() as active:
            active.create_task(injector.run(faults))
            for number, user in enumerate(users):
                own = [order for order in planned if order.user_number == number]
                active.create_task(_run_user(user, own, view, time.monotonic()))
        following.cancel()
    await injector.clear_faults()
    ordered = time.monotonic()
    await _wait_for_all(environment, settle)
    ended = time.monotonic()
    evidence = await collect_evidence(injector)
    verdict = await check_invariants(injector, evidence, users)
    statistics = await _collect_statistics(environment, users)
    statistics |= {
        "seconds with faults": round(ordered - started_at),
        "seconds until all had ended": round(ended - ordered),
    }
    return Report(
        injector, evidence, verdict, statistics, [planned for user in users for planned in user.abandoned]
    )


async def _run_user(user: ChaosUser, own: Iterable[PlannedOrder], view: DatabaseView, started_at: float) -> None:
    for planned in own:
        await asyncio.sleep(max(0.0, started_at + planned.at - time.monotonic()))
        if planned.service in TRAINED_BY and not await _ensure_model(user, planned, view):
            user.abandoned.append(planned)
        else:
            await user.place_order(planned, view.wait_for_order)


async def _ensure_model(user: ChaosUser, planned: PlannedOrder, view: DatabaseView) -> bool:
    """Whether the user has the model that the order needs; a failed training is ordered again."""
    kind = "v1" if planned.service == "neuro_image" else "v2"
    for _ in range(3):
        if await view.wait_for_model(user.id, kind):
            return True
        await user.place_order(replace(planned, service=TRAINED_BY[planned.service]), view.wait_for_order)
    return await view.wait_for_model(user.id, kind)


async def _wait_for_all(environment: ChaosEnvironment, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while True:
                (left,) = await environment.rows(_UNFINISHED)
                pending = (await environment.telegram.api.get("state"))["bots"][0]["pending_updates"]
                if not any(left.values()) and not pending:
                    return
                await asyncio.sleep(0.3)


async def _collect_statistics(environment: ChaosEnvironment, users: Iterable[ChaosUser]) -> dict[str, int | str]:
    events = {row["kind"]: row["count"] for row in await environment.rows(_EVENTS)}
    failures = await environment.rows(_FAILURES)
    plans = Counter(row["plan"] for row in await environment.rows("SELECT plan FROM jobs"))
    return {
        "ended on plan A, on plan B": f"{plans['A']}, {plans['B']}",
        "taken over, fell back, handed over": ", ".join(
            str(events.get(kind, 0)) for kind in ("taken_over", "fell_back", "handed_over")
        ),
        "failed because of their fault trigger": _format_failures(row for row in failures if row["triggered"]),
        "failed otherwise, and were refunded": _format_failures(row for row in failures if not row["triggered"]),
        "abandoned orders": sum(len(user.abandoned) for user in users),
        "starts of a process without its database": len(environment.failed_starts),
    }


def _format_failures(failures: Iterable[dict[str, Any]]) -> str:
    """Count failures by the message that users got."""
    return ", ".join(f"{row['failure']} {row['count']}" for row in failures) or "0"


async def _main(options: argparse.Namespace, folder: Path) -> int:
    process_pool, offline = ProcessPool(folder), not options.fake_replicate
    await process_pool.open()
    try:
        async with open_environment(folder, process_pool, offline=offline, JOB_LEASE_SECONDS="4") as environment:
            planned = plan_orders(options.seed, options.orders, options.seconds, offline=offline)
            faults = schedule(options.seed, options.seconds, pace=options.pace)
            report = await run(environment, faults, planned, settle=options.settle)
            print(f"seed {options.seed}\n\n{report.table()}\n\n{await report.describe_orders()}")
            return 0 if report.verdict.all_held else 1
    finally:
        await process_pool.close()


def main() -> int:
    parser = create_parser("chaos", __doc__)
    parser.add_argument("--orders", type=int, default=1000, help="how many orders users place")
    parser.add_argument("--seconds", type=float, default=300, help="over which orders and faults are spread")
    parser.add_argument("--settle", type=float, default=240, help="seconds for the rest to end after the faults")
    parser.add_argument("--seed", type=int, default=1, help="makes the schedules repeatable")
    parser.add_argument("--pace", type=float, default=1.0, help="how many times more faults than usual")
    parser.add_argument("--fake-replicate", action="store_true", help="media from a fake Replicate")
    parser.add_argument("--folder", type=Path, help="where logs and media stay; a temporary one otherwise")
    options = parser.parse_args()
    set_up_logs(verbose=options.verbose)
    with temporary_folder() as temporary:
        folder = options.folder or temporary
        folder.mkdir(parents=True, exist_ok=True)
        try:
            return asyncio.run(_main(options, folder))
        finally:
            if options.verbose:
                print_logs(folder)
