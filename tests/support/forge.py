"""Starts bot processes quickly: a process that has imported the bot once, and forks one for each request.

Importing aiogram's models takes seconds, a fork milliseconds. Each bot is a real process of its own, with
its own settings, and can be killed as any other.

Reads requests from standard input, a JSON line each; answers with the pid, and later with the exit code.
"""

import json
import os
import signal
import sys
from importlib import import_module
from typing import Any

_OFFLINE = tuple(f"providers.offline.{name}" for name in ("predictions", "voices", "vision", "text", "moderation"))


def _become_bot(request: dict[str, Any]) -> None:
    os.setsid()
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.clear()
    os.environ.update(request["settings"])
    os.chdir(request["folder"])
    import main

    os._exit(main.main())


def _reap(*_: object) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        _answer({"ended": pid, "code": os.waitstatus_to_exitcode(status)})


def _answer(data: dict[str, Any]) -> None:
    os.write(1, json.dumps(data).encode() + b"\n")


def serve() -> None:
    # What every fork then has, also of what the bot imports only when it needs it.
    for name in ("main", "uvloop", "providers.replicate", "providers.replicate_trainings", *_OFFLINE):
        import_module(name)

    signal.signal(signal.SIGCHLD, _reap)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _answer({"ready": True})
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if not pid:
            try:
                _become_bot(request)
            finally:
                os._exit(70)
        _answer({"started": pid, "request": request["request"]})


if __name__ == "__main__":
    serve()
