"""Events in, runs out: which functions an event starts, resumes or cancels."""

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from loguru import logger

from sandbox.inngest.background import Tasks
from sandbox.inngest.clock import Pace
from sandbox.inngest.connect.gateway import Gateway
from sandbox.inngest.engine.admission import Admission
from sandbox.inngest.engine.execution import Execution
from sandbox.inngest.engine.function_caller import Caller
from sandbox.inngest.engine.runs import Run, RunStatus
from sandbox.inngest.events import CANCELLED, CRON, FAILED, FINISHED, INTERNAL_FIELD, INVOKED, Event, internal
from sandbox.inngest.functions.config import FunctionConfig, Registration
from sandbox.inngest.functions.cron import next_run
from sandbox.inngest.functions.expressions import ExpressionError, is_true
from sandbox.inngest.keys import Keys
from sandbox.inngest.rate_limits import Capacity

KEPT: Final = 10_000
"""How many events and ended runs are remembered."""


@dataclass(slots=True)
class App:
    """An app and what it registered last."""

    url: str
    name: str = ""
    sdk: str = ""
    error: str | None = None
    functions: tuple[FunctionConfig, ...] = ()
    synced_at: datetime | None = None
    crons: list[asyncio.Task[None]] = field(default_factory=list)


class Engine:
    """Everything the stand-in knows, in memory."""

    def __init__(self, pace: Pace, keys: Keys | None = None) -> None:
        self.pace = pace
        self.keys = keys
        """Of a production server; None at a dev server."""
        self.tasks = Tasks()
        self.capacity = Capacity(pace)
        self.gateway = Gateway(pace, self.register)
        self.caller = Caller(self.gateway, keys)
        self.alive = asyncio.Event()
        """Cleared while the executor is dead: events are accepted, no function is called."""
        self.alive.set()
        self.apps: dict[str, App] = {}
        self.functions: dict[str, FunctionConfig] = {}
        self.events: dict[str, Event] = {}
        self.runs: dict[str, Run] = {}
        self.event_runs: dict[str, list[Run]] = {}
        self._active: dict[str, Execution] = {}
        self._invoked: dict[str, tuple[Execution, str]] = {}
        self._admission = Admission(pace, self.tasks, self.begin, self.cancel)

    async def close(self) -> None:
        """Stop all work at once, as if the process were killed."""
        await self.tasks.close()
        await self.caller.close()

    def register(self, registration: Registration) -> bool:
        """Take over an app's functions. Gives whether anything changed."""
        self.apps.pop(registration.url, None)  # what sync.poll put in its place
        app = self.apps.setdefault(registration.appname, App(registration.url, registration.appname))
        changed = app.functions != registration.functions
        app.url, app.sdk, app.error = registration.url, registration.sdk, None
        app.synced_at = datetime.now(UTC)
        if not changed:
            return False
        for function in app.functions:
            self.functions.pop(function.id, None)
        app.functions = registration.functions
        self.functions |= {function.id: function for function in registration.functions}
        for task in app.crons:
            task.cancel()
        app.crons = [
            self.tasks.start(self._tick(function, trigger.cron))
            for function in registration.functions
            for trigger in function.triggers
            if trigger.cron
        ]
        logger.info("Inngest stand-in: {} registered {} functions", app.name, len(app.functions))
        return True

    def forget(self, url: str) -> None:
        """Drop an app and its functions."""
        for key, app in list(self.apps.items()):
            if app.url == url:
                for function in app.functions:
                    self.functions.pop(function.id, None)
                for task in app.crons:
                    task.cancel()
                del self.apps[key]

    def accept(self, event: Event) -> None:
        """Take an event: start functions, resume waits, cancel runs."""
        self.events[event.internal_id] = event
        waiting = list(self._active.values())
        for function in list(self.functions.values()):
            if self._triggers(function, event):
                self._admission.offer(function, event)
        for execution in waiting:
            execution.on_event(event)
        if event.name == FINISHED:
            self._resume_invoker(event)
        self._forget_old()

    def begin(self, function: FunctionConfig, events: tuple[Event, ...], priority: int) -> Run:
        """Start a run: now, or at the time of an event that lies ahead."""
        run = Run(function, events, priority)
        self.runs[run.id] = run
        self.event_runs.setdefault(run.event.internal_id, []).append(run)
        self._active[run.id] = Execution(run, self)
        ahead = run.event.ts / 1000 - time.time() if len(events) == 1 else 0.0
        self._active[run.id].begin(max(0.0, ahead, -priority))
        return run

    def cancel(self, run_id: str) -> bool:
        """Cancel a run; False when it is not under way."""
        if (execution := self._active.get(run_id)) is None:
            return False
        execution.finish(RunStatus.CANCELLED)
        return True

    def invoke(self, execution: Execution, step_id: str, opts: dict[str, Any]) -> None:
        """Start a function for a step that waits for its result."""
        correlation = f"{execution.run.id}.{step_id}"
        self._invoked[correlation] = (execution, step_id)
        payload = opts.get("payload") or {}
        hidden = {"fn_id": opts.get("function_id"), "correlation_id": correlation}
        event = internal(INVOKED, (payload.get("data") or {}) | {INTERNAL_FIELD: hidden})
        self.events[event.internal_id] = event
        function = self.functions.get(str(opts.get("function_id")))
        if function is not None and self._admission.offer(function, event):
            return
        reason = f"could not find function with ID: {opts.get('function_id')}"
        if function is not None:
            reason = "invoked function is rate limited"
        error = {"name": "Error", "message": reason}
        self.accept(internal(FINISHED, {"correlation_id": correlation, "error": error}))

    def finished(self, run: Run, outcome: dict[str, Any]) -> None:
        """Tell the others that a run ended: whoever invoked it, and functions that listen for failures."""
        self._active.pop(run.id, None)
        if run.event.name in {FINISHED, FAILED}:
            return
        events = [event.payload() for event in run.events]
        data: dict[str, Any] = {
            "function_id": run.function.id,
            "run_id": run.id,
            "event": events[0],
            "events": events,
            INTERNAL_FIELD: {"status": run.status.value},
            **outcome,
        }
        invokers = [event.data[INTERNAL_FIELD] for event in run.events if event.name == INVOKED]
        for invoker in invokers or [{}]:
            if correlation := invoker.get("correlation_id"):
                data = data | {"correlation_id": correlation}
            self.accept(internal(FINISHED, data))
        also = {RunStatus.FAILED: FAILED, RunStatus.CANCELLED: CANCELLED}.get(run.status)
        if also is not None:
            self.accept(internal(also, data, run.id))

    def _resume_invoker(self, event: Event) -> None:
        waiting = self._invoked.pop(event.data.get("correlation_id", ""), None)
        if waiting is None:
            return
        execution, step_id = waiting
        for key, wrapped in (("error", "error"), ("result", "data")):
            if key in event.data:
                execution.resume(step_id, {wrapped: event.data[key]}, "Failed" if key == "error" else "Completed")
                return
        execution.resume(step_id, event.payload())  # cancelled: the real server gives the bare event too

    def _triggers(self, function: FunctionConfig, event: Event) -> bool:
        for trigger in function.triggers:
            name = trigger.event
            if name is None or not (
                name == event.name or (name.endswith("*") and event.name.startswith(name[:-1]))
            ):
                continue
            try:
                if is_true(trigger.expression, {"event": event.payload()}):
                    return True
            except ExpressionError as error:
                logger.error("Inngest stand-in: trigger of {}: {}", function.id, error)
        return False

    async def _tick(self, function: FunctionConfig, expression: str) -> None:
        while True:
            due = next_run(expression, datetime.now(UTC))
            await asyncio.sleep((due - datetime.now(UTC)).total_seconds())
            event = internal(CRON, {"cron": expression})
            self.events[event.internal_id] = event
            self._admission.admit(function, event)

    def _forget_old(self) -> None:
        while len(self.events) > KEPT:
            self.event_runs.pop(next(iter(self.events)), None)
            del self.events[next(iter(self.events))]
        if len(self.runs) > 2 * KEPT:
            ended = [run.id for run in self.runs.values() if run.ended][:KEPT]
            for run_id in ended:
                del self.runs[run_id]
