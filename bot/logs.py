"""Logs: loguru for all, the libraries' own included, and no bot token in any line."""

import logging
import re
import sys

from loguru import logger

_TOKEN = re.compile(r"\b(\d{6,}):[\w-]{20,}")


class _LoguruHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        logger.opt(exception=record.exc_info).log(record.levelname, "{}: {}", record.name, record.getMessage())


def _hide_tokens(text: str) -> str:
    return _TOKEN.sub(r"\1:…", text)


def _write(line: object) -> None:
    sys.stderr.write(_hide_tokens(str(line)))


def configure_logging(level: str) -> None:
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
    # One trace a second while the database is away, of which our own lines say enough.
    logging.getLogger("asyncpg.pool").setLevel(logging.CRITICAL)
