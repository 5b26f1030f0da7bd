"""``python -m sandbox.inngest --port 9288 -u http://localhost:3001/api/inngest``: the server as its own process."""

import argparse
import asyncio
import signal
import sys

from sandbox.inngest.server import InngestServer
from sandbox.inngest.status_page import DISCLAIMER


async def _serve(urls: list[str], port: int, connect_port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = InngestServer(urls)
    await server.start(port, connect_port=connect_port)
    try:
        await stop.wait()
    finally:
        await server.close()


def main() -> None:
    """Read the command line and run until SIGINT or SIGTERM.

    Raises:
        SystemExit: For wrong arguments, or with one line of text when a port is taken.
    """
    parser = argparse.ArgumentParser(prog="python -m sandbox.inngest", description=DISCLAIMER)
    parser.add_argument("--port", "-p", type=int, default=9288, help="port of the API; 0 takes a free one")
    parser.add_argument(
        "--connect-gateway-port", type=int, default=9289, help="port of the Connect gateway; 0 takes a free one"
    )
    parser.add_argument(
        "--sdk-url", "-u", action="append", default=[], metavar="URL", help="serve URL of an app; may be repeated"
    )
    parser.formatter_class = argparse.ArgumentDefaultsHelpFormatter
    arguments = parser.parse_args()
    ports = arguments.port, arguments.connect_gateway_port
    try:
        asyncio.run(_serve(arguments.sdk_url, *ports))
    except OSError as error:
        sys.exit(f"Inngest stand-in: cannot listen on ports {ports[0]} and {ports[1]}: {error.strerror}")


if __name__ == "__main__":
    main()
