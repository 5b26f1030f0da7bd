"""``python -m sandbox.inngest --port 9288 -u http://localhost:3001/api/inngest``."""

import argparse
import asyncio
import signal
import sys

from sandbox.inngest.pace import Pace
from sandbox.inngest.page import NOTICE
from sandbox.inngest.stand import InngestStand


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m sandbox.inngest", description=NOTICE)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", "-p", type=int, default=9288, help="port to listen on (9288)")
    parser.add_argument(
        "--sdk-url", "-u", action="append", default=[], metavar="URL", help="app to sync; may be repeated"
    )
    parser.add_argument("--speed", type=float, default=1.0, help="how many times faster time passes (1)")
    parser.add_argument("--poll-interval", type=float, default=5.0, help="seconds between two syncs (5)")
    parser.add_argument(
        "--retry-delays",
        type=lambda text: tuple(float(part) for part in text.split(",")),
        default=Pace().retry_delays,
        metavar="S,S,…",
        help="seconds before each retry; the last goes on (1,2,5,10,30,60)",
    )
    arguments = parser.parse_args()
    if arguments.speed <= 0:
        parser.error("--speed must be above 0")
    return arguments


async def _serve(arguments: argparse.Namespace) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    stand = InngestStand(
        [url if "://" in url else f"http://{url}" for url in arguments.sdk_url],
        pace=Pace(retry_delays=arguments.retry_delays, speed=arguments.speed),
        poll_interval=arguments.poll_interval,
    )
    await stand.start(arguments.port, arguments.host)
    try:
        await stop.wait()
    finally:
        await stand.close()


def main() -> None:
    """Run until SIGINT or SIGTERM."""
    arguments = _arguments()
    try:
        asyncio.run(_serve(arguments))
    except OSError as error:
        sys.exit(f"Inngest stand-in: cannot listen on {arguments.host}:{arguments.port}: {error.strerror}")


if __name__ == "__main__":
    main()
