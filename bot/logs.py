"""Log lines are events with fields, on standard error: text for people, JSON for machines, secrets in neither.

An event is a short constant phrase in lower case. Whatever varies is a field, passed by keyword:

    logger.info("job claimed", job=job.id, plan="B")

While an update is handled or a job runs, `logger.contextualize` adds its ids to every line.

The fields, and no others (tests/unit/test_log_calls.py checks every call):

    job             the job's id
    new_job         the job that repeats it
    user            Telegram's id of the user
    owner           the user who owns the thing, if it is another user
    inviter         the user who sent the invitation
    admin           the admin who acts or is notified
    chat            Telegram's id of the chat
    bot             the bot's name in the settings
    fallback        the bot used instead of it
    update          Telegram's id of the update
    message         Telegram's id of the message
    plan            A or B
    service         the service, or the kind of internal job
    step            the step of the job
    epoch           the job's epoch under this worker
    run             Inngest's id of the run
    prediction      the provider's id of the prediction
    asset           the provider's id of the model or voice
    provider        the provider
    payment         Telegram's charge id
    subscription    the subscription's id
    promo           the promo code
    broadcast       the broadcast's id
    incident        the incident's id
    kind            the kind of incident, or its health check
    notice          the notice or text to be delivered
    task            the name of a background or scheduled task
    mode            the mode of `service`, or without that field the default mode
    action          what was requested
    state           the state that the job or thing is in now
    failure         why the job failed: the key of the text for the user
    reason          why, as text
    error           the exception, or the error message of the other side
    attempt         the number of the attempt
    jobs            how many jobs
    count           how many of what the event names
    seconds         how long
    credits, stars  how many
    owed            credits that the user now owes
    facts           what a check found, by name
    started_at      when the step first started
    scheduled_for   when the task was due
    opened_at       when the incident began
    url, path       what was called or opened
    method          the method of the Bot API
    name, language  the name that hello world greets, and in which language
    logger          the library that wrote the line
"""

import json
import logging
import os
import re
import sys
import traceback
from datetime import UTC, date
from typing import TYPE_CHECKING, Any, Final, Literal

from loguru import logger
from stamina.instrumentation import set_on_retry_hooks

from providers.redaction import hide_secrets

if TYPE_CHECKING:
    from loguru import Message, Record

LogFormat = Literal["text", "json"]
_PLAIN: Final = re.compile(r'[^\s"=]+')
_LEVEL_COLORS: Final = {"DEBUG": "34", "INFO": "32", "WARNING": "33", "ERROR": "31", "CRITICAL": "31"}


class _LoguruHandler(logging.Handler):
    """Forwards the records of libraries, which use the standard library's logging, to loguru."""

    def emit(self, record: logging.LogRecord) -> None:
        level = logging.getLevelName(record.levelno)
        logger.opt(exception=record.exc_info).bind(logger=record.name).log(
            level if level in _LEVEL_COLORS else record.levelno, record.getMessage()
        )


def configure_logging(level: str, log_format: LogFormat = "text") -> None:
    """Send all log lines of this level and above to standard error.

    Args:
        level: The name of a level, such as `INFO`. Libraries that would repeat our own lines log warnings only.
        log_format: `text` writes one readable line per event, in color on a terminal; `json` one object per event.
    """
    in_color = sys.stderr.isatty() and "NO_COLOR" not in os.environ  # https://no-color.org

    def write(message: "Message") -> None:
        record = message.record
        sys.stderr.write(render_json(record) if log_format == "json" else render_text(record, in_color=in_color))

    logger.remove()
    logger.add(write, level=level, format="{message}", backtrace=False, diagnose=False)
    logging.basicConfig(handlers=[_LoguruHandler()], level=logging.INFO, force=True)
    for quiet in ("httpx", "httpx2", "httpcore", "aiohttp.access", "openai", "aiogram.event"):
        logging.getLogger(quiet).setLevel(logging.WARNING)
    set_on_retry_hooks([])  # stamina's lines do not say what is retried, so the code that retries logs it
    # asyncpg.pool logs a traceback per second while the database is unavailable, which our own lines report.
    logging.getLogger("asyncpg.pool").setLevel(logging.CRITICAL)


def render_text(record: "Record", *, in_color: bool = False) -> str:
    """Render a line to be read by people, followed by the traceback of an exception. Secrets are hidden.

    Args:
        record: Loguru's record.
        in_color: Whether to add the terminal's escape sequences.
    """
    level = record["level"].name
    parts = [
        _paint(_time(record), "2", in_color),
        _paint(f"{level:<7}", _LEVEL_COLORS.get(level, "0"), in_color),
        _paint(hide_secrets(record["message"]), "1", in_color),
    ]
    fields = (
        f"{_paint(f'{name}=', '2', in_color)}{_quote(value)}" for name, value in _fields(record["extra"]).items()
    )
    line = f"{' '.join(parts)}  {' '.join(fields)}".rstrip()
    return f"{line}\n{_traceback(record)}"


def render_json(record: "Record") -> str:
    """Render a JSON object on one line. Secrets are hidden.

    Its keys are `time`, `level`, `event`, the fields, and for an exception `error` and `traceback`.
    """
    # Secrets are hidden before the strings are escaped: in an escaped `\nsk-…` the key would seem to start with n.
    line = {
        "time": _time(record),
        "level": record["level"].name,
        "event": hide_secrets(record["message"]),
        **_fields(record["extra"]),
    }
    exception = record["exception"]
    if exception is not None and exception.value is not None:
        line.setdefault("error", _simplify(exception.value))
        line["traceback"] = _traceback(record)
    return f"{json.dumps(line, ensure_ascii=False)}\n"


def _time(record: "Record") -> str:
    return record["time"].astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _fields(extra: dict[str, Any]) -> dict[str, Any]:
    return {name: _simplify(value) for name, value in extra.items() if value is not None}


def _simplify(value: Any) -> Any:
    """Convert a value to JSON types, without secrets."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, dict):
        return {hide_secrets(str(name)): _simplify(each) for name, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_simplify(each) for each in value]
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, BaseException):
        return hide_secrets(f"{type(value).__name__}: {value}".removesuffix(": "))
    return hide_secrets(str(value))


def _quote(value: Any) -> str:
    return value if isinstance(value, str) and _PLAIN.fullmatch(value) else json.dumps(value, ensure_ascii=False)


def _traceback(record: "Record") -> str:
    exception = record["exception"]
    if exception is None or exception.value is None:
        return ""
    return hide_secrets("".join(traceback.format_exception(exception.value)))


def _paint(text: str, color: str, in_color: bool) -> str:
    return f"\x1b[{color}m{text}\x1b[0m" if in_color else text
