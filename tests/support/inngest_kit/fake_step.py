"""Run a function without a server: steps are counted, can be made to fail, and are retried as Inngest does.

As with Inngest, the function is called again from its start after each failure, and a step that has succeeded
returns its result without running again. When the retries are used up, the on-failure handler runs.
"""

import copy
import inspect
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from unittest.mock import Mock

import inngest

from tests.support.inngest_kit.client import CREATED_FUNCTIONS

DEFAULT_RETRIES = 3
"""Inngest's, where a function sets none."""


class StepFailed(Exception):
    """The failure that a test injected."""


@dataclass
class FakeStep:
    """Replaces `ctx.step`. `attempts` counts how often each step was started, `order` lists them in order, `sleeps`
    and `waits` record what was requested; `results` holds the results, by step id."""

    attempts: Counter[str] = field(default_factory=Counter)
    order: list[str] = field(default_factory=list)
    sleeps: dict[str, timedelta] = field(default_factory=dict)
    waits: dict[str, str] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)
    events: dict[str, inngest.Event | None] = field(default_factory=dict)
    """What each `wait_for_event` gets, by step id; None or no entry is a timeout."""
    _failures: dict[str, list[Exception]] = field(default_factory=dict)

    def fail(self, step_id: str, times: int = 1, error: Exception | None = None) -> None:
        """Make the step fail that many times before it can succeed."""
        self._failures.setdefault(step_id, []).extend([error or StepFailed(step_id)] * times)

    async def run(self, step_id: str, handler: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        if step_id in self.results:
            return copy.deepcopy(self.results[step_id])
        self.attempts[step_id] += 1
        self.order.append(step_id)
        if self._failures.get(step_id):
            raise self._failures[step_id].pop(0)
        self.results[step_id] = await handler(*args)
        return copy.deepcopy(self.results[step_id])

    async def sleep(self, step_id: str, duration: int | timedelta) -> None:
        is_milliseconds = not isinstance(duration, timedelta)
        self.sleeps[step_id] = timedelta(milliseconds=duration) if is_milliseconds else duration  # type: ignore[arg-type, assignment]

    async def wait_for_event(
        self,
        step_id: str,
        *,
        event: str,
        if_exp: str | None = None,
        timeout: int | timedelta,  # noqa: ASYNC109
    ) -> inngest.Event | None:
        self.waits[step_id] = f"{event}: {if_exp}" if if_exp else event
        return self.events.get(step_id)


@dataclass(frozen=True)
class RunOutcome:
    """How a run ended: its `output`, or the `error` of its last attempt. `attempts` counts calls of the function,
    and `on_failure` is what the on-failure handler returned, if it ran."""

    attempts: int
    output: Any = None
    error: Exception | None = None
    failure_handled: bool = False
    on_failure: Any = None


async def run_function(
    function: inngest.Function[Any],
    event: inngest.Event,
    step: FakeStep | None = None,
    *,
    run_id: str = "run",
) -> RunOutcome:
    """Run a function that a RecordingClient created to its end, as Inngest would."""
    step, created = step or FakeStep(), CREATED_FUNCTIONS[function]
    retries = created.options.get("retries", DEFAULT_RETRIES)
    for attempt in range(retries + 1):
        try:
            output = await _call(created.handler, _context(event, step, run_id, attempt))
        except inngest.NonRetriableError as error:
            return await _failed(function, event, error, attempt + 1, run_id)
        except Exception as error:  # noqa: BLE001 - as Inngest does
            if attempt == retries:
                return await _failed(function, event, error, attempt + 1, run_id)
        else:
            return RunOutcome(attempt + 1, output)
    raise AssertionError("the last attempt returns")


async def _failed(
    function: inngest.Function[Any], event: inngest.Event, error: Exception, attempts: int, run_id: str
) -> RunOutcome:
    handler = CREATED_FUNCTIONS[function].options.get("on_failure")
    if handler is None:
        return RunOutcome(attempts, error=error)
    data: dict[str, Any] = {
        "event": {"name": event.name, "data": event.data, "id": event.id},
        "error": {"name": type(error).__name__, "message": str(error)},
        "run_id": run_id,
        "function_id": function.id,
    }
    failed = inngest.Event(name="inngest/function.failed", data=data)
    handled = await _call(handler, _context(failed, FakeStep(), f"{run_id}-failure", 0))
    return RunOutcome(attempts, error=error, failure_handled=True, on_failure=handled)


def _context(event: inngest.Event, step: FakeStep, run_id: str, attempt: int) -> inngest.Context:
    return inngest.Context(
        attempt=attempt,
        event=event,
        events=[event],
        group=Mock(),
        job_id=None,
        logger=Mock(),
        request_id=None,
        run_id=run_id,
        step=step,  # type: ignore[arg-type]
    )


async def _call(handler: Any, context: inngest.Context) -> Any:
    result = handler(context)
    return await result if inspect.isawaitable(result) else result
