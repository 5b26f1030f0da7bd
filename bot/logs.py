"""Logging through loguru, for libraries as well, without secrets in any line."""

import logging
import sys

from loguru import logger
from stamina.instrumentation import set_on_retry_hooks

from providers.redaction import hide_secrets


class _LoguruHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        logger.opt(exception=record.exc_info).log(record.levelname, "{}: {}", record.name, record.getMessage())


def _write(line: object) -> None:
    sys.stderr.write(hide_secrets(str(line)))


def configure_logging(level: str) -> None:
    """Send all log lines of this level and above to standard error.

    Args:
        level: A level's name, such as `INFO`. Libraries that repeat what we log ourselves log warnings only.
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
    set_on_retry_hooks([])  # stamina's own lines do not say what is retried; what retries logs it
    # It logs a traceback per second while the database is unavailable, which our own lines report already.
    logging.getLogger("asyncpg.pool").setLevel(logging.CRITICAL)
