"""What a log line looks like, in both formats, and that no secret is in it."""

import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from loguru import logger

from bot.logs import LogFormat, configure_logging
from tests.support.logs import log_to_stderr

JOB = UUID("018f3a5e-7b1c-7000-8000-000000000001")
SECRETS = (
    "sk-" + "a1B2c3D4e5F6g7H8",
    "r8_" + "a1B2c3D4e5F6g7H8",
    "123456789:" + "AAbbCCddEEffGGhhIIjjKKllMMnnOOpp",
    "Bearer " + "a1B2c3D4e5F6g7H8i9",
)


@pytest.fixture
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    log_to_stderr()
    root.handlers, root.level = handlers, level


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str], restored_logging: None) -> Callable[[], list[str]]:
    """Returns the lines that were logged since it was last called."""

    def read() -> list[str]:
        return capsys.readouterr().err.splitlines()

    return read


def parse(line: str) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(line)
    return parsed


def log_failure(message: str) -> None:
    """Log an exception that was raised, so that it has a traceback."""
    try:
        int(message)
    except ValueError as error:
        logger.opt(exception=error).error("task failed", task="worker")


def test_text_line_has_time_level_event_and_fields(lines: Callable[[], list[str]]) -> None:
    configure_logging("INFO")
    started = datetime.now(UTC)
    with logger.contextualize(job=JOB, plan="B"):
        logger.info("job ended", state="failed", failure=None, reason='no "photo" there', seconds=1.5)
    (line,) = lines()
    time, rest = line.split(" ", 1)
    assert rest == f'INFO    job ended  job={JOB} plan=B state=failed reason="no \\"photo\\" there" seconds=1.5'
    assert time.endswith("Z")
    assert abs((datetime.fromisoformat(time) - started).total_seconds()) < 5


def test_text_line_below_the_level_is_not_written(lines: Callable[[], list[str]]) -> None:
    configure_logging("WARNING")
    logger.info("job ended")
    assert lines() == []


def test_text_exception_is_followed_by_its_traceback(lines: Callable[[], list[str]]) -> None:
    configure_logging("INFO")
    log_failure("too late")
    first, *trace = lines()
    assert first.endswith("ERROR   task failed  task=worker")
    assert trace[0] == "Traceback (most recent call last):"
    assert trace[-1] == "ValueError: invalid literal for int() with base 10: 'too late'"


def test_json_line_is_an_object_with_flat_fields(lines: Callable[[], list[str]]) -> None:
    configure_logging("INFO", "json")
    at = datetime(2026, 11, 30, 21, 51, 0, 123000, tzinfo=UTC)
    with logger.contextualize(job=JOB):
        logger.warning(
            "job ended", count=3, started_at=at, error=TimeoutError(), facts={"users": [1, 2]}, bot=None
        )
    (line,) = lines()
    parsed = parse(line)
    assert datetime.fromisoformat(parsed.pop("time")).tzinfo is UTC
    assert parsed == {
        "level": "WARNING",
        "event": "job ended",
        "job": str(JOB),
        "count": 3,
        "started_at": "2026-11-30T21:51:00.123000+00:00",
        "error": "TimeoutError",
        "facts": {"users": [1, 2]},
    }


def test_json_exception_has_error_and_traceback_on_the_same_line(lines: Callable[[], list[str]]) -> None:
    configure_logging("INFO", "json")
    log_failure("late")
    (line,) = lines()
    parsed = parse(line)
    message = "ValueError: invalid literal for int() with base 10: 'late'"
    assert parsed["error"] == message
    assert parsed["traceback"].startswith("Traceback (most recent call last):\n")
    assert parsed["traceback"].endswith(f"{message}\n")


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_library_line_names_its_logger(lines: Callable[[], list[str]], log_format: LogFormat) -> None:
    configure_logging("INFO", log_format)
    logging.getLogger("aiohttp.server").error("Error {handling} %s", "request")
    logging.getLogger("aiohttp.server").log(35, "between two levels")
    first, second = lines()
    if log_format == "json":
        parsed = parse(first)
        assert (parsed["logger"], parsed["event"]) == ("aiohttp.server", "Error {handling} request")
    else:
        assert first.endswith("ERROR   Error {handling} request  logger=aiohttp.server")
    assert "between two levels" in second


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("log_format", ["text", "json"])
def test_secret_in_any_part_of_a_line_is_hidden(
    lines: Callable[[], list[str]], log_format: LogFormat, secret: str
) -> None:
    configure_logging("INFO", log_format)
    logging.getLogger("library").warning("the key\n%s", secret)
    logger.info("field", error=f"a\n{secret}")
    logger.info("error", error=ValueError(f"\t{secret}"))
    logger.info("nested", facts={"list": [f"a\n{secret}"], f"\n{secret}": 1})
    log_failure(f" {secret} ")
    written = "\n".join(lines())
    assert "…" in written
    assert secret.rpartition(":")[2] not in written
    assert secret.removeprefix("Bearer ") not in written


def test_color_on_a_terminal_hides_secrets_as_well(
    lines: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    configure_logging("INFO")
    logger.info("field", error=SECRETS[0])
    (line,) = lines()
    assert "\x1b[32mINFO   \x1b[0m" in line
    assert SECRETS[0] not in line


def test_no_color_variable_turns_color_off(
    lines: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    configure_logging("INFO")
    logger.info("stopped")
    (line,) = lines()
    assert "\x1b" not in line
