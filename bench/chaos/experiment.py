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
from tempfile import TemporaryDirectory
from typing import Any

from loguru import logger

from bench.chaos.environment import ChaosStage, open_stage
from bench.chaos.faults import Chaos, Harm, Kind, schedule
from bench.chaos.invariants import Evidence, Verdict, gather, judge, story
from bench.chaos.users import MADE_BY, Customer, Wish, wishes
from tests.support.processes.bot_process import Forge

FIRST_PERSON = 5001
_STORIES = 10
_MODEL_SECONDS = 90.0
"""How long somebody waits for their model."""
_UNDONE = """
SELECT count(*) FILTER (WHERE ended_at IS NULL) AS open, count(*) FILTER (WHERE NOT shown) AS unsaid,
       (SELECT count(*) FROM outbox) AS unsent FROM jobs"""
_EVENTS = "SELECT kind, count(*) AS count FROM job_events GROUP BY kind"
_FAILURES = """
SELECT failure, strpos(inputs::text, '#') > 0 AS unlucky, count(*) AS count
FROM jobs WHERE failure IS NOT NULL GROUP BY 1, 2 ORDER BY 1"""


@dataclass
class Known:
    """What the database has, as people could know it: orders taken, models trained. Looked at by one for all."""

    stage: ChaosStage
    keys: set[str] = field(default_factory=set)
    owners: set[tuple[int, str]] = field(default_factory=set)
    training: set[int] = field(default_factory=set)
    """People whose training is under way."""

    async def follow(self) -> None:
        while True:
            rows = await self.stage.rows("SELECT order_key, user_id, service, ended_at FROM jobs")
            self.keys = {row["order_key"] for row in rows}
            under_way = (row for row in rows if row["service"] in MADE_BY.values() and row["ended_at"] is None)
            self.training = {row["user_id"] for row in under_way}
            rows = await self.stage.rows("SELECT user_id, kind FROM own_models")
            self.owners = {(row["user_id"], row["kind"]) for row in rows}
            await asyncio.sleep(0.5)

    async def taken(self, key: str, seconds: float) -> bool:
        return await _within(seconds, lambda: key in self.keys)

    async def trained(self, person: int, kind: str) -> bool:
        """Whether they have a model, once no training of theirs is under way."""
        await _within(_MODEL_SECONDS, lambda: (person, kind) in self.owners or person not in self.training)
        return (person, kind) in self.owners


async def _within(seconds: float, true: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.1)
    return True


@dataclass(frozen=True)
class Report:
    chaos: Chaos
    evidence: Evidence
    verdict: Verdict
    facts: dict[str, int | str]
    """What is worth knowing and no promise."""
    given_up: list[Wish]

    async def stories(self) -> str:
        """Of the first orders that broke a promise, and of those that were delivered twice for a reason."""
        broken = [(job, ", ".join(wrongs)) for job, wrongs in self.verdict.broken.items()][:_STORIES]
        noted = list(self.verdict.noted.items())[:_STORIES]
        parts = [f"{what}: {await story(self.chaos.stage, self.evidence, job)}" for job, what in broken + noted]
        return "\n\n".join([*parts, *(f"given up: {wish}" for wish in self.given_up)])

    def table(self) -> str:
        done = [(kind, self.chaos.done[kind]) for kind in Kind if self.chaos.done[kind]]
        rows = [("**what was done**", "**times**"), *done, ("**what came out**", "**orders**")]
        return "\n".join(
            f"| {name} | {count} |" for name, count in [*rows, *self.verdict.counts.items(), *self.facts.items()]
        )


