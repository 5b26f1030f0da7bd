"""The load: updates posted directly to a bot's webhook, with a limit on how many at once."""

import asyncio
import itertools
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import aiohttp

from bench.environment import SECRET, BenchEnvironment, MeasuredBot

Update = dict[str, Any]
_CONCURRENCY = 16
_HEADERS = {"Content-Type": "application/json", "X-Telegram-Bot-Api-Secret-Token": SECRET}
_ids = itertools.count(10**12)
"""Far above the sandbox's own ids, so that no update is taken for an earlier one."""


@dataclass(frozen=True)
class Measurement:
    """One measurement: how many updates, in how many seconds, at what CPU."""

    updates: int
    seconds: float
    cpu: float
    postgres_cpu: float

    def __add__(self, other: "Measurement") -> "Measurement":
        return Measurement(
            self.updates + other.updates,
            self.seconds + other.seconds,
            self.cpu + other.cpu,
            self.postgres_cpu + other.postgres_cpu,
        )

    @property
    def rate(self) -> float:
        return self.updates / self.seconds

    @property
    def ms(self) -> float:
        """CPU of the bot's process per update, in milliseconds."""
        return self.cpu / self.updates * 1000

    @property
    def postgres_ms(self) -> float:
        return self.postgres_cpu / self.updates * 1000


async def post_all(bot: MeasuredBot, updates: Iterable[Update]) -> int:
    """Post all, and return how many. Raises RuntimeError when the bot answers anything but 200."""
    bodies = (json.dumps({**update, "update_id": next(_ids)}).encode() for update in updates)
    done = 0

    async def work(session: aiohttp.ClientSession) -> None:
        nonlocal done
        for body in bodies:
            async with session.post(bot.webhook, data=body, headers=_HEADERS) as response:
                if response.status != 200:
                    raise RuntimeError(f"{bot.name} answered {response.status} to {body.decode()}")
                await response.read()
            done += 1

    connector = aiohttp.TCPConnector(limit=_CONCURRENCY)
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as group:
        for _ in range(_CONCURRENCY):
            group.create_task(work(session))
    return done


async def measure(environment: BenchEnvironment, bot: MeasuredBot, updates: Iterable[Update]) -> Measurement:
    """Read the CPU once all responses have arrived: both bots respond to an update when its work is done."""
    postgres, cpu, started_at = environment.cpu_of_postgres(), bot.cpu(), time.monotonic()
    done = await post_all(bot, updates)
    took = time.monotonic() - started_at
    return Measurement(done, took, bot.cpu() - cpu, environment.cpu_of_postgres() - postgres)
