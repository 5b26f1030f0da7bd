"""The embedded PostgreSQL is shared by the processes that use it and stops with the last, however that ends."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import asyncpg
import psutil  # type: ignore[import-untyped]
import pytest

from sandbox.postgres.client import EmbeddedPostgres, EmbeddedUnavailable
from sandbox.postgres.server import read_postmaster, runs
from sandbox.postgres.supervisor import STATE_FILE
from tests.support.processes.bot_process import ROOT
from tests.support.processes.server_folder import new_server_folder

GRACE = 0.3
_USER = """
import asyncio, sys
from pathlib import Path
from sandbox.postgres.client import EmbeddedPostgres

async def use(folder, grace):
    server = EmbeddedPostgres(Path(folder), temporary=True, grace=float(grace))
    await server.start()
    print(server.pid, server.dsn, flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await server.stop()

asyncio.run(use(*sys.argv[1:]))
"""


class UserProcess:
    """Another process that uses the server of a folder."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.postmaster = 0
        self.dsn = ""

    @classmethod
    async def start(cls, folder: Path) -> "UserProcess":
        """Start the process and wait until it is attached to the server."""
        user = cls(
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", _USER, str(folder), str(GRACE)),
                cwd=ROOT,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
        )
        assert user._process.stdout
        pid, user.dsn = (await user._process.stdout.readline()).decode().split()
        user.postmaster = int(pid)
        return user

    async def end(self) -> None:
        assert self._process.stdin
        self._process.stdin.write(b"\n")
        assert await self._process.wait() == 0

    async def kill(self) -> None:
        self._process.kill()
        await self._process.wait()

    async def kill_with_supervisor(self, folder: Path) -> None:
        """Kill both at once, so that neither notices the end of the other."""
        self._process.send_signal(signal.SIGSTOP)
        for supervisor in supervisors(folder):
            supervisor.kill()
        await until(lambda: not supervisors(folder), "the supervisor is gone")
        await self.kill()


@pytest.fixture
async def folder() -> AsyncIterator[Path]:
    """A folder that does not exist yet. After the test neither a process nor the folder may be left."""
    folder = new_server_folder()
    yield folder
    try:
        await until(lambda: not leftovers(folder), f"nothing is left of {folder}")
    finally:
        for process in processes(folder):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        shutil.rmtree(folder, ignore_errors=True)


def processes(folder: Path) -> list[psutil.Process]:
    """Return the folder's users, supervisors and servers, but no zombies: those have no command line."""
    running = psutil.process_iter(["cmdline"])
    return [process for process in running if str(folder) in " ".join(process.info["cmdline"] or ())]


def leftovers(folder: Path) -> list[object]:
    return [*processes(folder), *([folder] if folder.exists() else [])]


def supervisors(folder: Path) -> list[psutil.Process]:
    return [process for process in processes(folder) if "sandbox.postgres" in process.info["cmdline"]]


async def until(check: Callable[[], bool], what: str, *, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, f"never came true: {what}"
        await asyncio.sleep(0.02)


def listens(dsn: str) -> bool:
    port = int(dsn.rpartition(":")[2].partition("/")[0])
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def answer(server: EmbeddedPostgres, query: str = "SELECT 1") -> object:
    connection = await asyncpg.connect(server.dsn)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_server_of_two_processes_stops_with_the_last_one(folder: Path) -> None:
    first = await UserProcess.start(folder)
    second = EmbeddedPostgres(folder, temporary=True, grace=GRACE)
    await second.start()
    assert second.dsn == first.dsn
    assert second.pid == first.postmaster
    await first.end()
    await asyncio.sleep(2 * GRACE)
    assert await answer(second) == 1
    await second.stop()
    assert not listens(first.dsn)
    assert not leftovers(folder)


async def test_killed_last_process_takes_the_server_with_it(folder: Path) -> None:
    user = await UserProcess.start(folder)
    connection = await asyncpg.connect(user.dsn)
    await connection.execute("CREATE TABLE t ()")  # somebody who is connected keeps nothing alive
    await user.kill()
    await until(lambda: not processes(folder), "the server has stopped")
    assert not listens(user.dsn)
    await connection.close()


async def test_process_killed_and_started_again_finds_its_server(folder: Path) -> None:
    user = await UserProcess.start(folder)
    await user.kill()
    again = EmbeddedPostgres(folder, temporary=True, grace=GRACE)
    await again.start()
    assert again.pid == user.postmaster
    await asyncio.sleep(2 * GRACE)
    assert await answer(again) == 1
    await again.stop()


async def test_killed_supervisor_is_replaced_and_its_server_adopted(folder: Path) -> None:
    server = EmbeddedPostgres(folder, temporary=True, grace=GRACE)
    await server.start()
    connection = await asyncpg.connect(server.dsn)
    dsn, pid = server.dsn, server.pid
    (killed,) = supervisors(folder)
    killed.kill()
    await until(lambda: killed not in (now := supervisors(folder)) and bool(now), "another supervisor runs")
    await asyncio.sleep(2 * GRACE)
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()
    assert (server.dsn, server.pid) == (dsn, pid)
    await server.stop()
    assert not listens(dsn)


async def test_start_after_everything_was_killed_adopts_the_server(folder: Path) -> None:
    user = await UserProcess.start(folder)
    await user.kill_with_supervisor(folder)
    assert listens(user.dsn)
    server = EmbeddedPostgres(folder, temporary=True, grace=GRACE)
    await server.start()
    assert (server.dsn, server.pid) == (user.dsn, user.postmaster)
    await server.stop()


async def test_starts_at_the_same_moment_have_one_server(folder: Path) -> None:
    users = await asyncio.gather(*(UserProcess.start(folder) for _ in range(4)))
    assert len({user.postmaster for user in users}) == 1
    assert len({user.dsn for user in users}) == 1
    await until(lambda: len(supervisors(folder)) == 1, "those that came too late have ended")
    await asyncio.gather(*(user.end() for user in users))


@pytest.mark.parametrize("seconds", [0.0, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05])
async def test_start_while_the_server_stops_gets_a_server(folder: Path, seconds: float) -> None:
    leaving = EmbeddedPostgres(folder, temporary=True, grace=GRACE)
    coming = EmbeddedPostgres(folder, temporary=True, grace=GRACE)
    await leaving.start()
    stopping = asyncio.get_running_loop().create_task(leaving.stop())
    await asyncio.sleep(seconds)
    await coming.start()
    await stopping
    assert await answer(coming) == 1
    await coming.stop()


async def test_killed_server_is_started_again_at_its_address_with_its_data(folder: Path) -> None:
    server = EmbeddedPostgres(folder, temporary=True, grace=GRACE)
    await server.start()
    dsn, pid = server.dsn, server.pid
    await answer(server, "CREATE TABLE kept AS SELECT 7 AS number")
    os.kill(pid, signal.SIGKILL)
    await until(lambda: not runs(pid), "the server is dead")
    await server.start()
    assert server.dsn == dsn
    assert server.pid != pid
    assert await answer(server, "SELECT number FROM kept") == 7
    await server.stop()


async def test_pid_reused_by_another_program_is_not_mistaken_for_the_server(folder: Path) -> None:
    user = await UserProcess.start(folder)
    await user.kill_with_supervisor(folder)
    os.kill(user.postmaster, signal.SIGKILL)
    await until(lambda: not processes(folder), "all are gone")
    pid_file = folder / "data/postmaster.pid"
    lines = pid_file.read_text().split("\n")
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]))
    server = EmbeddedPostgres(folder, temporary=True, grace=GRACE)
    await server.start()
    found = read_postmaster(folder / "data")
    assert found
    assert found.pid == server.pid != os.getpid()
    await server.stop()


