"""The execution of one run, from its first call to its end.

The function is called once for each step: a call either ends the run or reports steps, whose results are part of
the next call. Source: ``pkg/execution/executor/executor.go`` of inngest/inngest.
"""

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from loguru import logger

from sandbox.background import BackgroundTasks
from sandbox.inngest.clock import Clock
from sandbox.inngest.engine.function_caller import FunctionCaller, FunctionReply
from sandbox.inngest.engine.runs import Run, RunStatus
from sandbox.inngest.events import Event
from sandbox.inngest.functions.config import FunctionConfig
from sandbox.inngest.functions.expressions import ExpressionError, evaluate, is_expression_true
from sandbox.inngest.functions.timing import parse_duration, seconds_until
from sandbox.inngest.rate_limits import ConcurrencyLimit, ConcurrencyLimiter, ThrottleLimit

_YEAR: Final = "366d"
_INVOKE_TIMEOUT: Final = {
    "name": "InngestInvokeTimeoutError",
    "message": "Timed out waiting for invoked function to complete",
}


class ExecutionHost(Protocol):
    """What an execution needs from the engine; see ``Engine`` for the attributes."""

    clock: Clock
    tasks: BackgroundTasks
    concurrency: ConcurrencyLimiter
    caller: FunctionCaller
    executor_running: asyncio.Event
    functions: dict[str, FunctionConfig]

    def invoke_function(self, execution: "Execution", step_id: str, opts: dict[str, Any]) -> None:
        """Start a function for a step that waits for its result."""
        ...

    def on_run_finished(self, run: Run, outcome: dict[str, Any]) -> None:
        """Take note that a run has ended."""
        ...


@dataclass(slots=True)
class _PendingCall:
    """A call to make: for one planned step, or without ``step_id`` for whatever comes next."""

    step_id: str | None = None
    attempt: int = 0
    unreachable_since: float | None = None
    unreachable_count: int = 0


@dataclass(frozen=True, slots=True)
class _Wait:
    event: str
    expression: str | None
    timer: asyncio.Task[None]
    is_race: bool


