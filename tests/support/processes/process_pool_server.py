"""Starts bot processes quickly: a process that has imported the bot once, and forks one for each request.

Importing aiogram's models takes seconds, a fork milliseconds. Each bot is a real process of its own, with
its own settings, and can be killed as any other.

`python -m tests.support.processes.process_pool_server SOCKET` returns once the socket takes connections, and
leaves the server running behind itself. It serves all of pytest's workers, and ends when the last of them has hung
up, as the kernel does for one that is killed; with a worker go its bots. Over a connection come requests, a JSON
line each; back go the pid, and later the exit code.
"""

import gc
import json
import os
import selectors
import signal
import socket
import sys
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

from tests.support.processes.bot_process import skip_certificate_loading
from tests.support.processes.orphans import kill_with_parent

_LIBRARIES = ("uvloop", "httpcore", "anyio._backends._asyncio", "encodings.idna", "sandbox.telegram")
"""What the bot, or a library of its, imports only when it needs it."""
_FIRST_CONNECTION_SECONDS = 30.0


class ProcessPoolServer:
    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._selector = selectors.DefaultSelector()
        self._buffers: dict[socket.socket, bytes] = {}
        self._requesters: dict[int, socket.socket] = {}
        """Who asked for a bot, by its pid."""

    def serve(self) -> None:
        """Until nobody is connected any more, after somebody was; whoever started us may have been killed."""
        woken, wakes = os.pipe2(os.O_NONBLOCK)
        signal.set_wakeup_fd(wakes)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._selector.register(woken, selectors.EVENT_READ, lambda: self._reap(woken))
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        events = self._selector.select(_FIRST_CONNECTION_SECONDS)
        while events:
            for key, _ in events:
                key.data()
            events = self._selector.select() if self._buffers else []

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        self._buffers[connection] = b""
        self._selector.register(connection, selectors.EVENT_READ, partial(self._read, connection))
        _send(connection, {"ready": True})

    def _read(self, connection: socket.socket) -> None:
        data = b""
        with suppress(ConnectionError):
            data = connection.recv(1 << 20)
        if not data:
            self._selector.unregister(connection)
            connection.close()
            del self._buffers[connection]
            self._kill_bots_of(connection)
            return
        *lines, self._buffers[connection] = (self._buffers[connection] + data).split(b"\n")
        for line in lines:
            self._start(connection, json.loads(line))

    def _start(self, connection: socket.socket, request: dict[str, Any]) -> None:
        pid = os.fork()
        if not pid:
            try:
                self._selector.close()
                for each in (self._listener, *self._buffers):
                    each.close()
                _run_bot(request)
            finally:
                os._exit(70)
        self._requesters[pid] = connection
        _send(connection, {"started": pid, "request": request["request"]})

    def _kill_bots_of(self, connection: socket.socket) -> None:
        for pid, requester in self._requesters.items():
            if requester is connection:
                os.kill(pid, signal.SIGKILL)

    def _reap(self, woken: int) -> None:
        os.read(woken, 4096)
        while self._requesters:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            owner = self._requesters.pop(pid)
            if owner in self._buffers:
                _send(owner, {"ended": pid, "code": os.waitstatus_to_exitcode(status)})


def _send(connection: socket.socket, data: dict[str, Any]) -> None:
    with suppress(ConnectionError):  # it was killed; its end is read next
        connection.sendall(json.dumps(data).encode() + b"\n")


def _run_bot(request: dict[str, Any]) -> None:
    kill_with_parent()
    os.setsid()
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.clear()
    os.environ.update(request["settings"])
    os.chdir(request["folder"])
    exec(request["first"], {})
    import main

    os._exit(main.main())


def serve(path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    path.unlink(missing_ok=True)
    listener.bind(str(path))
    listener.listen()
    if os.fork():
        return
    os.setsid()
    gc.disable()
    skip_certificate_loading()
    from PIL import Image

    import providers

    for name in (
        "main",
        "bot.lifecycle",
        *_LIBRARIES,
        *(it.name for it in walk_packages(providers.__path__, "providers.")),
    ):
        import_module(name)
    Image.init()  # imports the formats
    gc.freeze()  # what a fork then need not copy, only because it was looked at
    gc.enable()
    ProcessPoolServer(listener).serve()
    path.unlink(missing_ok=True)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