async def run(
    stage: ChaosStage, harms: list[Harm], wanted: list[Wish], *, settle: float, patience: float = 20.0
) -> Report:
    """Two processes, the people and the harm side by side; then up to `settle` seconds for the rest to end.

    People try again what nobody has answered after `patience` seconds.
    """
    begun = time.monotonic()
    await stage.start_two()
    count = max(wish.person for wish in wanted) + 1
    people = [Customer(stage, FIRST_PERSON + number, patience) for number in range(count)]
    known, chaos = Known(stage), Chaos(stage)
    async with asyncio.TaskGroup() as group:
        following = group.create_task(known.follow())
        async with asyncio.TaskGroup() as living:
            living.create_task(chaos.rage(harms))
            for number, person in enumerate(people):
                own = [wish for wish in wanted if wish.person == number]
                living.create_task(_live(person, own, known, time.monotonic()))
        following.cancel()
    await chaos.heal()
    ordered = time.monotonic()
    await _all_ended(stage, settle)
    ended = time.monotonic()
    evidence = await gather(chaos)
    verdict = await judge(chaos, evidence, people)
    facts = await _facts(stage, people)
    facts |= {"seconds of harm": round(ordered - begun), "seconds until all had ended": round(ended - ordered)}
    return Report(chaos, evidence, verdict, facts, [wish for person in people for wish in person.gave_up])


async def _live(person: Customer, own: Iterable[Wish], known: Known, begun: float) -> None:
    for wish in own:
        await asyncio.sleep(max(0.0, begun + wish.at - time.monotonic()))
        if wish.service in MADE_BY and not await _owns_a_model(person, wish, known):
            person.gave_up.append(wish)
        else:
            await person.want(wish, known.taken)


async def _owns_a_model(person: Customer, wish: Wish, known: Known) -> bool:
    """Have it trained again where that has failed."""
    kind = "v1" if wish.service == "neuro_image" else "v2"
    for _ in range(3):
        if await known.trained(person.id, kind):
            return True
        await person.want(replace(wish, service=MADE_BY[wish.service]), known.taken)
    return await known.trained(person.id, kind)


async def _all_ended(stage: ChaosStage, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while True:
                (left,) = await stage.rows(_UNDONE)
                pending = (await stage.telegram.call("GET", "/sim/state"))["bots"][0]["pending_updates"]
                if not any(left.values()) and not pending:
                    return
                await asyncio.sleep(0.3)


async def _facts(stage: ChaosStage, people: Iterable[Customer]) -> dict[str, int | str]:
    events = {row["kind"]: row["count"] for row in await stage.rows(_EVENTS)}
    failures = await stage.rows(_FAILURES)
    plans = Counter(row["plan"] for row in await stage.rows("SELECT plan FROM jobs"))
    return {
        "ended on plan A, on plan B": f"{plans['A']}, {plans['B']}",
        "taken over, fell back, handed over": ", ".join(
            str(events.get(kind, 0)) for kind in ("taken_over", "fell_back", "handed_over")
        ),
        "failed, as their words asked for": _listed(row for row in failures if row["unlucky"]),
        "failed otherwise, and were refunded": _listed(row for row in failures if not row["unlucky"]),
        "wishes given up": sum(len(person.gave_up) for person in people),
        "starts of a process that its database was away for": len(stage.down),
    }


def _listed(failures: Iterable[dict[str, Any]]) -> str:
    """By what people were told."""
    return ", ".join(f"{row['failure']} {row['count']}" for row in failures) or "0"


async def _main(given: argparse.Namespace, folder: Path) -> int:
    forge, offline = Forge(folder), not given.stand
    await forge.open()
    try:
        async with open_stage(folder, forge, offline=offline, JOB_LEASE_SECONDS="4") as stage:
            wanted = wishes(given.seed, given.orders, given.seconds, offline=offline)
            harms = schedule(given.seed, given.seconds, pace=given.pace)
            report = await run(stage, harms, wanted, settle=given.settle)
            print(f"seed {given.seed}\n\n{report.table()}\n\n{await report.stories()}")
            return 0 if report.verdict.kept else 1
    finally:
        await forge.close()


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
    with TemporaryDirectory() as name:
        folder = given.folder or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        return asyncio.run(_main(given, folder))
