"""The engine: which functions an event starts, and which runs it resumes or cancels."""

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from loguru import logger

from sandbox.background import BackgroundTasks
from sandbox.inngest.clock import Clock
from sandbox.inngest.connect.gateway import Gateway
from sandbox.inngest.engine.admission import Admission
from sandbox.inngest.engine.execution import Execution
from sandbox.inngest.engine.function_caller import FunctionCaller
from sandbox.inngest.engine.runs import Run, RunStatus
from sandbox.inngest.events import (
    CANCELLED,
    CRON,
    FAILED,
    FINISHED,
    INTERNAL_FIELD,
    INVOKED,
    Event,
    internal_event,
)
from sandbox.inngest.functions.config import FunctionConfig, Registration
from sandbox.inngest.functions.expressions import ExpressionError, is_expression_true
from sandbox.inngest.functions.timing import next_cron_time
from sandbox.inngest.keys import ServerKeys
from sandbox.inngest.rate_limits import ConcurrencyLimiter

_MAX_KEPT: Final = 10_000
"""How many events and ended runs are kept."""


@dataclass(slots=True)
class App:
    """An app and what it has registered.

    Attributes:
        url: Its serve URL.
        error: Why the last sync failed, if it did.
        synced_at: When it registered last.
        cron_tasks: The tasks that start its cron functions.
    """

    url: str
    name: str = ""
    sdk: str = ""
    error: str | None = None
    functions: tuple[FunctionConfig, ...] = ()
    synced_at: datetime | None = None
    cron_tasks: list[asyncio.Task[None]] = field(default_factory=list)


