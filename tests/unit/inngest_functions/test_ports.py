"""Ports: whether one is free, who holds it, and what to do."""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress

import psutil  # type: ignore[import-untyped]
import pytest

from inngest_functions import ports
from inngest_functions.ports import PortHolder, check_port_availability, main


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that this process listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def free() -> int:
    """A port that nothing gets by chance: below the ones that systems hand out."""
    for port in range(20000 + os.getpid() % 1000 * 10, 32000):
        with suppress(OSError), socket.create_server(("", port)):
            return port
    raise AssertionError("no port is free")


def test_a_free_port(free: int) -> None:
    check = check_port_availability(free)
    assert check.free
    assert check.holder is None
    assert check.advice == f"{free} is free"


def test_a_taken_port_names_who_holds_it_and_what_to_do(taken: int) -> None:
    check = check_port_availability(taken, "INNGEST_DEV_PORT")
    assert not check.free
    assert check.holder == PortHolder(os.getpid(), psutil.Process().name())
    assert check.alternative
    assert check_port_availability(check.alternative).free
    for part in (f"(pid {os.getpid()})", f"kill {os.getpid()}", f"INNGEST_DEV_PORT={check.alternative}"):
        assert part in check.advice


@pytest.mark.parametrize("address", ["0.0.0.0", "::1", "::"])
def test_a_port_is_taken_on_any_address(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        server = socket.create_server((address, 0), family=family)
    except OSError:
        pytest.skip("this machine has no such address")
    with server:
        assert not check_port_availability(server.getsockname()[1]).free


def test_an_outgoing_connection_may_have_the_port(free: int) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname(), source_address=("127.0.0.1", free)),
    ):
        check = check_port_availability(free)
    assert not check.free
    assert check.holder is not None
    assert check.holder.pid == os.getpid()


def test_another_users_holder_is_not_known_and_said_so(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "net_connections", lambda kind: [])
    check = check_port_availability(taken)
    assert not check.free
    assert check.holder is None
    assert f"sudo lsof -nP -iTCP:{taken}" in check.advice


@pytest.mark.skipif(sys.platform != "linux", reason="other systems give such a port away")
def test_a_connection_that_has_ended_keeps_its_port_for_a_while(free: int) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname(), source_address=("127.0.0.1", free)) as connection,
    ):
        accepted, _ = server.accept()
        connection.close()  # who hangs up first is who waits
        accepted.close()
    check = check_port_availability(free)
    assert (check.free, check.holder) == (False, None)
    assert "for a connection that has ended: wait" in check.advice


def test_where_only_ones_own_processes_are_told(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(kind: str) -> None:
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil, "net_connections", denied)
    monkeypatch.setattr(psutil, "process_iter", lambda: [psutil.Process()])
    holder = check_port_availability(taken).holder
    assert holder is not None
    assert holder.pid == os.getpid()


def test_an_inngest_that_runs_already_is_recognised(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_find_holder", lambda port: (PortHolder(1, "inngest-cli"), False))
    assert "an Inngest runs there already" in check_port_availability(taken).advice


def test_a_line_for_each_port(taken: int, free: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(taken), str(free)]) == 1
    said = capsys.readouterr()
    assert said.out == f"{free} is free\n"
    assert said.err.startswith(f"{taken} is taken by ")
    assert main([str(free)]) == 0


def test_no_port_is_offered_twice_nor_one_that_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        asked = [one.getsockname()[1], two.getsockname()[1]]
        main([str(port) for port in asked])
    offered = [line.rpartition(" ")[2] for line in capsys.readouterr().err.splitlines()]
    assert len({*offered, *map(str, asked)}) == 4


@pytest.mark.parametrize("argument", ["", "http", "0", "65536", "-1", "INNGEST_DEV_PORT=", "٣"])
def test_what_is_no_port_is_named(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([argument]) == 2
    assert capsys.readouterr().err == f"{argument}: not a port, which is a number from 1 to 65535\n"
