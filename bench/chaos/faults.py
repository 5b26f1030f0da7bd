"""The faults: a schedule that follows from a seed, and its execution."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from bench.chaos.environment import ChaosEnvironment
from sandbox.inngest.server import Fault
from services.generation.registry import SERVICES
from storage.pool import DATABASE_UNAVAILABLE
from storage.settings import set_setting, unset_setting
from tests.support.processes.bot_process import BotProcess


class FaultKind(StrEnum):
    """The kinds of faults, as the table names them."""

    KILL = "process killed (kill -9) and started"
    TERMINATE = "process stopped (SIGTERM) and started"
    INNGEST_KILL = "Inngest killed and started with an empty memory"
    INNGEST_FAULT = "Inngest hangs, answers 500 or runs nothing for a while"
    POSTGRES_KILL = "PostgreSQL killed (kill -9) and started"
    POSTGRES_STOP = "PostgreSQL stopped and started"
    TELEGRAM = "calls that Telegram answers 429, 500 or 502"
    PROVIDER = "requests that Replicate refuses, or whose response is lost"
    MODE = "mode switched"


MEAN_SECONDS_BETWEEN: dict[FaultKind, float] = {
    FaultKind.KILL: 7.0,
    FaultKind.TERMINATE: 20.0,
    FaultKind.INNGEST_KILL: 15.0,
    FaultKind.INNGEST_FAULT: 20.0,
    FaultKind.POSTGRES_KILL: 23.0,
    FaultKind.POSTGRES_STOP: 37.0,
    FaultKind.TELEGRAM: 1.5,
    FaultKind.PROVIDER: 2.0,
    FaultKind.MODE: 6.0,
}
"""Seconds between two faults of a kind, on average."""
MAX_OUTAGE_SECONDS = {
    FaultKind.KILL: 2.0,
    FaultKind.TERMINATE: 1.0,
    FaultKind.INNGEST_KILL: 8.0,
    FaultKind.INNGEST_FAULT: 8.0,
    FaultKind.POSTGRES_KILL: 4.0,
    FaultKind.POSTGRES_STOP: 8.0,
}
TERMINATE_TIMEOUT = 20.0
"""Seconds; 10 is the promise, on a machine that is not busy."""
_METHODS = ("*", "sendMessage", "sendPhoto", "sendVideo", "sendVoice", "editMessageText", "getFile")
_PROVIDER_REQUESTS = ("POST", "GET", "/predictions")


@dataclass(frozen=True)
class ScheduledFault:
    """One fault, `at` seconds after the start; `details` follow from the seed too."""

    at: float
    kind: FaultKind
    details: dict[str, Any]


def schedule(seed: int, seconds: float, *, pace: float = 1.0) -> list[ScheduledFault]:
    """The faults in order of time, the same for the same seed. `pace` is how many times faster than usual they come."""
    rng = random.Random(f"harm {seed}")
    faults = [
        ScheduledFault(at, kind, _details(kind, rng, pace))
        for kind, every in MEAN_SECONDS_BETWEEN.items()
        for at in _fault_times(rng, every / pace, seconds)
    ]
    return sorted(faults, key=lambda fault: fault.at)


def _fault_times(rng: random.Random, every: float, seconds: float) -> Iterator[float]:
    at = rng.expovariate(1 / every)
    while at < seconds:
        yield at
        at += rng.expovariate(1 / every)


def _details(kind: FaultKind, rng: random.Random, pace: float) -> dict[str, Any]:
    seconds = rng.uniform(0, MAX_OUTAGE_SECONDS.get(kind, 0.0)) / pace
    match kind:
        case FaultKind.TELEGRAM:
            code = rng.choice((429, 429, 500, 502))
            wait = {"retry_after": 1} if code == 429 else {}
            return {"method": rng.choice(_METHODS), "code": code, "times": rng.randint(1, 4), **wait}
        case FaultKind.PROVIDER:
            if rng.random() < 0.4:
                return {"lost": 1}
            return {
                "status": rng.choice((429, 500, 503)),
                "path": rng.choice(_PROVIDER_REQUESTS),
                "times": rng.randint(1, 2),
            }
        case FaultKind.MODE:
            service = rng.choice(list(SERVICES)) if rng.random() < 0.3 else None
            return {"mode": rng.choice(("auto", "auto", "a", "b")), "service": service}
        case FaultKind.INNGEST_FAULT:
            fault = rng.choice((Fault.HANG, Fault.ERROR, Fault.DEAD_EXECUTOR))
            return {"fault": fault, "seconds": seconds}
        case _:
            return {"which": rng.randint(0, 1), "seconds": seconds}


@dataclass(frozen=True)
class Outage:
    """Something was down from `started_at` until `ended_at`, in seconds since the epoch."""

    kind: FaultKind
    started_at: float
    ended_at: float


@dataclass
class FaultInjector:
    """Injects the faults of a schedule, and records what it did and which component was down when."""

    environment: ChaosEnvironment
    outages: list[Outage] = field(default_factory=list)
    counts: Counter[FaultKind] = field(default_factory=Counter)
    hung_terminations: int = 0
    """Processes that did not end on SIGTERM."""
    _component_locks: dict[str, asyncio.Lock] = field(default_factory=dict)

    async def run(self, faults: list[ScheduledFault]) -> None:
        """Inject all faults; everything is up again when this returns."""
        started_at = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for fault in faults:
                await asyncio.sleep(max(0.0, started_at + fault.at - time.monotonic()))
                group.create_task(self._inject(fault))

    async def clear_faults(self) -> None:
        """Remove all faults that are still active, and set the mode to auto."""
        await self.environment.telegram.api.clear_faults()
        self.environment.replicate.faults.clear()
        self.environment.replicate.behaviour.drop_next_responses = 0
        for service in SERVICES:
            await self._set_mode(None, service)
        await self._set_mode("auto", None)

    async def _inject(self, fault: ScheduledFault) -> None:
        details = fault.details
        match fault.kind:
            case FaultKind.TELEGRAM:
                await self.environment.telegram.add_fault(**details)
                self.counts[fault.kind] += details["times"]
            case FaultKind.PROVIDER:
                self._fail_replicate(details)
            case FaultKind.MODE:
                await self._set_mode(details["mode"], details["service"])
                self.counts[fault.kind] += 1
            case _:
                await self._cause_outage(fault)

    def _fail_replicate(self, details: dict[str, Any]) -> None:
        if self.environment.offline:
            return
        if "lost" in details:
            self.environment.replicate.behaviour.drop_next_responses += 1
        else:
            self.environment.replicate.fail_next(**details)
        self.counts[FaultKind.PROVIDER] += details.get("times", 1)

    async def _set_mode(self, mode: str | None, service: str | None) -> None:
        key, db = f"mode:{service}" if service else "mode", self.environment.db
        while True:
            try:
                await (unset_setting(db, key) if mode is None else set_setting(db, key, mode))
            except DATABASE_UNAVAILABLE:
                await asyncio.sleep(0.1)
            else:
                return

    async def _cause_outage(self, fault: ScheduledFault) -> None:
        """One component is down for a while; two faults of one component never overlap."""
        component = (
            f"process {fault.details['which']}" if "process" in fault.kind else fault.kind.partition(" ")[0]
        )
        async with self._component_locks.setdefault(component, asyncio.Lock()):
            started_at = time.time()
            await self._take_down(fault)
            await asyncio.sleep(fault.details["seconds"])
            await self._bring_up(fault)
            self.outages.append(Outage(fault.kind, started_at, time.time()))
            self.counts[fault.kind] += 1

    async def _take_down(self, fault: ScheduledFault) -> None:
        environment = self.environment
        match fault.kind:
            case FaultKind.INNGEST_KILL:
                await environment.inngest.close()
            case FaultKind.INNGEST_FAULT:
                environment.inngest.fault = fault.details["fault"]
            case FaultKind.POSTGRES_KILL:
                await environment.postgres.kill()
            case FaultKind.POSTGRES_STOP:
                await environment.postgres.shut_down()
            case FaultKind.TERMINATE:
                await self._terminate(environment.bots[fault.details["which"]])
            case _:
                await environment.bots[fault.details["which"]].kill()

    async def _terminate(self, bot: BotProcess) -> None:
        """Terminate a process. One that does not end is killed and counted."""
        try:
            async with asyncio.timeout(TERMINATE_TIMEOUT):
                await bot.terminate()
        except TimeoutError:
            self.hung_terminations += 1
            await bot.kill()

    async def _bring_up(self, fault: ScheduledFault) -> None:
        environment = self.environment
        match fault.kind:
            case FaultKind.INNGEST_KILL:
                await environment.inngest.start(environment.inngest.port)
            case FaultKind.INNGEST_FAULT:
                environment.inngest.fault = Fault.NONE
            case FaultKind.POSTGRES_KILL | FaultKind.POSTGRES_STOP:
                await environment.postgres.restart()
            case _:
                await environment.restart_process(environment.bots[fault.details["which"]])
