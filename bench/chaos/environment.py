"""The environment of the chaos bench: two bot processes behind a load balancer, and a PostgreSQL that can be killed.

The stand-ins for Telegram, Inngest and (optionally) Replicate run in the bench's own process. Inngest's is closed
and started again at its port with an empty memory, which for everything else is a kill -9.
"""

import asyncio
import os
import signal
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import asyncpg
import numpy as np
from aiohttp import web
from PIL import Image

from sandbox.inngest.clock import Clock
from sandbox.inngest.server import InngestServer
from sandbox.postgres.client import EmbeddedPostgres
from sandbox.postgres.server import runs
from sandbox.providers.video import encode_mp4, to_video_frame
from services.generation.catalogue import MODELS
from storage.migrations import migrate
from storage.pool import DATABASE_UNAVAILABLE, create_pool
from tests.support.environments.environment import Environment
from tests.support.fake_providers.replicate_server import FakePrediction, FakeReplicate, Outcome
from tests.support.processes.bot_process import BotProcess, ProcessPool
from tests.support.processes.load_balancer import LoadBalancer

SECRET = "chaos"
WELCOME_CREDITS = 1_000_000
_CALLS_KEPT = 1_000_000
_VIDEO_MODELS = {
    m.model for name in ("text_to_video", "image_to_video", "lip_sync") for m in MODELS[name].values()
}
_SINGLE_OUTPUT_MODELS = {m.model for m in MODELS["neuro_image_v2"].values()} | _VIDEO_MODELS


class RestartablePostgres(EmbeddedPostgres):
    """A temporary server that can go down, and is started again at the same address."""

    def __init__(self, folder: Path, *, options: tuple[str, ...] = ()) -> None:
        super().__init__(folder, options=options, temporary=True)

    async def kill(self) -> None:
        """kill -9 of the postmaster; its backends end as they notice."""
        await self._signal(signal.SIGKILL)

    async def shut_down(self) -> None:
        """PostgreSQL's fast shutdown: it drops its connections, and ends in order."""
        await self._signal(signal.SIGINT)

    async def restart(self) -> None:
        """Start it again; it accepts connections when this returns."""
        await self.start()

    async def _signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)
        while runs(self.pid):  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.01)


class ChaosReplicate(FakeReplicate):
    """Replicate with small media at once, which obeys fault triggers; video models return videos."""

    def __init__(self) -> None:
        super().__init__(seconds=0.3, outcome=_outcome_of)

    def _output_of(self, made: FakePrediction) -> Any:
        return (
            f"{self.url}/output/{made.id}/one" if made.model in _SINGLE_OUTPUT_MODELS else super()._output_of(made)
        )

    async def _output(self, request: web.Request) -> web.Response:
        made = self.find(request)
        if made is not None and made.model in _VIDEO_MODELS:
            return web.Response(body=_small_video(), content_type="video/mp4")
        return await super()._output(request)


def _outcome_of(model_input: Mapping[str, Any]) -> Outcome:
    words = str(model_input.get("prompt", "")).split()
    return "fail" if "#fail" in words else "nsfw" if "#nsfw" in words else "succeed"


@cache
def _small_video() -> bytes:
    shades = [np.full((64, 64, 3), shade, np.uint8) for shade in (40, 120, 200)]
    return encode_mp4((to_video_frame(Image.fromarray(shade)) for shade in shades), (64, 64))


@dataclass
class ChaosEnvironment(Environment):
    """Each user starts with a million credits. `offline`: what is ordered is really made, on this machine."""

    postgres: RestartablePostgres = field(kw_only=True)
    offline: bool = True
    load_balancer: LoadBalancer = field(default_factory=LoadBalancer)
    failed_starts: list[str] = field(default_factory=list)
    """Why a process did not start, each time; it is then started again, as a supervisor would."""

    async def open(self) -> None:
        await super().open()
        await self.load_balancer.start()
        state = self.telegram.state
        state.outbox._calls = deque(maxlen=_CALLS_KEPT)  # all of them are checked at the end
        self.settings |= {
            "TELEGRAM_MODE": "webhook",
            "TELEGRAM_WEBHOOK_SECRET": SECRET,
            "PUBLIC_URL": self.load_balancer.url,
            "WELCOME_CREDITS": str(WELCOME_CREDITS),
            "OFFLINE_SECONDS": "0.4",
            "PLAN_B_SLOTS": "16",
            "JOBS_PER_PERSON": "3",
        }
        if self.offline:
            for name in ("REPLICATE_API_TOKEN", "REPLICATE_BASE_URL"):
                del self.settings[name]
        else:
            self.start_replicate_webhooks()

    async def close(self) -> None:
        await super().close()
        await self.load_balancer.close()

    async def start_two_processes(self) -> None:
        self.load_balancer.targets = ["http://127.0.0.1:1"]
        bots = await asyncio.gather(self.start_bot(ready=False), self.start_bot(ready=False))
        self.load_balancer.targets = [bot.url for bot in bots]
        for bot in bots:
            await self.wait_for_plan_a(bot)

    async def restart_process(self, bot: BotProcess) -> None:
        """Start it until it listens: without its database a process ends, and a supervisor starts it again."""
        while True:
            try:
                await bot.start()
            except (AssertionError, TimeoutError) as error:
                self.failed_starts.append(str(error).strip().rpartition("\n")[2])
                await bot.kill()
                await asyncio.sleep(0.3)
            else:
                return

    async def rows(self, query: str, *args: Any) -> list[dict[str, Any]]:
        """The rows of a query, once the database is available."""
        while True:
            with suppress(*DATABASE_UNAVAILABLE):
                return [dict(row) for row in await self.db.fetch(query, *args)]
            await asyncio.sleep(0.1)


@asynccontextmanager
async def open_environment(
    folder: Path, process_pool: ProcessPool, *, offline: bool, **settings: str
) -> AsyncIterator[ChaosEnvironment]:
    """Start Telegram, Inngest, the load balancer and the database, but not the bots."""
    postgres = RestartablePostgres(folder / "postgres", options=("-c", "max_connections=100"))
    await postgres.start()
    connection = await asyncpg.connect(postgres.dsn)
    await migrate(connection)
    await connection.close()
    db = await create_pool(postgres.dsn, size=5)
    environment = ChaosEnvironment(
        db,
        postgres.dsn,
        folder,
        process_pool,
        postgres=postgres,
        offline=offline,
        replicate=ChaosReplicate(),
        inngest=InngestServer(clock=Clock(retry_delays=(0.2, 0.5, 1.0), speed=2.0)),
    )
    await environment.open()
    environment.settings |= settings
    try:
        yield environment
    finally:
        await environment.close()
        db.terminate()
        await postgres.stop()
