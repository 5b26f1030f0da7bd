"""scripts/run.sh leaves neither the bot nor Inngest behind, however it ends.

It runs in a copy of the scripts, with a program as its Python that records its pid and sleeps.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox.postgres.server import runs
from tests.support.processes.bot_process import ROOT

_PYTHON = """#!/usr/bin/env bash
case "$*" in
    main.py) name=bot ;;
    *sandbox.inngest*) name=inngest ;;
    -c*) exit 1 ;; # nothing listens there
    *) exit ;;
esac
echo $$ >"$name.new"
mv "$name.new" "$name.pid"
exec sleep 60
"""


def _stop_ignoring_signals() -> None:
    """A shell cannot trap what its parent ignores: the background jobs of a script ignore SIGINT, and nohup SIGHUP."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


class Run:
    """scripts/run.sh, its bot and its Inngest."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        shutil.copytree(ROOT / "scripts", folder / "scripts")
        for file in ROOT.glob("requirements*.txt"):
            shutil.copy(file, folder)
        python = folder / ".venv/bin/python"
        python.parent.mkdir(parents=True)
        python.write_text(_PYTHON)
        python.chmod(0o755)
        stamp = "cat requirements*.txt | cksum >.venv/.diptych-requirements-sandbox.txt"
        subprocess.run(stamp, shell=True, cwd=folder, check=True)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("INNGEST_")}
        self.script = subprocess.Popen(
            ["bash", folder / "scripts/run.sh"],
            env={**environment, "INNGEST_CLI": "/nowhere"},
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_stop_ignoring_signals,  # noqa: PLW1509 - it sets two signals, and no thread runs here
        )
        self.bot, self.inngest = (self._pid_of(name) for name in ("bot", "inngest"))

    def still_running(self) -> list[str]:
        return [name for name in ("bot", "inngest") if runs(getattr(self, name), "sleep")]

    def _pid_of(self, name: str) -> int:
        file = self._folder / f"{name}.pid"
        wait_until(file.exists)
        pid = int(file.read_text())
        wait_until(lambda: runs(pid, "sleep"))
        return pid


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    run = Run(tmp_path)
    yield run
    run.script.kill()
    run.script.wait()


def wait_until(check: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signalled_script_returns_after_the_bot_and_inngest_have_ended(run: Run, number: signal.Signals) -> None:
    os.killpg(run.script.pid, number)
    run.script.wait(10)
    assert run.still_running() == []


def test_killed_bot_ends_the_script_and_inngest(run: Run) -> None:
    os.kill(run.bot, signal.SIGKILL)
    assert run.script.wait(10) == 128 + signal.SIGKILL
    assert run.still_running() == []


def test_killed_script_takes_the_bot_and_inngest_with_it(run: Run) -> None:
    run.script.kill()
    wait_until(lambda: run.still_running() == [])


def test_killed_process_group_takes_inngest_with_it(run: Run) -> None:
    os.killpg(run.script.pid, signal.SIGKILL)
    wait_until(lambda: run.still_running() == [])
