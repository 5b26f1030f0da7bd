"""Everything a measurement needs, each in its own process: the two bots, Telegram, Replicate, PostgreSQL."""

import asyncio
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir

import aiohttp

from bench import echo_bot as echo
from bench.command_line import print_logs
from bench.cpu_time import cpu_of, cpu_of_family
from sandbox.postgres.client import EmbeddedPostgres
from tests.support.fake_providers.replicate_server import TOKEN as REPLICATE_TOKEN
from tests.support.processes.bot_process import free_port
from tests.support.processes.orphans import kill_with_parent, temporary_folder

ROOT = Path(__file__).resolve().parent.parent
SECRET = "bench-only"
DIPTYCH_TOKEN = "1000000001:bench-of-diptych"
ECHO_TOKEN = "1000000002:bench-of-the-echo"
_CREDITS = 1_000_000
_REPLICATE = ["-m", "tests.support.fake_providers.replicate_server"]
_READY_SECONDS = 60.0


@dataclass(frozen=True)
class MeasuredBot:
    """A bot under load: where its updates go, and the process whose CPU is counted."""

    name: str
    token: str
    webhook: str
    pid: int

    @property
    def id(self) -> int:
        return int(self.token.partition(":")[0])

    def cpu(self) -> float:
        return cpu_of(self.pid)


@dataclass(frozen=True)
class BenchEnvironment:
    diptych: MeasuredBot
    echo_bot: MeasuredBot
    telegram: str
    replicate: str
    dsn: str
    postmaster: int

    def cpu_of_postgres(self) -> float:
        return cpu_of_family(self.postmaster)


@asynccontextmanager
async def open_environment(*, verbose: bool = False) -> AsyncIterator[BenchEnvironment]:
    """Start everything, until the bots are ready.

    Args:
        verbose: Whether to print the processes' logs in the end.

    Raises:
        RuntimeError: A process does not start; the message has its log.
    """
    telegram, replicate, ours, bare = (f"http://127.0.0.1:{free_port()}" for _ in range(4))
    async with _database() as (dsn, postmaster), AsyncExitStack() as stack:
        folder = stack.enter_context(temporary_folder())
        if verbose:
            stack.callback(print_logs, folder)

        async def start(name: str, url: str, arguments: list[str], **settings: str) -> int:
            process = stack.enter_context(_process(folder / f"{name}.log", arguments, settings))
            await _answers(url, process, folder / f"{name}.log")
            return process.pid

        await start("telegram", f"{telegram}/sim/state", ["-m", "sandbox.telegram", "--port", _port(telegram)])
        await start("replicate", f"{replicate}/control", [*_REPLICATE, "--port", _port(replicate)])
        diptych = await start(
            "diptych",
            f"{ours}/health/live",
            [str(ROOT / "main.py")],
            BOT_TOKEN=DIPTYCH_TOKEN,
            TELEGRAM_API_URL=telegram,
            TELEGRAM_MODE="webhook",
            TELEGRAM_WEBHOOK_SECRET=SECRET,
            PUBLIC_URL=ours,
            PORT=_port(ours),
            HOST="127.0.0.1",
            DATABASE_URL=dsn,
            REPLICATE_API_TOKEN=REPLICATE_TOKEN,
            REPLICATE_BASE_URL=replicate,
            INNGEST_BASE_URL=f"http://127.0.0.1:{free_port()}",
            PLAN_B_SLOTS="1",
            WELCOME_CREDITS=str(_CREDITS),
            DATA_DIR=str(folder / "data"),
        )
        arguments = {"port": _port(bare), "api": telegram, "token": ECHO_TOKEN, "secret": SECRET}
        bare_bot = await start(
            "echo", bare, ["-m", "bench.echo_bot", *(f"--{k}={v}" for k, v in arguments.items())]
        )
        yield BenchEnvironment(
            MeasuredBot("Diptych", DIPTYCH_TOKEN, f"{ours}/telegram/main", diptych),
            MeasuredBot("bare echo", ECHO_TOKEN, f"{bare}{echo.PATH}", bare_bot),
            telegram,
            replicate,
            dsn,
            postmaster,
        )


@asynccontextmanager
async def _database() -> AsyncIterator[tuple[str, int]]:
    """The DSN and the pid of a new PostgreSQL server."""
    server = EmbeddedPostgres(Path(gettempdir()) / f"diptych-bench-{secrets.token_hex(6)}", temporary=True)
    await server.start()
    try:
        yield server.dsn, server.pid
    finally:
        await server.stop()


@contextmanager
def _process(log: Path, arguments: list[str], settings: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A Python process with these settings and no others, in a folder without .env; killed in the end."""
    with log.open("wb") as output:
        environment = {"PYTHONPATH": str(ROOT), "PATH": os.defpath, "TMPDIR": str(log.parent), **settings}
        command = [sys.executable, *arguments]
        process = subprocess.Popen(
            command,
            cwd=log.parent,
            env=environment,
            stdout=output,
            stderr=output,
            preexec_fn=kill_with_parent,  # noqa: PLW1509
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def _answers(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the process answers there. Raises RuntimeError with its log when it ends instead."""
    async with asyncio.timeout(_READY_SECONDS), aiohttp.ClientSession() as session:
        while process.poll() is None:
            try:
                async with session.get(url) as response:
                    await response.read()
                    return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)
    raise RuntimeError(f"{log.stem} does not start:\n{await asyncio.to_thread(log.read_text)}")


def _port(url: str) -> str:
    return url.rpartition(":")[2]
