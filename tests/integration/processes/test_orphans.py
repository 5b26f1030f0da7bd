"""What the tests start ends when the tests are killed, which only the kernel notices."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sandbox.postgres.server import runs
from tests.support.environments.environment import wait_until
from tests.support.processes.bot_process import ROOT

_POOL_USER = """
import asyncio, sys
from pathlib import Path
from tests.support.processes.bot_process import ProcessPool

async def use(folder):
    pool = ProcessPool(folder)
    await pool.open()
    code = "import time; time.sleep(60)"
    print(*[await pool.start(folder, folder / "log", {}, startup_code=code) for _ in "ab"], flush=True)
    await asyncio.sleep(60)

asyncio.run(use(Path(sys.argv[1])))
"""
_PARENT = """
import subprocess, sys, time
from tests.support.processes.orphans import kill_with_parent
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], preexec_fn=kill_with_parent)
print(child.pid, flush=True)
time.sleep(60)
"""
_FOLDER_USER = """
import sys, time
from pathlib import Path
from tests.support.processes.orphans import removed_when_killed
with removed_when_killed(Path(sys.argv[1])):
    print("ready", flush=True)
    sys.stdin.readline()
"""


@asynccontextmanager
async def program(code: str, *arguments: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, list[str]]]:
    """Run a Python program; yield the process and the first line that it prints, split at spaces."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, *arguments), cwd=ROOT, stdin=pipe, stdout=pipe
    )
    try:
        assert process.stdout
        yield process, (await process.stdout.readline()).decode().split()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_killed_user_of_the_process_pool_takes_its_bots_and_the_pool_with_it(tmp_path: Path) -> None:
    async with program(_POOL_USER, str(tmp_path)) as (process, pids):
        bots = [int(pid) for pid in pids]
        assert len(bots) == 2
        assert all(runs(bot) for bot in bots)
        process.kill()

        async def all_ended() -> bool:
            return not any(runs(bot) for bot in bots) and not (tmp_path / "process_pool").exists()

        await wait_until(all_ended, what="the bots and the pool have ended")


async def test_killed_parent_takes_its_child_with_it() -> None:
    async with program(_PARENT) as (process, pids):
        (child,) = (int(pid) for pid in pids)
        assert runs(child)
        process.kill()

        async def ended() -> bool:
            return not runs(child)

        await wait_until(ended, what="the child has ended")


async def test_folder_of_a_killed_process_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    async with program(_FOLDER_USER, str(folder)) as (process, _):
        process.kill()

        async def removed() -> bool:
            return not folder.exists()

        await wait_until(removed, what="the folder is removed")


async def test_folder_of_a_process_that_ends_stays(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    async with program(_FOLDER_USER, str(folder)) as (process, _):
        await process.communicate(b"\n")
    await asyncio.sleep(0.5)
    assert os.listdir(tmp_path) == ["folder"]  # noqa: PTH208 - of one name
