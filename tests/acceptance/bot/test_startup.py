"""A start that fails: it says why in one line, soon, and leaves nothing behind."""

import asyncio
import os
import socket
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from bot import lifecycle
from bot.port import bind_port
from bot.settings import Settings, SettingsError
from storage.pool import Pool

ROOT = Path(__file__).parents[3]
MAX_SECONDS = 5.0
CONNECTIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"


@pytest.fixture
def busy_port() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def settings_for(port: int, folder: Path, dsn: str = "") -> Settings:
    return Settings(_env_file=None, port=port, data_dir=folder / "data", database_url=dsn)


async def test_main_on_a_busy_port_fails_before_a_database_starts(
    busy_port: socket.socket, tmp_path: Path
) -> None:
    port = busy_port.getsockname()[1]
    environment = {"PATH": os.environ["PATH"], "PORT": str(port), "DATA_DIR": str(tmp_path / "data")}
    async with asyncio.timeout(MAX_SECONDS):
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(ROOT / "main.py"), cwd=tmp_path, env=environment, stderr=asyncio.subprocess.PIPE
        )
        _, printed = await process.communicate()
    busy_port.close()
    assert process.returncode == 1
    assert printed.decode() == f"Diptych cannot start. PORT: cannot listen on {port}: Address already in use\n"
    assert not (tmp_path / "data").exists(), "no folder of a database"


def test_bind_port_on_an_unknown_host_names_the_setting(tmp_path: Path) -> None:
    settings = settings_for(3001, tmp_path).model_copy(update={"host": "no such host"})
    with ExitStack() as stack, pytest.raises(SettingsError, match="HOST: no such host"):
        bind_port(stack, settings)


def test_bind_port_on_a_host_of_which_one_address_is_missing_uses_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `localhost` may be ::1 as well, on a machine without IPv6."""
    missing = (
        socket.AF_INET,
        socket.SOCK_STREAM,
        0,
        "",
        ("192.0.2.1", 0),
    )  # https://www.rfc-editor.org/rfc/rfc5737
    present = (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 0))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [missing, present, present])
    with ExitStack() as stack:
        (bound,) = bind_port(stack, settings_for(3001, tmp_path))
        assert bound.getsockname()[0] == "127.0.0.1"


async def test_running_app_when_a_later_part_fails_stops_the_earlier_ones(
    db: Pool, dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connections = await db.fetchval(CONNECTIONS)

    def fail(*_: object) -> None:
        raise RuntimeError("the loops cannot start")

    monkeypatch.setattr(lifecycle, "announce_commands", fail)
    with ExitStack() as stack:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        settings = settings_for(port, tmp_path, dsn)
        with pytest.raises(RuntimeError, match="the loops cannot start"):
            async with lifecycle.running_app(settings, bind_port(stack, settings)):
                pytest.fail("it must not run")
    assert await db.fetchval(CONNECTIONS) == connections
    socket.create_server(("127.0.0.1", port)).close()  # raises where something still listens