class Execution:
    """Executes one run.

    Attributes:
        run: The run.
    """

    def __init__(self, run: Run, host: ExecutionHost) -> None:
        """Prepare the execution; ``start`` makes the first call."""
        self.run = run
        self._host = host
        self._tasks: set[asyncio.Task[None]] = set()
        self._calls_in_progress: set[asyncio.Task[None]] = set()
        self._planned_steps: set[str] = set()
        self._waits: dict[str, _Wait] = {}
        self._throttle = _throttle_limit(run)
        self._concurrency_limits = tuple(
            _concurrency_limit(run, limit.scope, limit.key, limit.limit) for limit in run.function.concurrency
        )

    def start(self, delay: float) -> None:
        """Make the first call after ``delay`` seconds."""
        timeouts = self.run.function.timeouts
        if timeouts and timeouts.start and not self.run.function.batch_events:
            self._start_task(self._cancel_on_timeout(parse_duration(timeouts.start), started=False))
        self._enqueue(_PendingCall(), delay)

    def on_event(self, event: Event) -> None:
        """Resume the steps that wait for an event; cancel the run if its settings demand it."""
        names = {"event": self.run.event.payload(), "async": event.payload()}
        for step_id, wait in list(self._waits.items()):
            if wait.event == event.name and self._matches(wait.expression, names):
                self.resume(step_id, event.payload())
        if event.internal_id == self.run.event.internal_id:
            return
        for cancel in self.run.function.cancel:
            age = (datetime.now(UTC) - self.run.created_at).total_seconds()
            current = cancel.timeout is None or age <= parse_duration(cancel.timeout)
            if current and cancel.event == event.name and self._matches(cancel.if_, names):
                self.finish(RunStatus.CANCELLED)
                return

    def resume(self, step_id: str, result: Any, status: str = "Completed") -> None:
        """End a waiting step; one that no longer waits is ignored.

        Args:
            step_id: The step.
            result: Its result as the SDK reads it.
            status: The status that the status page shows.
        """
        if (wait := self._waits.pop(step_id, None)) is None:
            return
        if wait.timer is not asyncio.current_task():
            wait.timer.cancel()
        self._save_step(step_id, result, status, race=wait.is_race)

    def finish(self, status: RunStatus, output: Any = None, outcome: dict[str, Any] | None = None) -> None:
        """End the run. A call in progress continues, but its reply is dropped.

        Args:
            status: How it ends.
            output: The output that the REST API shows.
            outcome: ``result`` or ``error`` for the events of its end.
        """
        if self.run.ended:
            return
        self.run.status, self.run.output, self.run.ended_at = status, output, datetime.now(UTC)
        self._waits.clear()
        for task in self._tasks - self._calls_in_progress - {asyncio.current_task()}:
            task.cancel()
        logger.debug("Inngest stand-in: run {} of {} has ended: {}", self.run.id, self.run.function.id, status)
        self._host.on_run_finished(self.run, outcome or {})

    def _start_task(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = self._host.tasks.spawn(work, f"run {self.run.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _enqueue(self, call: _PendingCall, delay: float = 0.0) -> None:
        self._start_task(self._run_call(call, delay))

    async def _sleep_for(self, duration: float) -> None:
        await self._host.clock.sleep(duration)

    async def _cancel_on_timeout(self, limit: float, *, started: bool) -> None:
        await self._sleep_for(limit)
        if started or self.run.started_at is None:
            self.finish(RunStatus.CANCELLED)

    async def _run_call(self, call: _PendingCall, delay: float) -> None:
        next_delay: float | None = delay
        while next_delay is not None:
            await self._sleep_for(next_delay)
            reply = await self._call(call)
            if self.run.ended:
                return
            next_delay = self._handle_reply(call, reply)

    async def _call(self, call: _PendingCall) -> FunctionReply:
        throttle = self._throttle if self.run.started_at is None else None
        async with self._host.concurrency.acquire(self._concurrency_limits, self.run.rank, throttle):
            await self._host.executor_running.wait()
            # The app may have registered again, with another URL or other settings.
            self.run.function = self._host.functions.get(self.run.function.id, self.run.function)
            if self.run.started_at is None:
                self.run.started_at, self.run.status = datetime.now(UTC), RunStatus.RUNNING
                timeouts = self.run.function.timeouts
                if timeouts and timeouts.finish:
                    self._start_task(self._cancel_on_timeout(parse_duration(timeouts.finish), started=True))
            task = asyncio.current_task()
            assert task is not None  # noqa: S101  # for the type checker only
            self._calls_in_progress.add(task)
            try:
                return await self._host.caller.call(self.run, call.step_id, call.attempt)
            finally:
                self._calls_in_progress.discard(task)

    def _handle_reply(self, call: _PendingCall, reply: FunctionReply) -> float | None:
        """Act on a reply; returns the seconds until the same call must be repeated, or None."""
        if reply.unreachable is not None:
            call.unreachable_since = call.unreachable_since or time.monotonic()
            waited = (time.monotonic() - call.unreachable_since) * self._host.clock.speed
            if waited < self._host.clock.unreachable_seconds:
                if call.unreachable_count == 0:
                    logger.warning(
                        "Inngest stand-in: {} cannot be called: {}", self.run.function.id, reply.unreachable
                    )
                call.unreachable_count += 1
                return self._host.clock.retry_delay(call.unreachable_count - 1)
        call.unreachable_since, call.unreachable_count = None, 0
        if reply.error is None and reply.status == 206:
            return self._apply_ops(call, reply)
        if reply.error is None:
            self.finish(RunStatus.COMPLETED, reply.body, {"result": reply.body})
            return None
        if not reply.no_retry and (delay := self._retry_delay(call, reply)) is not None:
            return delay
        error = reply.standard_error()
        output = reply.body or error
        self.finish(RunStatus.FAILED, output, {"error": error, "result": output})
        return None

    def _retry_delay(self, call: _PendingCall, reply: FunctionReply) -> float | None:
        if call.attempt + 1 >= self.run.function.max_attempts:
            return None
        call.attempt += 1
        if reply.retry_after is not None:
            return reply.retry_after
        return self._host.clock.retry_delay(call.attempt - 1)

    def _apply_ops(self, call: _PendingCall, reply: FunctionReply) -> float | None:
        ops = [op for op in reply.ops if op["op"] != "None"]
        if len(ops) > 1:
            self.run.must_plan_steps = True
            if any(op["op"] == "StepPlanned" for op in ops):
                self.run.pending |= {op["id"] for op in ops} - self.run.steps.keys()
        if not ops:
            return self._host.clock.retry_delay(0)
        # Waits first, so that an event sent by a parallel step is not missed.
        ops.sort(key=lambda op: op["op"] != "WaitForEvent")
        next_delay: float | None = None
        for op in ops:
            if self.run.ended:
                return None
            delay = self._apply_op(call, op, reply)
            next_delay = delay if delay is not None else next_delay
        return next_delay

    def _apply_op(self, call: _PendingCall, op: dict[str, Any], reply: FunctionReply) -> float | None:
        step_id, name, kind = op["id"], op.get("displayName") or op.get("name") or op["id"], op["op"]
        race = (op.get("opts") or {}).get("parallelMode") == "race"
        if kind in {"StepRun", "StepError", "StepFailed"}:
            record = self.run.record_step(step_id, name, "StepRun", "Running")
            record.attempts = call.attempt + 1
            retriable = kind == "StepError" and not reply.no_retry
            if retriable and (delay := self._retry_delay(call, reply)) is not None:
                record.status = "Retrying"
                return delay
            failed = kind != "StepRun"
            result = {"error": op.get("error")} if failed else {"data": op.get("data")}
            self._save_step(step_id, result, "Failed" if failed else "Completed", race=race)
        elif step_id not in self._planned_steps:
            self._planned_steps.add(step_id)
            self._plan_step(op, step_id, name, race=race)
        return None

    def _plan_step(self, op: dict[str, Any], step_id: str, name: str, *, race: bool) -> None:
        opts: dict[str, Any] = op.get("opts") or {}
        match op["op"]:
            case "StepPlanned":
                self.run.record_step(step_id, name, "StepRun", "Planned")
                self._enqueue(_PendingCall(step_id))
            case "Sleep":
                self.run.record_step(step_id, name, "Sleep", "Sleeping")
                length = seconds_until(opts.get("duration") or op["name"], datetime.now(UTC))
                self._start_task(self._sleep_step(step_id, length, race=race))
            case "WaitForEvent":
                self.run.record_step(step_id, name, "WaitForEvent", "Waiting")
                self._start_wait(step_id, opts.get("event") or op["name"], opts.get("if"), opts, None, race=race)
            case "InvokeFunction":
                self.run.record_step(step_id, name, "InvokeFunction", "Invoking")
                self._start_wait(step_id, "", None, opts, {"error": _INVOKE_TIMEOUT}, race=race)
                self._host.invoke_function(self, step_id, opts)
            case other:
                self._fail("Error", f"unknown opcode: {other}")

    async def _sleep_step(self, step_id: str, length: float, *, race: bool) -> None:
        await self._sleep_for(length)
        self._save_step(step_id, None, "Completed", race=race)

    def _start_wait(
        self,
        step_id: str,
        event: str,
        expression: str | None,
        opts: dict[str, Any],
        on_timeout: Any,
        *,
        race: bool,
    ) -> None:
        if expression is not None:
            try:
                is_expression_true(expression, {"event": self.run.event.payload(), "async": {}})
            except ExpressionError as error:
                self._fail("InvalidExpression", f"Wait for event If expression failed to compile: {error}")
                return
        length = seconds_until(opts.get("timeout") or _YEAR, datetime.now(UTC))
        timer = self._start_task(self._time_out_wait(step_id, length, on_timeout))
        self._waits[step_id] = _Wait(event, expression, timer, race)

    async def _time_out_wait(self, step_id: str, length: float, result: Any) -> None:
        await self._sleep_for(length)
        self.resume(step_id, result, "TimedOut")

    def _save_step(self, step_id: str, result: Any, status: str, *, race: bool) -> None:
        if self.run.ended or step_id in self.run.steps:
            return
        self.run.steps[step_id] = result
        self.run.step_records[step_id].status = status
        self.run.step_records[step_id].ended_at = datetime.now(UTC)
        self.run.pending.discard(step_id)
        if race or not self.run.pending:
            self.run.must_plan_steps = False
            self._enqueue(_PendingCall())

    def _fail(self, name: str, message: str) -> None:
        error = {"error": name, "name": name, "message": message}
        self.finish(RunStatus.FAILED, error, {"error": error, "result": error})

    def _matches(self, expression: str | None, names: dict[str, Any]) -> bool:
        try:
            return is_expression_true(expression, names)
        except ExpressionError as error:
            logger.warning(
                "Inngest stand-in: cannot evaluate {} of {}: {}", expression, self.run.function.id, error
            )
            return False


def _concurrency_limit(run: Run, scope: str, key: str | None, limit: int) -> ConcurrencyLimit:
    owner = run.function.id if scope == "fn" else scope
    return f"{owner}" if key is None else f"{owner}:{key}:{_evaluate_key(run, key)!r}", limit


def _throttle_limit(run: Run) -> ThrottleLimit | None:
    throttle = run.function.throttle
    if throttle is None:
        return None
    key = f"{run.function.id}:{_evaluate_key(run, throttle.key)!r}" if throttle.key else run.function.id
    return ThrottleLimit(key, max(throttle.limit, 1), parse_duration(throttle.period), throttle.extra_burst)


def _evaluate_key(run: Run, key: str) -> object:
    try:
        return evaluate(key, {"event": run.event.payload()})
    except ExpressionError as error:
        logger.warning("Inngest stand-in: cannot evaluate the key {} of {}: {}", key, run.function.id, error)
        return None
