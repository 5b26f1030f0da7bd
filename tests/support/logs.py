"""The product's log lines in the output of a failed test."""

import sys
from typing import TYPE_CHECKING

from loguru import logger

from bot.logs import render_text

if TYPE_CHECKING:
    from loguru import Message


def log_to_stderr() -> None:
    """Write log lines with their fields, which loguru's own format leaves out, to what is standard error then."""
    logger.remove()
    logger.add(_write, level="DEBUG", format="{message}")


def _write(message: "Message") -> None:
    sys.stderr.write(render_text(message.record))