async def test_folder_of_a_permanent_server_keeps_its_data(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    permanent = folder / "permanent"
    monkeypatch.setenv("TMPDIR", str(folder))  # where the files are as root
    for _ in range(2):
        server = EmbeddedPostgres(permanent)
        await server.start()
        await answer(server, "CREATE TABLE IF NOT EXISTS starts ()")
        await answer(server, "INSERT INTO starts DEFAULT VALUES")
        count = await answer(server, "SELECT count(*) FROM starts")
        await server.stop()
    assert count == 2
    shutil.rmtree(folder)


async def test_server_that_cannot_start_says_where_to_look(folder: Path) -> None:
    server = EmbeddedPostgres(folder, options=("-c", "no_such_setting=1"), temporary=True)
    with pytest.raises(EmbeddedUnavailable, match=r"(?s)did not start: see .*server\.log.*no_such_setting"):
        await server.start()


async def test_start_without_the_wheel_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandbox.postgres.client.find_spec", lambda _name: None)
    with pytest.raises(EmbeddedUnavailable, match=r"install requirements-sandbox\.txt"):
        await EmbeddedPostgres(folder).start()


async def test_terminated_supervisor_stops_its_server(folder: Path) -> None:
    user = await UserProcess.start(folder)
    (supervisor,) = supervisors(folder)
    await user.kill()
    with suppress(psutil.NoSuchProcess):
        supervisor.terminate()
    await until(lambda: not processes(folder), "the server has stopped", seconds=GRACE + 5)


async def test_invalid_client_is_disconnected_and_keeps_nothing_alive(folder: Path) -> None:
    user = await UserProcess.start(folder)
    state = json.loads((folder / STATE_FILE).read_text())
    reader, writer = await asyncio.open_connection("127.0.0.1", state["port"])
    writer.write(b"attach nonsense\n")
    assert await reader.read() == b""
    writer.close()
    _, silent = await asyncio.open_connection("127.0.0.1", state["port"])
    await user.kill()
    await until(lambda: not processes(folder), "the server has stopped")
    silent.close()


def test_supervisor_imports_only_the_standard_library() -> None:
    code = "import sys, sandbox.postgres.supervisor; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) - sys.stdlib_module_names - {"__main__", "sandbox"} <= site_modules()


def site_modules() -> set[str]:
    """Return what Python imports at startup, for example through a .pth file."""
    code = "import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())
