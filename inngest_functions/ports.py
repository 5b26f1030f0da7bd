"""Whether a port of this machine is free, and who holds it if not: `python -m inngest_functions.ports 9288 9289`.

An argument may name the setting that the port comes from, for the advice: `INNGEST_DEV_PORT=9288`. Exit code 0
when all are free, 1 when one is taken, 2 when an argument is no port.
"""

import errno
import socket
import sys
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass

import psutil  # type: ignore[import-untyped]

_ADDRESSES = (
    (socket.AF_INET, "127.0.0.1"),
    (socket.AF_INET, "0.0.0.0"),  # noqa: S104 - bound for a moment, to see whether another process is there
    (socket.AF_INET6, "::1"),
    (socket.AF_INET6, "::"),
)
_NO_SUCH_ADDRESS = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
_MAX_PORT = 65535


@dataclass(frozen=True)
class PortHolder:
    pid: int
    name: str


@dataclass(frozen=True)
class PortCheck:
    """`holder` is None for a free port, and where this user may not see who it is. `advice` says what to do;
    `instead` is the free port that it offers."""

    port: int
    free: bool
    holder: PortHolder | None
    advice: str
    alternative: int | None = None


def check_port_availability(port: int, setting: str = "", *, reserved: Collection[int] = ()) -> PortCheck:
    """Whether a server could listen on the port, on any address.

    `setting` names where the port comes from; `needed` are ports that the advice must not offer.
    """
    listen_error = _listen_error(port)
    if listen_error is None:
        return PortCheck(port, True, None, f"{port} is free")
    alternative = _next_free_port(port, reserved)
    choose = f"choose another port: {f'{setting}=' if setting else ''}{alternative}"
    if listen_error == errno.EACCES:
        return PortCheck(port, False, None, f"{port} is for root alone: {choose}", alternative)
    holder, ended = _find_holder(port)
    return PortCheck(port, False, holder, _advice(port, holder, choose, only_ended_connection=ended), alternative)


def _advice(port: int, holder: PortHolder | None, choose: str, *, only_ended_connection: bool) -> str:
    if holder is None and only_ended_connection:
        return f"{port} is kept for up to a minute for a connection that has ended: wait, or {choose}"
    if holder is None:
        return (
            f"{port} is taken, by a process that only its user or root may see"
            f" (sudo lsof -nP -iTCP:{port} -sTCP:LISTEN): stop it, or {choose}"
        )
    taken = f"{port} is taken by {holder.name} (pid {holder.pid})"
    if holder.name.startswith("inngest"):
        return f"{taken}: an Inngest runs there already. Use that one, stop it (kill {holder.pid}), or {choose}"
    return f"{taken}: stop it (kill {holder.pid}), or {choose}"


def _listen_error(port: int) -> int | None:
    """The error that listening ends with, or None."""
    for family, address in _ADDRESSES:
        try:
            socket.create_server((address, port), family=family).close()
        except OSError as error:
            if error.errno not in _NO_SUCH_ADDRESS:
                return error.errno or errno.EADDRINUSE
    return None


def _find_holder(port: int) -> tuple[PortHolder | None, bool]:
    """Who has the port, and whether only an ended connection does. Who listens is named first: an outgoing
    connection may have the port, too."""
    users = sorted(_port_connections(port), key=lambda user: user[1] != psutil.CONN_LISTEN)
    with suppress(psutil.Error):  # gone in the meantime, or another user's
        for pid in (pid for pid, _ in users if pid):
            return PortHolder(pid, psutil.Process(pid).name()), False
    return None, any(status == psutil.CONN_TIME_WAIT for _, status in users)


def _port_connections(port: int) -> list[tuple[int | None, str]]:
    """The pid, where this user may see it, and the state of every connection that has the port on this side."""
    try:
        found = [(one.pid, one) for one in psutil.net_connections("tcp")]
    except psutil.AccessDenied:  # macOS tells of a user's own processes only, one by one
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                found += [(process.pid, one) for one in process.net_connections("tcp")]
    return [(pid, one.status) for pid, one in found if one.laddr[1:] == (port,)]


def _next_free_port(port: int, reserved: Collection[int]) -> int:
    above = range(max(port, 1023) + 1, _MAX_PORT + 1)
    return next((other for other in above if other not in reserved and _listen_error(other) is None), port)


def _parse(argument: str) -> tuple[int, str]:
    setting, _, port = argument.rpartition("=")
    if not (port.isascii() and port.isdecimal() and 0 < int(port) <= _MAX_PORT):
        raise ValueError(f"{argument}: not a port, which is a number from 1 to {_MAX_PORT}")
    return int(port), setting


def main(arguments: list[str]) -> int:
    """Print one line for each port: the free ones to stdout, the others to stderr."""
    try:
        requested = [_parse(argument) for argument in arguments]
    except ValueError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    checks: list[PortCheck] = []
    reserved = {port for port, _ in requested}
    for port, setting in requested:
        check = check_port_availability(port, setting, reserved=reserved)
        reserved |= {check.alternative} if check.alternative else set()
        print(check.advice, file=sys.stdout if check.free else sys.stderr)
        checks.append(check)
    return 0 if all(check.free for check in checks) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
