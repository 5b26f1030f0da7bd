"""``python -m sandbox.inngest --port 9288 -u http://localhost:3001/api/inngest``: the server as its own process."""

import argparse
import asyncio
import signal
import sys

from sandbox.inngest.api.status_page import DISCLAIMER
from sandbox.inngest.clock import Clock
from sandbox.inngest.keys import ServerKeys
from sandbox.inngest.server import InngestServer

_CONNECT_PORT = 9289


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m sandbox.inngest", description=DISCLAIMER)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument(
        "--port", "-p", type=int, default=9288, help="port to listen on (default: 9288; 0 takes a free one)"
    )
    parser.add_argument(
        "--connect-gateway-port",
        type=int,
        help="port of the Connect gateway (default: 9289, or a free one with --port 0)",
    )
    parser.add_argument(
        "--sdk-url", "-u", action="append", default=[], metavar="URL", help="serve URL of an app; may be repeated"
    )
    parser.add_argument("--speed", type=float, default=1.0, help="how many times faster time passes (default: 1)")
    parser.add_argument(
        "--poll-interval", type=float, default=5.0, help="seconds between two syncs of an app (default: 5)"
    )
    parser.add_argument(
        "--retry-delays",
        type=lambda text: tuple(float(part) for part in text.split(",")),
        default=Clock().retry_delays,
        metavar="S,S,…",
        help="seconds before each retry; the last one repeats (default: 1,2,5,10,30,60)",
    )
    parser.add_argument(
        "--event-key",
        action="append",
        default=[],
        metavar="KEY",
        help="with --signing-key: act as a production server that accepts events with this key; may be repeated",
    )
    parser.add_argument("--signing-key", metavar="HEX", help="key that signs function calls and protects the API")
    arguments = parser.parse_args()
    if arguments.speed <= 0:
        parser.error("--speed must be above 0")
    if bool(arguments.event_key) != bool(arguments.signing_key):
        parser.error("--event-key and --signing-key must be given together")
    try:
        keys = ServerKeys(tuple(arguments.event_key), arguments.signing_key) if arguments.signing_key else None
    except ValueError:
        parser.error("--signing-key must be hexadecimal and of even length")
    arguments.keys = keys
    if arguments.connect_gateway_port is None:
        arguments.connect_gateway_port = _CONNECT_PORT if arguments.port else 0
    return arguments


async def _serve(arguments: argparse.Namespace) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = InngestServer(
        [url if "://" in url else f"http://{url}" for url in arguments.sdk_url],
        clock=Clock(retry_delays=arguments.retry_delays, speed=arguments.speed),
        poll_interval=arguments.poll_interval,
        keys=arguments.keys,
    )
    await server.start(arguments.port, arguments.host, connect_port=arguments.connect_gateway_port)
    try:
        await stop.wait()
    finally:
        await server.close()


def main() -> None:
    """Read the command line and run until SIGINT or SIGTERM.

    Raises:
        SystemExit: For wrong arguments, or with one line of text when a port is taken.
    """
    arguments = _arguments()
    try:
        asyncio.run(_serve(arguments))
    except OSError as error:
        ports = f"{arguments.port} and {arguments.connect_gateway_port}"
        sys.exit(f"Inngest stand-in: cannot listen on {arguments.host}, ports {ports}: {error.strerror}")


if __name__ == "__main__":
    main()
