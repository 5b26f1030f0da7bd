"""``python -m sandbox.telegram --port 18790``: the Telegram sandbox as its own process, on loopback only."""

import argparse
import asyncio
import contextlib
import gc
import ipaddress
import signal
import sys
from pathlib import Path

from sandbox.telegram.server import running_server


def _loopback(text: str) -> str:
    if text != "localhost" and not ipaddress.ip_address(text).is_loopback:
        raise argparse.ArgumentTypeError("the sandbox listens on loopback only")
    return text


async def _run(host: str, port: int, data: Path | None) -> None:
    async with running_server(data_dir=data, host=host, port=port) as (_, url):
        sys.stdout.write(f"Telegram sandbox: {url}/\n")
        sys.stdout.flush()
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await stop.wait()


def main() -> None:
    """Read the command line and run until SIGINT or SIGTERM.

    Raises:
        SystemExit: With code 2 for wrong arguments, such as an address that is not loopback.
    """
    parser = argparse.ArgumentParser(prog="python -m sandbox.telegram", description=__doc__)
    parser.add_argument("--port", type=int, default=18790, help="port to listen on; 0 takes a free one")
    parser.add_argument("--host", type=_loopback, default="127.0.0.1", help="loopback address to listen on")
    parser.add_argument(
        "--data", type=Path, default=None, help="folder that keeps the state; default: memory only"
    )
    options = parser.parse_args()
    gc.set_threshold(20_000, 20, 50)  # transcripts grow and are kept, so frequent collections find nothing
    with contextlib.suppress(ImportError):
        import uvloop  # optional: faster where it is installed

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(_run(options.host, options.port, options.data))


if __name__ == "__main__":
    main()
