"""The bot as a process of its own, as in production: started, watched, terminated, killed."""

import asyncio
import fcntl
import json
import os
import signal
import socket
import ssl
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp

ROOT = Path(__file__).resolve().parents[3]
_PACKAGES = ("main", "bot", "handlers", "inngest_functions", "web", "services", "providers", "storage")
_READY_SECONDS = 30.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def skip_certificate_loading() -> None:
    """The stand-ins use plain HTTP: loading the certificates for each client would waste 20 ms."""
    for name in ("load_verify_locations", "load_default_certs"):
        setattr(ssl.SSLContext, name, lambda *_args, **_kwargs: None)


def forget_imported_packages() -> None:
    """What is imported of ours from now on is read again, with what was put into its packages meanwhile."""
    for name in [name for name in sys.modules if name.partition(".")[0] in _PACKAGES]:
        del sys.modules[name]


class ProcessPool:
    """Forks bot processes from one that has everything imported: see process_pool_server.py.

    The first of pytest's workers that needs it starts it, in a `folder` that all of them share.
    """

    def __init__(self, folder: Path) -> None:
        self._socket = folder / "process_pool"
        self._lock = folder / "process_pool.lock"
        self._started: dict[int, asyncio.Future[int]] = {}
        self._ended: dict[int, asyncio.Future[int]] = {}

    async def open(self) -> None:
        for _ in range(3):  # it may be about to end, because another worker has hung up
            with self._lock.open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                connection = await self._connect()
            if await connection[0].readline():
                break
        else:
            raise AssertionError("the process pool does not start")
        self._answers, self._requests = connection
        self._reader = asyncio.get_running_loop().create_task(self._read())

    async def close(self) -> None:
        self._requests.close()
        await self._reader

    async def start(self, folder: Path, log: Path, settings: Mapping[str, str], *, startup_code: str = "") -> int:
        """The pid of a new bot process. It runs `startup_code` before anything else."""
        number = len(self._started)
        self._started[number] = asyncio.get_running_loop().create_future()
        about = {"request": number, "folder": str(folder), "log": str(log), "first": startup_code}
        self._requests.write(json.dumps({**about, "settings": dict(settings)}).encode() + b"\n")
        return await self._started[number]

    async def wait(self, pid: int) -> int:
        """The exit code, once the process has ended; negative for a signal."""
        return await asyncio.shield(self._exit_future(pid))

    def is_running(self, pid: int) -> bool:
        return not self._exit_future(pid).done()

    def _exit_future(self, pid: int) -> asyncio.Future[int]:
        return self._ended.setdefault(pid, asyncio.get_running_loop().create_future())

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        with suppress(FileNotFoundError, ConnectionRefusedError):
            return await asyncio.open_unix_connection(self._socket)
        command = (sys.executable, "-m", "tests.support.processes.process_pool_server", str(self._socket))
        nothing = asyncio.subprocess.DEVNULL
        launch = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdin=nothing, stdout=nothing)
        assert await launch.wait() == 0
        return await asyncio.open_unix_connection(self._socket)

    async def _read(self) -> None:
        async for line in self._answers:
            answer: dict[str, Any] = json.loads(line)
            if "started" in answer:
                self._started[answer["request"]].set_result(answer["started"])
            else:
                self._exit_future(answer["ended"]).set_result(answer["code"])


class BotProcess:
    """`main.py` with these settings and no others, in a folder of its own where no .env is read."""

    def __init__(
        self,
        process_pool: ProcessPool,
        folder: Path,
        settings: Mapping[str, str],
        *,
        name: str = "bot",
        startup_code: str = "",
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / f"{name}.log"
        self._process_pool = process_pool
        self._folder = folder
        self._startup_code = startup_code
        keep = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        self.settings = {**keep, **settings, "PORT": str(self.port)}
        self._pid = 0

    async def start(self) -> None:
        """Started and listening when it returns. Raises AssertionError with the log's end if it ends instead."""
        self._pid = await self._process_pool.start(
            self._folder, self.log, self.settings, startup_code=self._startup_code
        )
        async with asyncio.timeout(_READY_SECONDS), aiohttp.ClientSession() as session:
            while True:
                assert self._process_pool.is_running(self._pid), f"the bot ended: {self.log_tail()}"
                try:
                    async with session.get(f"{self.url}/health/live") as response:
                        if response.status == 200:
                            return
                except aiohttp.ClientConnectionError:
                    await asyncio.sleep(0.02)

    async def kill(self) -> None:
        """kill -9"""
        await self._signal(signal.SIGKILL)

    async def terminate(self) -> int:
        """SIGTERM; gives the exit code."""
        return await self._signal(signal.SIGTERM)

    async def wait(self) -> int:
        return await self._process_pool.wait(self._pid)

    def log_tail(self, size: int = 5000) -> str:
        return self.log.read_text(errors="replace")[-size:]

    async def _signal(self, number: int) -> int:
        if self._pid and self._process_pool.is_running(self._pid):
            os.kill(self._pid, number)
        return await self._process_pool.wait(self._pid) if self._pid else 0
