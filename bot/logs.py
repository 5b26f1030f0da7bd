"""Logs: loguru for all, the libraries' own included, and no secret in any line."""

import logging
import sys

from loguru import logger

from providers.redaction import hide_secrets


class _LoguruHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        logger.opt(exception=record.exc_info).log(record.levelname, "{}: {}", record.name, record.getMessage())


def _write(line: object) -> None:
    sys.stderr.write(hide_secrets(str(line)))


def configure_logging(level: str) -> None:
    """Send all log lines of this level and above to standard error.

    Args:
        level: A level's name, such as `INFO`. Libraries that repeat what we log ourselves are held to warnings.
    """
    logger.remove()
    logger.add(
        _write,
        level=level,
        format="{time:HH:mm:ss.SSS} {level: <7} {message}",
        backtrace=False,
        diagnose=False,  # would print values of variables, secrets among them
    )
    logging.basicConfig(handlers=[_LoguruHandler()], level=logging.INFO, force=True)
    for quiet in ("httpx", "httpx2", "httpcore", "aiohttp.access", "openai", "aiogram.event"):
        logging.getLogger(quiet).setLevel(logging.WARNING)
    # One trace per second while the database is unavailable, of which our own lines say enough.
    logging.getLogger("asyncpg.pool").setLevel(logging.CRITICAL)
