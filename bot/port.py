"""Binds the port that the process listens on, before anything slow starts."""

import errno
import socket
from contextlib import ExitStack
from typing import Any, Final

from bot.settings import Settings, SettingsError

_NO_SUCH_ADDRESS: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def bind_port(stack: ExitStack, settings: Settings) -> list[socket.socket]:
    """Reserve the port by binding it, without listening yet.

    Args:
        stack: Closes the sockets when it exits.
        settings: HOST and PORT are used.

    Returns:
        One socket for each address of HOST.

    Raises:
        SettingsError: The port is in use, or HOST is not an address of this machine.
    """
    try:
        found = socket.getaddrinfo(
            settings.bind_host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except socket.gaierror as error:
        raise SettingsError(f"HOST: {settings.bind_host}: {error.strerror}") from error
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found):
        try:
            sockets.append(_bind(stack, family, address))
        except OSError as error:
            if error.errno not in _NO_SUCH_ADDRESS:
                raise port_error(settings, error) from error
            missing = error  # `localhost` may name ::1 on a machine without IPv6
    if missing is not None and not sockets:
        raise port_error(settings, missing) from missing
    return sockets


def _bind(stack: ExitStack, family: int, address: Any) -> socket.socket:
    bound = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    bound.bind(address)
    return bound


def port_error(settings: Settings, error: OSError) -> SettingsError:
    """The error to raise if listening on the port fails.

    Args:
        settings: PORT is named in the message.
        error: Why it failed.
    """
    return SettingsError(f"PORT: cannot listen on {settings.port}: {error.strerror}")
