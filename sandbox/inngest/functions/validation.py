"""Which settings of a function the server refuses when an app registers.

Truth: ``Function.Validate`` in ``pkg/inngest/function.go``, and ``batch.go``, ``trigger.go``, ``concurrency.go``
beside it.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final

from sandbox.inngest.functions.config import FunctionConfig
from sandbox.inngest.functions.cron import next_run
from sandbox.inngest.functions.durations import seconds
from sandbox.inngest.functions.expressions import check
from sandbox.inngest.rate_limits import DAY

_MAX_CONCURRENCY: Final = 2
_MAX_CANCEL: Final = 5


def problems(function: FunctionConfig) -> list[str]:
    """What is wrong with a function's settings, in our words; empty when they are taken."""
    return [*_alone(function), *_unreadable(function)]


def _alone(function: FunctionConfig) -> Iterator[str]:
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


def _unreadable(function: FunctionConfig) -> Iterator[str]:
    """Durations, expressions and crons that cannot be read or are out of bounds."""
    reads: list[tuple[Callable[[str], object], str | None]] = []
    if batch := function.batch_events:
        reads += [(_length(1, DAY), batch.timeout), (check, batch.key), (check, batch.if_)]
    if debounce := function.debounce:
        reads += [(_length(1, 7 * DAY), debounce.period), (check, debounce.key)]
    if limit := function.rate_limit:
        reads += [(_length(0, DAY), limit.period), (check, limit.key)]
    if priority := function.priority:
        reads.append((check, priority.run))
    reads += [(check, cancel.if_) for cancel in function.cancel]
    reads += [(_cron, trigger.cron) for trigger in function.triggers]
    for read, text in reads:
        try:
            if text is not None:
                read(text)
        except ValueError as error:
            yield str(error)


def _length(least: float, most: float) -> Callable[[str], None]:
    def read(text: str) -> None:
        if not least <= seconds(text) <= most:
            raise ValueError(f"{text} is not between {least} and {most} seconds")

    return read


def _cron(expression: str) -> None:
    next_run(expression, datetime.now(UTC))
