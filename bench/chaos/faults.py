"""What is done to the machines: a schedule that follows from a seed, and its doing."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from bench.chaos.environment import ChaosStage
from sandbox.inngest.server import Fault
from services.generation.registry import SERVICES
from storage.pool import DATABASE_AWAY
from storage.settings import set_setting, unset_setting
from tests.support.processes.bot_process import BotProcess


class Kind(StrEnum):
    """What may be done, as the table names it."""

    KILL = "process killed (kill -9) and started"
    STOP = "process stopped (SIGTERM) and started"
    INNGEST_KILL = "Inngest killed, begun anew with an empty memory"
    INNGEST_ILL = "Inngest hangs, answers 500 or runs nothing for a while"
    POSTGRES_KILL = "PostgreSQL killed (kill -9) and started"
    POSTGRES_STOP = "PostgreSQL stopped and started"
    TELEGRAM = "calls that Telegram answers 429, 500 or 502"
    PROVIDER = "questions that Replicate fails, or whose answer is lost"
    MODE = "mode switched"


EVERY: dict[Kind, float] = {
    Kind.KILL: 7.0,
    Kind.STOP: 20.0,
    Kind.INNGEST_KILL: 15.0,
    Kind.INNGEST_ILL: 20.0,
    Kind.POSTGRES_KILL: 23.0,
    Kind.POSTGRES_STOP: 37.0,
    Kind.TELEGRAM: 1.5,
    Kind.PROVIDER: 2.0,
    Kind.MODE: 6.0,
}
"""Seconds between two of a kind, on average."""
LONGEST_AWAY = {
    Kind.KILL: 2.0,
    Kind.STOP: 1.0,
    Kind.INNGEST_KILL: 8.0,
    Kind.INNGEST_ILL: 8.0,
    Kind.POSTGRES_KILL: 4.0,
    Kind.POSTGRES_STOP: 8.0,
}
STOPS_WITHIN = 20.0
"""Seconds; 10 is the promise, on a machine that is not busy."""
_METHODS = ("*", "sendMessage", "sendPhoto", "sendVideo", "sendVoice", "editMessageText", "getFile")
_QUESTIONS = ("POST", "GET", "/predictions")


@dataclass(frozen=True)
class Harm:
    """One thing to do, `at` seconds after the begin; `details` follow from the seed too."""

    at: float
    kind: Kind
    details: dict[str, Any]


def schedule(seed: int, seconds: float, *, pace: float = 1.0) -> list[Harm]:
    """The same for the same seed. `pace` is how many times faster than usual all of it happens."""
    rng = random.Random(f"harm {seed}")
    harms = [
        Harm(at, kind, _details(kind, rng, pace))
        for kind, every in EVERY.items()
        for at in _moments(rng, every / pace, seconds)
    ]
    return sorted(harms, key=lambda harm: harm.at)


def _moments(rng: random.Random, every: float, seconds: float) -> Iterator[float]:
    at = rng.expovariate(1 / every)
    while at < seconds:
        yield at
        at += rng.expovariate(1 / every)


def _details(kind: Kind, rng: random.Random, pace: float) -> dict[str, Any]:
    away = rng.uniform(0, LONGEST_AWAY.get(kind, 0.0)) / pace
    match kind:
        case Kind.TELEGRAM:
            code = rng.choice((429, 429, 500, 502))
            wait = {"retry_after": 1} if code == 429 else {}
            return {"method": rng.choice(_METHODS), "code": code, "times": rng.randint(1, 4), **wait}
        case Kind.PROVIDER:
            if rng.random() < 0.4:
                return {"lost": 1}
            return {
                "status": rng.choice((429, 500, 503)),
                "path": rng.choice(_QUESTIONS),
                "times": rng.randint(1, 2),
            }
        case Kind.MODE:
            service = rng.choice(list(SERVICES)) if rng.random() < 0.3 else None
            return {"mode": rng.choice(("auto", "auto", "a", "b")), "service": service}
        case Kind.INNGEST_ILL:
            illness = rng.choice((Fault.HANG, Fault.ERROR, Fault.DEAD_EXECUTOR))
            return {"illness": illness, "away": away}
        case _:
            return {"which": rng.randint(0, 1), "away": away}


@dataclass(frozen=True)
class Outage:
    """Something was away from `begun` until `ended`, in seconds since the epoch."""

    kind: Kind
    begun: float
    ended: float


@dataclass
class Chaos:
    """Does the harms of a schedule, and remembers what it did and when what was away."""

    stage: ChaosStage
    outages: list[Outage] = field(default_factory=list)
    done: Counter[Kind] = field(default_factory=Counter)
    stuck: int = 0
    """Processes that did not end when they were told to."""
    _machines: dict[str, asyncio.Lock] = field(default_factory=dict)

    async def rage(self, harms: list[Harm]) -> None:
        """All of it is done, and everything is up again, when it returns."""
        begun = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for harm in harms:
                await asyncio.sleep(max(0.0, begun + harm.at - time.monotonic()))
                group.create_task(self._do(harm))

    async def heal(self) -> None:
        """No fault is in force any more, and the mode is auto."""
        await self.stage.telegram.call("DELETE", "/sim/fault")
        self.stage.replicate.knobs.faults.clear()
        self.stage.replicate.knobs.lose_next_answer = 0
        for service in SERVICES:
            await self._set_mode(None, service)
        await self._set_mode("auto", None)

    async def _do(self, harm: Harm) -> None:
        details = harm.details
        match harm.kind:
            case Kind.TELEGRAM:
                await self.stage.telegram.fault(**details)
                self.done[harm.kind] += details["times"]
            case Kind.PROVIDER:
                self._fail_replicate(details)
            case Kind.MODE:
                await self._set_mode(details["mode"], details["service"])
                self.done[harm.kind] += 1
            case _:
                await self._take_away(harm)

    def _fail_replicate(self, details: dict[str, Any]) -> None:
        if self.stage.offline:
            return
        if "lost" in details:
            self.stage.replicate.knobs.lose_next_answer += 1
        else:
            self.stage.replicate.fault(**details)
        self.done[Kind.PROVIDER] += details.get("times", 1)

    async def _set_mode(self, mode: str | None, service: str | None) -> None:
        key, db = f"mode:{service}" if service else "mode", self.stage.db
        while True:
            try:
                await (unset_setting(db, key) if mode is None else set_setting(db, key, mode))
            except DATABASE_AWAY:
                await asyncio.sleep(0.1)
            else:
                return

    async def _take_away(self, harm: Harm) -> None:
        """One machine is away for a while; two harms of one machine never overlap."""
        machine = f"process {harm.details['which']}" if "process" in harm.kind else harm.kind.partition(" ")[0]
        async with self._machines.setdefault(machine, asyncio.Lock()):
            begun = time.time()
            await self._end(harm)
            await asyncio.sleep(harm.details["away"])
            await self._begin(harm)
            self.outages.append(Outage(harm.kind, begun, time.time()))
            self.done[harm.kind] += 1

    async def _end(self, harm: Harm) -> None:
        stage = self.stage
        match harm.kind:
            case Kind.INNGEST_KILL:
                await stage.inngest.close()
            case Kind.INNGEST_ILL:
                stage.inngest.fault = harm.details["illness"]
            case Kind.POSTGRES_KILL:
                await stage.postgres.kill()
            case Kind.POSTGRES_STOP:
                await stage.postgres.stop()
            case Kind.STOP:
                await self._stop(stage.bots[harm.details["which"]])
            case _:
                await stage.bots[harm.details["which"]].kill()

    async def _stop(self, bot: BotProcess) -> None:
        """A process that is told to stop has to: one that does not is killed, and counted."""
        try:
            async with asyncio.timeout(STOPS_WITHIN):
                await bot.terminate()
        except TimeoutError:
            self.stuck += 1
            await bot.kill()

    async def _begin(self, harm: Harm) -> None:
        stage = self.stage
        match harm.kind:
            case Kind.INNGEST_KILL:
                await stage.inngest.start(stage.inngest.port)
            case Kind.INNGEST_ILL:
                stage.inngest.fault = Fault.NONE
            case Kind.POSTGRES_KILL | Kind.POSTGRES_STOP:
                await stage.postgres.begin_again()
            case _:
                await stage.start_again(stage.bots[harm.details["which"]])
