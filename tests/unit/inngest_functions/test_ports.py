"""Ports: whether one is free, which process holds it, and what to do."""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress

import psutil  # type: ignore[import-untyped]
import pytest

from inngest_functions.ports import PortHolder, check_port_availability, main


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that this process listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def free() -> int:
    """A port that no process gets by chance: below the range that systems assign from."""
    for port in range(20000 + os.getpid() % 1000 * 10, 32000):
        with suppress(OSError), socket.create_server(("", port)):
            return port
    raise AssertionError("no port is free")


def test_check_of_a_free_port_reports_it_free(free: int) -> None:
    check = check_port_availability(free)
    assert check.free
    assert check.holder is None
    assert check.advice == f"{free} is free"


def test_check_of_a_used_port_names_its_holder_and_what_to_do(taken: int) -> None:
    check = check_port_availability(taken, "INNGEST_DEV_PORT")
    assert not check.free
    assert check.holder == PortHolder(os.getpid(), psutil.Process().name())
    assert check.alternative
    assert check_port_availability(check.alternative).free
    for part in (f"(pid {os.getpid()})", f"kill {os.getpid()}", f"INNGEST_DEV_PORT={check.alternative}"):
        assert part in check.advice


@pytest.mark.parametrize("address", ["0.0.0.0", "::1", "::"])
def test_check_of_a_port_used_on_any_address_reports_it_used(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        server = socket.create_server((address, 0), family=family)
    except OSError:
        pytest.skip("this machine has no such address")
    with server:
        assert not check_port_availability(server.getsockname()[1]).free


def test_check_of_a_port_used_by_an_outgoing_connection_names_its_holder(free: int) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname(), source_address=("127.0.0.1", free)),
    ):
        check = check_port_availability(free)
    assert not check.free
    assert check.holder is not None
    assert check.holder.pid == os.getpid()


def test_check_of_a_port_of_another_user_says_that_the_holder_is_unknown(
    taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psutil, "net_connections", lambda kind: [])
    check = check_port_availability(taken)
    assert not check.free
    assert check.holder is None
    assert f"sudo lsof -nP -iTCP:{taken}" in check.advice


@pytest.mark.skipif(sys.platform != "linux", reason="other systems reuse such a port")
def test_check_of_a_port_of_a_closed_connection_reports_it_used(free: int) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname(), source_address=("127.0.0.1", free)) as connection,
    ):
        accepted, _ = server.accept()
        connection.close()  # the side that closes first keeps the port
        accepted.close()
    check = check_port_availability(free)
    assert (check.free, check.holder) == (False, None)
    assert "by a connection that was closed: wait" in check.advice


def test_check_without_permission_finds_own_processes(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(kind: str) -> None:
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil, "net_connections", denied)
    monkeypatch.setattr(psutil, "process_iter", lambda: [psutil.Process()])
    holder = check_port_availability(taken).holder
    assert holder is not None
    assert holder.pid == os.getpid()


def test_check_of_a_port_of_inngest_says_that_it_is_running(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil.Process, "name", lambda self: "inngest-cli")
    assert "an Inngest server runs there already" in check_port_availability(taken).advice


def test_main_prints_a_line_per_port(taken: int, free: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(taken), str(free)]) == 1
    output = capsys.readouterr()
    assert output.out == f"{free} is free\n"
    assert output.err.startswith(f"{taken} is in use by ")
    assert main([str(free)]) == 0


def test_main_suggests_no_port_twice_and_none_that_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        ports_in_use = [one.getsockname()[1], two.getsockname()[1]]
        main([str(port) for port in ports_in_use])
    suggested = [line.rpartition(" ")[2] for line in capsys.readouterr().err.splitlines()]
    assert len({*suggested, *map(str, ports_in_use)}) == 4


@pytest.mark.parametrize("argument", ["", "http", "0", "65536", "-1", "INNGEST_DEV_PORT=", "٣"])
def test_main_with_an_invalid_port_names_it(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([argument]) == 2
    assert capsys.readouterr().err == f"{argument}: not a port (a number from 1 to 65535)\n"
