"""What an event comes to for a function: a run, a place in a batch, a later run, or nothing.

Truth: ``runner.initialize``, ``executor.Schedule``, ``pkg/execution/batch`` and ``pkg/execution/debounce`` of
inngest/inngest, in their order: batch, rate limit, debounce, event id, singleton.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from loguru import logger

from sandbox.inngest.background import Tasks
from sandbox.inngest.clock import Pace
from sandbox.inngest.engine.runs import Run
from sandbox.inngest.events import Event
from sandbox.inngest.functions.config import FunctionConfig
from sandbox.inngest.functions.durations import seconds
from sandbox.inngest.functions.expressions import ExpressionError, evaluate, is_true
from sandbox.inngest.rate_limits import Rate, Seen

_DEBOUNCE_BUFFER: Final = 1.05  # debouncer.newDebounce enqueues this long after the period
_DEBOUNCE_LEAST: Final = 1.0
_MAX_PRIORITY: Final = 12 * 60 * 60  # consts.PriorityFactorMax


class Begin(Protocol):
    """Begins a run."""

    def __call__(self, function: FunctionConfig, events: tuple[Event, ...], priority: int) -> Run: ...


@dataclass(slots=True)
class _Batch:
    function: FunctionConfig
    events: list[Event]
    timer: asyncio.Task[None]


@dataclass(slots=True)
class _Debounce:
    event: Event
    ends: float | None
    timer: asyncio.Task[None]


class Admission:
    """Keeps batches, debounces, rate limits, singletons and the memory of what came before."""

    def __init__(self, pace: Pace, tasks: Tasks, begin: Begin, cancel: Callable[[str], bool]) -> None:
        self._pace, self._tasks = pace, tasks
        self._begin, self._cancel = begin, cancel
        self._rates = Rate()
        self._seen = Seen()
        self._batches: dict[str, _Batch] = {}
        self._debounces: dict[str, _Debounce] = {}
        self._singletons: dict[str, Run] = {}

    def offer(self, function: FunctionConfig, event: Event) -> bool:
        """Take an event that triggers a function. False when it is too much for the function's rate limit."""
        try:
            if function.batch_events and is_true(function.batch_events.if_, _names(event)):
                self._gather(function, event)
                return True
        except ExpressionError as error:
            logger.error("Inngest stand-in: {} gathers no batch: {}", function.id, error)
            return True
        return self.admit(function, event)

    def admit(self, function: FunctionConfig, event: Event) -> bool:
        """The same without a batch."""
        try:
            if self._seen.holds(_event_key(function, event), self._pace.now()):
                return True
            if self._limited(function, event):
                return False
            if function.debounce:
                self._settle(function, event)
            else:
                self._admit(function, (event,), _event_key(function, event))
        except ExpressionError as error:
            logger.error("Inngest stand-in: {} is not started: {}", function.id, error)
        return True

    def _limited(self, function: FunctionConfig, event: Event) -> bool:
        limit = function.hard_limit
        if limit is None:
            return False
        value = evaluate(limit.key, _names(event)) if limit.key else None
        if value is False:
            return False
        key, now, period = f"{function.id} {value!r}", self._pace.now(), seconds(limit.period)
        if self._rates.wait(key, limit=limit.limit, period=period, burst=limit.limit // 10, now=now) > 0:
            return True
        self._rates.take(key, limit=limit.limit, period=period, now=now)
        return False

    def _gather(self, function: FunctionConfig, event: Event) -> None:
        settings = function.batch_events
        assert settings is not None  # noqa: S101  # told to the type checker only
        key = f"{function.id} {evaluate(settings.key, _names(event)) if settings.key else None!r}"
        batch = self._batches.get(key)
        if batch is None:
            timer = self._tasks.start(self._after(seconds(settings.timeout), lambda: self._run_batch(key)))
            batch = self._batches[key] = _Batch(function, [], timer)
        if all(event.internal_id != other.internal_id for other in batch.events):
            batch.events.append(event)
        if len(batch.events) >= settings.max_size:
            batch.timer.cancel()
            self._run_batch(key)

    def _run_batch(self, key: str) -> None:
        batch = self._batches.pop(key)
        self._admit(batch.function, tuple(batch.events), None)

    def _settle(self, function: FunctionConfig, event: Event) -> None:
        settings = function.debounce
        assert settings is not None  # noqa: S101  # told to the type checker only
        key = f"{function.id} {evaluate(settings.key, _names(event)) if settings.key else None!r}"
        now, length = self._pace.now(), seconds(settings.period)
        ends = now + seconds(settings.timeout) if settings.timeout else None
        if known := self._debounces.get(key):
            if known.event.ts > event.ts:
                return  # what came late is older than what is kept
            known.timer.cancel()
            ends = known.ends
        if ends is not None:
            length = max(_DEBOUNCE_LEAST, min(length, ends - now))

        def run() -> None:
            del self._debounces[key]
            self._admit(function, (event,), None)

        timer = self._tasks.start(self._after(length + _DEBOUNCE_BUFFER, run))
        self._debounces[key] = _Debounce(event, ends, timer)

    def _admit(self, function: FunctionConfig, events: tuple[Event, ...], once: str | None) -> None:
        single = self._singleton(function, events[0])
        if single is not None and (running := self._singletons.get(single)) is not None and not running.ended:
            if function.singleton is None or function.singleton.mode == "skip":
                return
            self._cancel(running.id)
        if once is not None:
            self._seen.add(once, self._pace.now())
        run = self._begin(function, events, _priority(function, events[0]))
        if single is not None:
            self._singletons[single] = run

    def _singleton(self, function: FunctionConfig, event: Event) -> str | None:
        if function.singleton is None:
            return None
        try:
            value = evaluate(function.singleton.key, _names(event)) if function.singleton.key else None
        except ExpressionError as error:
            logger.warning("Inngest stand-in: {} runs as no singleton: {}", function.id, error)
            return None
        return None if value is False else f"{function.id} {value!r}"

    async def _after(self, length: float, act: Callable[[], None]) -> None:
        await self._pace.wait(length)
        act()


def _event_key(function: FunctionConfig, event: Event) -> str:
    return f"event {function.id} {event.id}"


def _names(event: Event) -> dict[str, Any]:
    return {"event": event.payload()}


def _priority(function: FunctionConfig, event: Event) -> int:
    """Seconds by which a run goes before its age; below zero, by which it is held back.

    ``Function.RunPriorityFactor`` takes whole numbers of CEL alone, and the numbers in an event are doubles to
    it: ``event.data.n`` gives no priority, ``int(event.data.n)`` does.
    """
    if function.priority is None or function.priority.run is None:
        return 0
    try:
        value = evaluate(function.priority.run, {"event": _doubles(event.payload())})
    except ExpressionError as error:
        logger.warning("Inngest stand-in: no priority for {}: {}", function.id, error)
        return 0
    if type(value) is not int:
        logger.warning("Inngest stand-in: no priority for {}: {!r} is no whole number", function.id, value)
        return 0
    return max(-_MAX_PRIORITY, min(_MAX_PRIORITY, value))


def _doubles(value: Any) -> Any:
    match value:
        case dict():
            return {key: _doubles(item) for key, item in value.items()}
        case list():
            return [_doubles(item) for item in value]
        case int() if not isinstance(value, bool):
            return float(value)
        case _:
            return value