class Engine:
    """Apps, events and runs, in memory.

    Attributes:
        clock: How long everything takes.
        keys: The keys of a production server; None for a dev server.
        tasks: Owns all background tasks.
        concurrency: Limits the calls that run at the same time.
        gateway: The Connect gateway.
        caller: Calls functions.
        executor_running: Cleared while the executor is down: events are accepted, but no function is called.
        apps: Apps by name; before the first registration by URL.
        functions: Registered functions by id.
        events: Events by internal id, oldest first.
        runs: Runs by id, oldest first.
        event_runs: The runs that an event has started, by the event's internal id.
    """

    def __init__(self, clock: Clock, keys: ServerKeys | None = None) -> None:
        """Start without apps, events and runs."""
        self.clock = clock
        self.keys = keys
        self.tasks = BackgroundTasks()
        self.concurrency = ConcurrencyLimiter(clock)
        self.gateway = Gateway(clock, self.register)
        self.caller = FunctionCaller(self.gateway, keys)
        self.executor_running = asyncio.Event()
        self.executor_running.set()
        self.apps: dict[str, App] = {}
        self.functions: dict[str, FunctionConfig] = {}
        self.events: dict[str, Event] = {}
        self.runs: dict[str, Run] = {}
        self.event_runs: dict[str, list[Run]] = {}
        self._executions: dict[str, Execution] = {}
        self._invokers: dict[str, tuple[Execution, str]] = {}
        self._admission = Admission(clock, self.tasks, self.start_run, self.cancel_run)

    async def close(self) -> None:
        """Stop everything at once, as if the process were killed."""
        await self.tasks.close()
        await self.caller.close()

    def register(self, registration: Registration) -> bool:
        """Register an app's functions; returns whether anything has changed."""
        self.apps.pop(registration.url, None)  # the placeholder of keep_synced
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
        for task in app.cron_tasks:
            task.cancel()
        app.cron_tasks = [
            self.tasks.spawn(self._run_cron(function, trigger.cron), f"cron of {function.id}")
            for function in registration.functions
            for trigger in function.triggers
            if trigger.cron
        ]
        logger.info("Inngest stand-in: {} has registered {} functions", app.name, len(app.functions))
        return True

    def remove_app(self, url: str) -> None:
        """Remove an app and its functions; an unknown URL is ignored."""
        for key, app in list(self.apps.items()):
            if app.url == url:
                for function in app.functions:
                    self.functions.pop(function.id, None)
                for task in app.cron_tasks:
                    task.cancel()
                del self.apps[key]

    def handle_event(self, event: Event) -> None:
        """Handle an event: start functions, resume waiting steps, cancel runs."""
        self.events[event.internal_id] = event
        waiting = list(self._executions.values())
        for function in list(self.functions.values()):
            if self._is_triggered_by(function, event):
                self._admission.handle_event(function, event)
        for execution in waiting:
            execution.on_event(event)
        if event.name == FINISHED:
            self._resume_invoker(event)
        self._prune()

    def start_run(self, function: FunctionConfig, events: tuple[Event, ...], priority: int) -> Run:
        """Start a run now, or at the time of its event when that is in the future; for ``priority`` see ``Run``."""
        run = Run(function, events, priority)
        self.runs[run.id] = run
        self.event_runs.setdefault(run.event.internal_id, []).append(run)
        self._executions[run.id] = Execution(run, self)
        ahead = run.event.ts / 1000 - time.time() if len(events) == 1 else 0.0
        self._executions[run.id].start(max(0.0, ahead, -priority))
        return run

    def cancel_run(self, run_id: str) -> bool:
        """Cancel a run; returns False when it is unknown or has ended."""
        if (execution := self._executions.get(run_id)) is None:
            return False
        execution.finish(RunStatus.CANCELLED)
        return True

    def invoke_function(self, execution: Execution, step_id: str, opts: dict[str, Any]) -> None:
        """Start a function for a step that waits for its result.

        Args:
            execution: The run that invokes.
            step_id: The step of that run.
            opts: The options of the SDK's ``InvokeFunction``: ``function_id`` and ``payload``.
        """
        correlation = f"{execution.run.id}.{step_id}"
        self._invokers[correlation] = (execution, step_id)
        payload = opts.get("payload") or {}
        hidden = {"fn_id": opts.get("function_id"), "correlation_id": correlation}
        event = internal_event(INVOKED, (payload.get("data") or {}) | {INTERNAL_FIELD: hidden})
        self.events[event.internal_id] = event
        function = self.functions.get(str(opts.get("function_id")))
        if function is not None and self._admission.handle_event(function, event):
            return
        reason = f"could not find function with ID: {opts.get('function_id')}"
        if function is not None:
            reason = "invoked function is rate limited"
        error = {"name": "Error", "message": reason}
        self.handle_event(internal_event(FINISHED, {"correlation_id": correlation, "error": error}))

    def on_run_finished(self, run: Run, outcome: dict[str, Any]) -> None:
        """Send the events of a run's end, which resume its invoker and start functions that handle failures.

        Args:
            run: The run.
            outcome: ``result`` or ``error`` for the event's data.
        """
        self._executions.pop(run.id, None)
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
            self.handle_event(internal_event(FINISHED, data))
        status_event = {RunStatus.FAILED: FAILED, RunStatus.CANCELLED: CANCELLED}.get(run.status)
        if status_event is not None:
            self.handle_event(internal_event(status_event, data, run.id))

    def _resume_invoker(self, event: Event) -> None:
        waiting = self._invokers.pop(event.data.get("correlation_id", ""), None)
        if waiting is None:
            return
        execution, step_id = waiting
        for key, wrapped in (("error", "error"), ("result", "data")):
            if key in event.data:
                execution.resume(step_id, {wrapped: event.data[key]}, "Failed" if key == "error" else "Completed")
                return
        execution.resume(step_id, event.payload())  # cancelled: the real server passes the bare event too

    def _is_triggered_by(self, function: FunctionConfig, event: Event) -> bool:
        for trigger in function.triggers:
            name = trigger.event
            if name is None or not (
                name == event.name or (name.endswith("*") and event.name.startswith(name[:-1]))
            ):
                continue
            try:
                if is_expression_true(trigger.expression, {"event": event.payload()}):
                    return True
            except ExpressionError as error:
                logger.error("Inngest stand-in: the trigger of {} cannot be evaluated: {}", function.id, error)
        return False

    async def _run_cron(self, function: FunctionConfig, expression: str) -> None:
        while True:
            due = next_cron_time(expression, datetime.now(UTC))
            await asyncio.sleep((due - datetime.now(UTC)).total_seconds())
            event = internal_event(CRON, {"cron": expression})
            self.events[event.internal_id] = event
            self._admission.handle_unbatched_event(function, event)

    def _prune(self) -> None:
        while len(self.events) > _MAX_KEPT:
            self.event_runs.pop(next(iter(self.events)), None)
            del self.events[next(iter(self.events))]
        if len(self.runs) > 2 * _MAX_KEPT:
            ended = [run.id for run in self.runs.values() if run.ended][:_MAX_KEPT]
            for run_id in ended:
                del self.runs[run_id]
