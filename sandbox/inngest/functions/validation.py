"""Which settings of a function the server refuses when an app registers.

Truth: ``Function.Validate`` in ``pkg/inngest/function.go``, and ``batch.go``, ``trigger.go``, ``concurrency.go``
beside it.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final

from sandbox.inngest.functions.config import FunctionConfig
from sandbox.inngest.functions.cron import next_cron_time
from sandbox.inngest.functions.durations import parse_duration
from sandbox.inngest.functions.expressions import validate_expression
from sandbox.inngest.rate_limits import DAY_SECONDS

_MAX_CONCURRENCY: Final = 2
_MAX_CANCEL: Final = 5


def validation_errors(function: FunctionConfig) -> list[str]:
    """What is wrong with a function's settings, in our words; empty when they are taken."""
    return [*_limit_errors(function), *_syntax_errors(function)]


def _limit_errors(function: FunctionConfig) -> Iterator[str]:
    if len(function.concurrency) > _MAX_CONCURRENCY:
        yield f"over {_MAX_CONCURRENCY} concurrency limits"
    if len(function.cancel) > _MAX_CANCEL:
        yield f"over {_MAX_CANCEL} cancellations"
    if (batch := function.batch_events) is not None:
        if batch.max_size < 2:
            yield "a batch of less than 2"
        for name in ("cancel", "debounce", "singleton", "priority"):
            if getattr(function, name):
                yield f"a batch together with {name}"
    if (limit := function.rate_limit) is not None and limit.limit < 1:
        yield "a rate limit of nothing"


def _syntax_errors(function: FunctionConfig) -> Iterator[str]:
    """Durations, expressions and crons that cannot be read or are out of bounds."""
    reads: list[tuple[Callable[[str], object], str | None]] = []
    if batch := function.batch_events:
        reads += [
            (_duration_between(1, DAY_SECONDS), batch.timeout),
            (validate_expression, batch.key),
            (validate_expression, batch.if_),
        ]
    if debounce := function.debounce:
        reads += [(_duration_between(1, 7 * DAY_SECONDS), debounce.period), (validate_expression, debounce.key)]
    if limit := function.rate_limit:
        reads += [(_duration_between(0, DAY_SECONDS), limit.period), (validate_expression, limit.key)]
    if priority := function.priority:
        reads.append((validate_expression, priority.run))
    reads += [(validate_expression, cancel.if_) for cancel in function.cancel]
    reads += [(_check_cron, trigger.cron) for trigger in function.triggers]
    for read, text in reads:
        try:
            if text is not None:
                read(text)
        except ValueError as error:
            yield str(error)


def _duration_between(minimum: float, maximum: float) -> Callable[[str], None]:
    def read(text: str) -> None:
        if not minimum <= parse_duration(text) <= maximum:
            raise ValueError(f"{text} is not between {minimum} and {maximum} seconds")

    return read


def _check_cron(expression: str) -> None:
    next_cron_time(expression, datetime.now(UTC))
