"""The bot as a process of its own, as in production: started, watched, terminated, killed."""

import asyncio
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

import aiohttp

ROOT = Path(__file__).resolve().parent.parent.parent
_READY_SECONDS = 30.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class BotProcess:
    """`python main.py` with these settings and no others. Its log is in `folder`."""

    def __init__(self, folder: Path, settings: Mapping[str, str], *, name: str = "bot") -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / f"{name}.log"
        self._folder = folder
        self._settings = {**settings, "PORT": str(self.port)}
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Started and listening when it returns. Raises AssertionError with the log's end if it ends instead."""
        keep = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        with self.log.open("ab") as log:
            # In a folder of its own, where no .env of the developer's is read.
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                str(ROOT / "main.py"),
                cwd=self._folder,
                env={**keep, **self._settings},
                stdout=log,
                stderr=log,
            )
        async with asyncio.timeout(_READY_SECONDS), aiohttp.ClientSession() as session:
            while True:
                assert self._process.returncode is None, f"the bot ended: {self.tail()}"
                try:
                    async with session.get(f"{self.url}/health/live") as response:
                        if response.status == 200:
                            return
                except aiohttp.ClientConnectionError:
                    await asyncio.sleep(0.05)

    async def kill(self) -> None:
        """kill -9"""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def terminate(self) -> int:
        """SIGTERM; gives the exit code."""
        assert self._process is not None
        self._process.terminate()
        return await self._process.wait()

    async def wait(self) -> int:
        assert self._process is not None
        return await self._process.wait()

    def tail(self, size: int = 3000) -> str:
        return self.log.read_text(errors="replace")[-size:]
