"""Binds the port that the process listens on, before anything slow begins."""

import socket
from contextlib import ExitStack

from bot.settings import Settings, SettingsError


def bind_port(stack: ExitStack, settings: Settings) -> list[socket.socket]:
    """Bind the port, so that nothing else gets it. Nothing listens yet.

    Args:
        stack: Closes the sockets in the end.
        settings: HOST and PORT.

    Returns:
        One socket for each address of HOST.

    Raises:
        SettingsError: The port is in use, or HOST is not an address of this machine.
    """
    sockets: list[socket.socket] = []
    try:
        for family, kind, _protocol, _name, address in socket.getaddrinfo(
            settings.bind_host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            bound = stack.enter_context(socket.socket(family, kind))
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            bound.bind(address)
            sockets.append(bound)
    except socket.gaierror as error:
        raise SettingsError(f"HOST: {settings.bind_host}: {error.strerror}") from error
    except OSError as error:
        raise port_error(settings, error) from error
    return sockets


def port_error(settings: Settings, error: OSError) -> SettingsError:
    """The error for a port that cannot be listened on."""
    return SettingsError(f"PORT: cannot listen on {settings.port}: {error.strerror}")
