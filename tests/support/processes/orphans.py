"""What a process that is killed (kill -9) would leave behind, and does not: its children, its temporary folder."""

import ctypes
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1
_WATCHER = """
import os, shutil, sys, time
folder = sys.argv[1]
if not sys.stdin.read():  # our parent was killed
    for _ in range(50):  # what still runs there ends within seconds: bots, a PostgreSQL
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.1)
"""


def kill_with_parent() -> None:
    """From now on the kernel kills this process when its parent has died. Elsewhere than on Linux nothing happens.

    It may be a `preexec_fn`, as it neither imports nor allocates anything between fork and exec.
    https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html
    """
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@contextmanager
def removed_when_killed(folder: Path) -> Iterator[None]:
    """The folder is removed when this process is killed inside; else it stays."""
    watcher = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _WATCHER, str(folder)],
        cwd="/",
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # so that it outlives what kills all of our group
    )
    try:
        yield
    finally:
        watcher.communicate(b"all is well")


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder for all temporary files of this process, removed in the end, also when the process is killed."""
    with tempfile.TemporaryDirectory(prefix="diptych-") as name, removed_when_killed(Path(name)):
        usual, tempfile.tempdir = tempfile.tempdir, name
        try:
            yield Path(name)
        finally:
            tempfile.tempdir = usual
