"""What the benches share as commands: `--help`, and logs only with `--verbose`, so that the table stands alone."""

import argparse
import logging
import sys
from pathlib import Path

from loguru import logger

from bot.logs import configure_logging


def create_parser(name: str, description: str | None) -> argparse.ArgumentParser:
    """A parser with `--verbose`.

    Args:
        name: The module in bench/ that is run.
        description: Its docstring, which `--help` shows as it is.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m bench.{name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--verbose", action="store_true", help="write all logs to standard error")
    return parser


def set_up_logs(*, verbose: bool) -> None:
    """Write the logs of this process, in which some stand-ins run, to standard error or nowhere."""
    if verbose:
        configure_logging("DEBUG")
        return
    logger.remove()
    logging.getLogger("asyncpg").setLevel(logging.CRITICAL)  # a traceback each time the database is unavailable


def print_logs(folder: Path) -> None:
    """Write the logs of other processes, `*.log` in this folder, to standard error."""
    for log in sorted(folder.glob("*.log")):
        print(f"==> {log.name}", log.read_text(errors="replace"), sep="\n", file=sys.stderr)
