"""What an event does for a function that it triggers: it starts a run, joins a batch, starts a run later, or nothing.

Source: ``runner.initialize``, ``executor.Schedule``, ``pkg/execution/batch`` and ``pkg/execution/debounce`` of
inngest/inngest, in their order: batch, rate limit, debounce, event id, singleton.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from loguru import logger

from sandbox.background import BackgroundTasks
from sandbox.inngest.clock import Clock
from sandbox.inngest.engine.runs import Run
from sandbox.inngest.events import Event
from sandbox.inngest.functions.config import FunctionConfig
from sandbox.inngest.functions.expressions import ExpressionError, evaluate, is_expression_true
from sandbox.inngest.functions.timing import parse_duration
from sandbox.inngest.rate_limits import RateLimiter, RecentKeys

_DEBOUNCE_BUFFER: Final = 1.05  # debouncer.newDebounce enqueues this long after the period
_MIN_DEBOUNCE: Final = 1.0
_MAX_PRIORITY: Final = 12 * 60 * 60  # consts.PriorityFactorMax


class StartRun(Protocol):
    """Starts a run."""

    def __call__(self, function: FunctionConfig, events: tuple[Event, ...], priority: int) -> Run:
        """Start a run and return it; for ``priority`` see ``Run``."""
        ...


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
    """Decides about events; keeps batches, debounces, rate limits, singletons and recent event ids."""

    def __init__(
        self, clock: Clock, tasks: BackgroundTasks, start_run: StartRun, cancel: Callable[[str], bool]
    ) -> None:
        """Start without any history.

        Args:
            clock: How long batches, debounces and rate limits last.
            tasks: Owns the timers.
            start_run: Starts a run.
            cancel: Cancels a run by its id.
        """
        self._clock, self._tasks = clock, tasks
        self._start_run, self._cancel = start_run, cancel
        self._rates = RateLimiter()
        self._recent_events = RecentKeys()
        self._batches: dict[str, _Batch] = {}
        self._debounces: dict[str, _Debounce] = {}
        self._singletons: dict[str, Run] = {}

    def handle_event(self, function: FunctionConfig, event: Event) -> bool:
        """Handle an event that triggers a function; returns False when the rate limit drops it."""
        try:
            if function.batch_events and is_expression_true(
                function.batch_events.if_, _expression_variables(event)
            ):
                self._add_to_batch(function, event)
                return True
        except ExpressionError as error:
            logger.error("Inngest stand-in: {} cannot batch an event: {}", function.id, error)
            return True
        return self.handle_unbatched_event(function, event)

    def handle_unbatched_event(self, function: FunctionConfig, event: Event) -> bool:
        """Handle an event as ``handle_event`` does, but without batching."""
        try:
            if self._recent_events.contains(_event_key(function, event), self._clock.now()):
                return True
            if self._is_rate_limited(function, event):
                return False
            if function.debounce:
                self._restart_debounce(function, event)
            else:
                self._begin_run(function, (event,), _event_key(function, event))
        except ExpressionError as error:
            logger.error("Inngest stand-in: {} cannot be started: {}", function.id, error)
        return True

    def _is_rate_limited(self, function: FunctionConfig, event: Event) -> bool:
        limit = function.effective_rate_limit
        if limit is None:
            return False
        value = evaluate(limit.key, _expression_variables(event)) if limit.key else None
        if value is False:
            return False
        key, now, period = f"{function.id} {value!r}", self._clock.now(), parse_duration(limit.period)
        if self._rates.wait(key, limit=limit.limit, period=period, burst=limit.limit // 10, now=now) > 0:
            return True
        self._rates.consume(key, limit=limit.limit, period=period, now=now)
        return False

    def _add_to_batch(self, function: FunctionConfig, event: Event) -> None:
        settings = function.batch_events
        assert settings is not None  # noqa: S101  # for the type checker only
        key = f"{function.id} {evaluate(settings.key, _expression_variables(event)) if settings.key else None!r}"
        batch = self._batches.get(key)
        if batch is None:
            timer = self._tasks.spawn(
                self._call_after(parse_duration(settings.timeout), lambda: self._run_batch(key)), "batch timer"
            )
            batch = self._batches[key] = _Batch(function, [], timer)
        if all(event.internal_id != other.internal_id for other in batch.events):
            batch.events.append(event)
        if len(batch.events) >= settings.max_size:
            batch.timer.cancel()
            self._run_batch(key)

    def _run_batch(self, key: str) -> None:
        batch = self._batches.pop(key)
        self._begin_run(batch.function, tuple(batch.events), None)

    def _restart_debounce(self, function: FunctionConfig, event: Event) -> None:
        settings = function.debounce
        assert settings is not None  # noqa: S101  # for the type checker only
        key = f"{function.id} {evaluate(settings.key, _expression_variables(event)) if settings.key else None!r}"
        now, length = self._clock.now(), parse_duration(settings.period)
        ends = now + parse_duration(settings.timeout) if settings.timeout else None
        if known := self._debounces.get(key):
            if known.event.ts > event.ts:
                return  # the late event is older than the one that is kept
            known.timer.cancel()
            ends = known.ends
        if ends is not None:
            length = max(_MIN_DEBOUNCE, min(length, ends - now))

        def run() -> None:
            del self._debounces[key]
            self._begin_run(function, (event,), None)

        timer = self._tasks.spawn(self._call_after(length + _DEBOUNCE_BUFFER, run), "debounce timer")
        self._debounces[key] = _Debounce(event, ends, timer)

    def _begin_run(self, function: FunctionConfig, events: tuple[Event, ...], dedup_key: str | None) -> None:
        single = self._singleton_key(function, events[0])
        if single is not None and (running := self._singletons.get(single)) is not None and not running.ended:
            if function.singleton is None or function.singleton.mode == "skip":
                return
            self._cancel(running.id)
        if dedup_key is not None:
            self._recent_events.add(dedup_key, self._clock.now())
        run = self._start_run(function, events, _priority(function, events[0]))
        if single is not None:
            self._singletons[single] = run

    def _singleton_key(self, function: FunctionConfig, event: Event) -> str | None:
        if function.singleton is None:
            return None
        try:
            value = (
                evaluate(function.singleton.key, _expression_variables(event)) if function.singleton.key else None
            )
        except ExpressionError as error:
            logger.warning("Inngest stand-in: {} runs without its singleton limit: {}", function.id, error)
            return None
        return None if value is False else f"{function.id} {value!r}"

    async def _call_after(self, length: float, callback: Callable[[], None]) -> None:
        await self._clock.sleep(length)
        callback()


def _event_key(function: FunctionConfig, event: Event) -> str:
    return f"event {function.id} {event.id}"


def _expression_variables(event: Event) -> dict[str, Any]:
    return {"event": event.payload()}


def _priority(function: FunctionConfig, event: Event) -> int:
    """The seconds by which a run counts as older; when negative, it is delayed.

    ``Function.RunPriorityFactor`` accepts only whole numbers of CEL, and numbers in an event are doubles there:
    ``event.data.n`` gives no priority, ``int(event.data.n)`` does.
    """
    if function.priority is None or function.priority.run is None:
        return 0
    try:
        value = evaluate(function.priority.run, {"event": _with_float_numbers(event.payload())})
    except ExpressionError as error:
        logger.warning("Inngest stand-in: no priority for {}: {}", function.id, error)
        return 0
    if type(value) is not int:
        logger.warning("Inngest stand-in: no priority for {}: {!r} is not a whole number", function.id, value)
        return 0
    return max(-_MAX_PRIORITY, min(_MAX_PRIORITY, value))


def _with_float_numbers(value: Any) -> Any:
    match value:
        case dict():
            return {key: _with_float_numbers(item) for key, item in value.items()}
        case list():
            return [_with_float_numbers(item) for item in value]
        case int() if not isinstance(value, bool):
            return float(value)
        case _:
            return value
