"""The bot with nothing set: its PostgreSQL lives as long as it does, and what was written outlives both."""

import asyncio
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from tests.support.environments.environment import Environment, wait_until
from tests.support.processes.orphans import removed_when_killed
from tests.support.processes.server_folder import new_server_folder


@pytest.fixture
def folder(environment: Environment) -> Iterator[Path]:
    """Everything that the bots keep, and the database: as root it is in the folder for temporary files."""
    folder = new_server_folder()
    folder.mkdir()
    folder.chmod(0o755)
    environment.settings |= {"DATABASE_URL": "", "DATA_DIR": str(folder / "data"), "TMPDIR": str(folder)}
    with removed_when_killed(folder):
        yield folder
    shutil.rmtree(folder)


def processes(folder: Path) -> list[str]:
    """The command lines of the database's supervisor and of its server."""
    lines = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    return [
        line for line in lines if str(folder) in line and ("sandbox.postgres" in line or "bin/postgres" in line)
    ]


async def nothing_runs(folder: Path) -> bool:
    return not processes(folder)


def port_of(folder: Path) -> str:
    (port,) = {found[1] for line in processes(folder) if (found := re.search(r"-p (\d+)", line))}
    return port


async def test_bot_killed_and_started_again_goes_on_with_its_database(
    environment: Environment, folder: Path
) -> None:
    bot = await environment.start_bot()
    ann = environment.user()
    await ann.order_by_prompt()
    await ann.wait_for_text("balance 99 ⭐")
    port = port_of(folder)
    await bot.kill()
    await bot.start()
    assert port_of(folder) == port
    await ann.send_text("/balance")
    await ann.wait_for_text("You have 99 Stars")
    await bot.kill()
    await wait_until(lambda: nothing_runs(folder), what="the database has stopped, as nobody uses it")
    await bot.start()
    await ann.send_text("/balance")
    await ann.wait_for_text("You have 99 Stars")
    assert await bot.terminate() == 0
    assert not processes(folder)


async def test_two_bots_share_one_database_until_the_last_has_ended(
    environment: Environment, folder: Path
) -> None:
    first, second = await asyncio.gather(*(environment.start_bot(ready=False) for _ in range(2)))
    port = port_of(folder)
    await first.terminate()
    assert port_of(folder) == port
    assert (await environment.health(second))["database"] == "ok"
    await second.terminate()
    assert not processes(folder)
