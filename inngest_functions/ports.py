"""Check whether ports are free, and which process uses them: `python -m inngest_functions.ports 9288 9289`.

An argument may name the setting that the port comes from, so that the advice can name it: `INNGEST_DEV_PORT=9288`. The
exit code is 0 if all ports are free, 1 if one is in use, and 2 if an argument is not a port.
"""

import argparse
import errno
import socket
import sys
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass

import psutil  # type: ignore[import-untyped]

_ADDRESSES = (
    (socket.AF_INET, "127.0.0.1"),
    (socket.AF_INET, "0.0.0.0"),  # noqa: S104 - bound for a moment, to find out whether another process listens there
    (socket.AF_INET6, "::1"),
    (socket.AF_INET6, "::"),
)
_NO_SUCH_ADDRESS = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
_MAX_PORT = 65535
_HELP = (
    "Checks whether ports are free. Exits with 1 if one is in use, and says which process uses it and what to do."
)


@dataclass(frozen=True)
class PortHolder:
    """The process that uses a port."""

    pid: int
    name: str


@dataclass(frozen=True)
class PortCheck:
    """The result for one port.

    Attributes:
        port: The port.
        free: Whether a server could listen on it.
        holder: The process that uses it; None if the port is free or this user may not see the process.
        advice: What to do, in one line.
        alternative: The free port that the advice suggests; None if the port is free.
    """

    port: int
    free: bool
    holder: PortHolder | None
    advice: str
    alternative: int | None = None


def check_port_availability(port: int, setting: str = "", *, reserved: Collection[int] = ()) -> PortCheck:
    """Check whether a server could listen on the port, on any address.

    Args:
        port: The port.
        setting: The name of the setting that the port comes from, for the advice; empty if there is none.
        reserved: Ports that the advice must not suggest.
    """
    listen_error = _listen_error(port)
    if listen_error is None:
        return PortCheck(port, True, None, f"{port} is free")
    alternative = _next_free_port(port, reserved)
    choose = f"choose another port: {f'{setting}=' if setting else ''}{alternative}"
    if listen_error == errno.EACCES:
        return PortCheck(port, False, None, f"{port} can only be used by root: {choose}", alternative)
    holder, ended = _find_holder(port)
    return PortCheck(port, False, holder, _advice(port, holder, choose, only_ended_connection=ended), alternative)


def _advice(port: int, holder: PortHolder | None, choose: str, *, only_ended_connection: bool) -> str:
    if holder is None and only_ended_connection:
        return f"{port} is blocked for up to a minute by a connection that was closed: wait, or {choose}"
    if holder is None:
        return (
            f"{port} is in use by a process that only its user or root may see"
            f" (sudo lsof -nP -iTCP:{port} -sTCP:LISTEN): stop it, or {choose}"
        )
    taken = f"{port} is in use by {holder.name} (pid {holder.pid})"
    if holder.name.startswith("inngest"):
        return f"{taken}: an Inngest server runs there already. Use that one, stop it (kill {holder.pid}), or {choose}"
    return f"{taken}: stop it (kill {holder.pid}), or {choose}"


def _listen_error(port: int) -> int | None:
    """The errno with which listening fails; None if it succeeds."""
    for family, address in _ADDRESSES:
        try:
            socket.create_server((address, port), family=family).close()
        except OSError as error:
            if error.errno not in _NO_SUCH_ADDRESS:
                return error.errno or errno.EADDRINUSE
    return None


def _find_holder(port: int) -> tuple[PortHolder | None, bool]:
    """The process that uses the port, and whether only a closed connection blocks it. A listening process takes
    precedence, because an outgoing connection may use the port too."""
    users = sorted(_port_connections(port), key=lambda user: user[1] != psutil.CONN_LISTEN)
    with suppress(psutil.Error):  # the process has ended, or belongs to another user
        for pid in (pid for pid, _ in users if pid):
            return PortHolder(pid, psutil.Process(pid).name()), False
    return None, any(status == psutil.CONN_TIME_WAIT for _, status in users)


def _port_connections(port: int) -> list[tuple[int | None, str]]:
    """The state of every connection with this local port, and its pid if this user may see it."""
    try:
        found = [(one.pid, one) for one in psutil.net_connections("tcp")]
    except psutil.AccessDenied:  # macOS shows only the user's own processes, and only one by one
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
        raise ValueError(f"{argument}: not a port (a number from 1 to {_MAX_PORT})")
    return int(port), setting


def main(arguments: list[str]) -> int:
    """Print one line per port: free ports to stdout, the others to stderr.

    Args:
        arguments: Ports, each as `PORT` or `SETTING=PORT`.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(prog="python -m inngest_functions.ports", description=_HELP)
    parser.add_argument("ports", nargs="*", metavar="[SETTING=]PORT")
    try:
        requested = [_parse(argument) for argument in parser.parse_args(arguments).ports]
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
