"""The engine: which functions an event starts, which runs it resumes or cancels, and how a run is executed.

A run's function is called once for each step: a call either ends the run or reports one step, whose result is part of
the next call. Source: ``pkg/execution/executor/executor.go`` of inngest/inngest.
"""

import asyncio
import json
import time
from datetime import UTC, datetime
from typing import Any, Final

import aiohttp
from cachetools import TTLCache
from cronsim import CronSim
from loguru import logger

from sandbox.background import BackgroundTasks
from sandbox.inngest.calls import FunctionCaller, FunctionReply
from sandbox.inngest.clock import Clock
from sandbox.inngest.connect import Gateway
from sandbox.inngest.functions import (
    ExpressionError,
    FunctionConfig,
    Registration,
    evaluate,
    is_true,
    parse_duration,
)
from sandbox.inngest.keys import ServerKeys
from sandbox.inngest.limits import Limiter
from sandbox.inngest.runs import CRON, FAILED, Event, Run, RunStatus

_DAY_SECONDS: Final = 86_400.0  # how long event ids and idempotency keys are remembered
_MAX_KEYS: Final = 100_000
_MAX_ENDED_RUNS: Final = 10_000
_SYNC_TIMEOUT: Final = aiohttp.ClientTimeout(total=10)
_SYNC_SECONDS: Final = 5.0
_FIRST_SYNC_SECONDS: Final = 0.5  # until an app has registered, so that it may start after the server


class Engine:
    """Apps and runs, in memory.

    Attributes:
        clock: How long everything takes.
        keys: The keys of a production server; None for a dev server.
        tasks: Owns all background tasks.
        limiter: Decides when calls start.
        gateway: The Connect gateway.
        caller: Calls functions.
        apps: Apps by name.
        sync_errors: Why apps cannot be asked for their functions, by serve URL.
        functions: Registered functions by id.
        runs: Runs by id, oldest first.
        event_runs: The runs that an event has started, by the event's internal id.
    """

    def __init__(self, clock: Clock, keys: ServerKeys | None = None) -> None:
        """Start without apps and runs."""
        self.clock = clock
        self.keys = keys
        self.tasks = BackgroundTasks()
        self.limiter = Limiter(clock)
        self.gateway = Gateway(clock, self.register)
        self.caller = FunctionCaller(self.gateway, keys)
        self.apps: dict[str, Registration] = {}
        self.sync_errors: dict[str, str] = {}
        self.functions: dict[str, FunctionConfig] = {}
        self.runs: dict[str, Run] = {}
        self.event_runs: dict[str, list[Run]] = {}
        self._crons: dict[str, list[asyncio.Task[None]]] = {}
        self._executions: dict[str, Execution] = {}
        self._recent_keys: TTLCache[str, bool] = TTLCache(_MAX_KEYS, _DAY_SECONDS, clock.now)

    async def close(self) -> None:
        """Stop everything at once, as if the process were killed."""
        await self.tasks.close()
        await self.caller.close()

    def register(self, registration: Registration) -> bool:
        """Register an app's functions; returns whether anything has changed."""
        app, functions = registration.appname, registration.functions
        known, self.apps[app] = self.apps.get(app), registration
        if known is not None and known.functions == functions:
            return False
        for function in known.functions if known else ():
            self.functions.pop(function.id, None)
        self.functions |= {function.id: function for function in functions}
        for task in self._crons.get(app, ()):
            task.cancel()
        self._crons[app] = [
            self.tasks.spawn(self._run_cron(function, trigger.cron), f"cron of {function.id}")
            for function in functions
            for trigger in function.triggers
            if trigger.cron
        ]
        logger.info("Inngest stand-in: {} has registered {} functions", app, len(functions))
        return True

    async def keep_synced(self, url: str) -> None:
        """Ask an app for its functions repeatedly, so that new ones and a restarted app are found. Never ends.

        Args:
            url: The app's serve URL. A PUT there makes the app register itself by ``POST /fn/register``.
        """
        pause = _FIRST_SYNC_SECONDS
        while True:
            if error := await self._sync(url):
                if url not in self.sync_errors:
                    logger.warning("Inngest stand-in: {} did not register: {}", url, error)
                self.sync_errors[url] = error
            else:
                pause = _SYNC_SECONDS
                self.sync_errors.pop(url, None)
            await self.clock.sleep(pause)

    async def _sync(self, url: str) -> str | None:
        """Ask an app for its functions once; returns why it did not register."""
        headers = {"x-inngest-server-kind": "cloud" if self.keys else "dev", "content-type": "application/json"}
        body = json.dumps({"url": url}, separators=(",", ":")).encode()
        if self.keys:
            headers["x-inngest-signature"] = self.keys.sign(body)
        try:
            async with self.caller.session.put(url, data=body, headers=headers, timeout=_SYNC_TIMEOUT) as response:
                if response.status == 200 and "x-inngest-sdk" in response.headers:
                    return None
                return f"{response.status} {(await response.text())[:500]}"
        except (aiohttp.ClientError, TimeoutError) as error:
            return f"unreachable: {type(error).__name__} {error}".strip()

    def handle_event(self, event: Event) -> None:
        """Handle an event: start functions, resume waiting steps, cancel runs."""
        executions = list(self._executions.values())
        for function in list(self.functions.values()):
            if any(
                trigger.event == event.name and is_true(trigger.expression, event.payload())
                for trigger in function.triggers
            ):
                self._admit(function, event)
        for execution in executions:
            execution.on_event(event)

    def on_run_finished(self, run: Run, error: dict[str, Any] | None) -> None:
        """Forget a run's execution, and old runs when there are many; let on-failure functions hear of a failure.

        Args:
            run: The run.
            error: Why it has failed; None when it has not.
        """
        self._executions.pop(run.id, None)
        if len(self.runs) - len(self._executions) > _MAX_ENDED_RUNS:
            for old in [each for each in self.runs.values() if each.ended][: _MAX_ENDED_RUNS // 2]:
                del self.runs[old.id]
                self.event_runs.pop(old.event.internal_id, None)
        if run.status is RunStatus.FAILED and run.event.name != FAILED:
            event = run.event.payload()
            data = {"function_id": run.function.id, "run_id": run.id, "event": event, "events": [event]}
            self.handle_event(Event.create(FAILED, data | {"error": error}, run.id))

    def _admit(self, function: FunctionConfig, event: Event) -> None:
        """Start a run, unless one has started for the same event id or idempotency key within a day."""
        keys = [f"{function.id} event {event.id}"]
        if function.idempotency:
            keys.append(f"{function.id} key {evaluate(function.idempotency, event.payload())!r}")
        if any(key in self._recent_keys for key in keys):
            return
        self._recent_keys.update(dict.fromkeys(keys, True))
        priority = evaluate(function.priority, event.payload()) if function.priority else 0
        run = Run(function, event, priority if type(priority) is int else 0)  # as Function.RunPriorityFactor wants
        self.runs[run.id] = run
        self.event_runs.setdefault(event.internal_id, []).append(run)
        delay = max(0.0, event.ts / 1000 - time.time(), -run.priority)
        self._executions[run.id] = Execution(run, self, delay)

    async def _run_cron(self, function: FunctionConfig, expression: str) -> None:
        due = datetime.now(UTC)
        while True:
            due = next(CronSim(expression, max(due, datetime.now(UTC))))
            await asyncio.sleep((due - datetime.now(UTC)).total_seconds())
            self._admit(function, Event.create(CRON, {"cron": expression}))


class Execution:
    """Executes one run in a task of its own, which starts at once."""

    def __init__(self, run: Run, engine: Engine, delay: float) -> None:
        """Start the execution.

        Args:
            run: The run.
            engine: Calls the function, limits the calls, and hears of the run's end.
            delay: Seconds until the first call.
        """
        self._run = run
        self._engine = engine
        self._attempt = 0
        self._unreachable_since: float | None = None
        self._unreachable_count = 0
        self._wait: tuple[str, str | None, asyncio.Future[Event]] | None = None
        self._deadline = asyncio.timeout(self._real_seconds(run.function.start_timeout))
        self._task = engine.tasks.spawn(self._execute(delay), f"run {run.id}")

    def on_event(self, event: Event) -> None:
        """Resume the step that waits for an event; cancel the run if its settings demand it."""
        own, other = self._run.event.payload(), event.payload()
        if self._wait is not None:
            name, expression, found = self._wait
            if name == event.name and not found.done() and is_true(expression, own, other):
                found.set_result(event)
        for cancel in self._run.function.cancel:
            if cancel.event == event.name and is_true(cancel.if_, own, other):
                self._finish(RunStatus.CANCELLED)

    async def _execute(self, delay: float) -> None:
        try:
            async with self._deadline:
                await self._engine.clock.sleep(delay)
                while not self._run.ended:
                    await self._handle_reply(await self._call())
        except TimeoutError:
            self._finish(RunStatus.CANCELLED)
        except ExpressionError as error:
            self._fail("InvalidExpression", f"Wait for event If expression failed to compile: {error}")

    async def _call(self) -> FunctionReply:
        """Call the function. A call that has begun is completed even when the run is cancelled meanwhile."""
        run, loop = self._run, asyncio.get_running_loop()
        await self._engine.limiter.acquire(run)
        # The app may have registered again, with another URL or other settings.
        run.function = self._engine.functions.get(run.function.id, run.function)
        if run.started_at is None:
            run.started_at, run.status = datetime.now(UTC), RunStatus.RUNNING
            seconds = self._real_seconds(run.function.finish_timeout)
            self._deadline.reschedule(None if seconds is None else loop.time() + seconds)
        reply: asyncio.Future[FunctionReply] = loop.create_future()

        async def call_and_release() -> None:
            try:
                found = await self._engine.caller.call(run, self._attempt)
                if not reply.done():
                    reply.set_result(found)
            finally:
                self._engine.limiter.release(run)
                reply.cancel()  # does nothing after a result

        self._engine.tasks.spawn(call_and_release(), f"call of run {run.id}")
        return await reply

    async def _handle_reply(self, reply: FunctionReply) -> None:
        """Act on a reply, and wait until the next call is due."""
        clock = self._engine.clock
        if reply.unreachable:
            self._unreachable_since = self._unreachable_since or clock.now()
            if clock.now() - self._unreachable_since < clock.unreachable_seconds:
                if self._unreachable_count == 0:
                    logger.warning("Inngest stand-in: cannot call {}: {}", self._run.function.id, reply.error)
                self._unreachable_count += 1
                await clock.sleep(clock.retry_delay(self._unreachable_count - 1))
                return
        self._unreachable_since, self._unreachable_count = None, 0
        if reply.error is None and reply.status == 206:
            await self._perform_step(reply)
        elif reply.error is None:
            self._finish(RunStatus.COMPLETED, reply.body)
        elif reply.no_retry or not await self._retry(reply):
            error = reply.standard_error()
            self._finish(RunStatus.FAILED, reply.body or error, error)

    async def _retry(self, reply: FunctionReply) -> bool:
        """Wait until the next attempt is due; returns False when there is none."""
        if self._attempt >= self._run.function.retries:
            return False
        self._attempt += 1
        clock = self._engine.clock
        delay = clock.retry_delay(self._attempt - 1) if reply.retry_after is None else reply.retry_after
        await clock.sleep(delay)
        return True

    async def _perform_step(self, reply: FunctionReply) -> None:
        op, statuses = reply.body[0], self._run.step_statuses
        name = op.get("displayName") or op["id"]
        kind = op["op"] if len(reply.body) == 1 else "parallel steps"
        result: Any = None
        status = "Completed"
        match kind:
            case "StepRun":
                result = {"data": op.get("data")}
            case "StepError" | "StepFailed":
                statuses[name] = "Retrying"
                if kind == "StepError" and not reply.no_retry and await self._retry(reply):
                    return
                result, status = {"error": op.get("error")}, "Failed"
            case "Sleep":
                statuses[name] = "Sleeping"
                until = datetime.fromisoformat(op["name"])
                await self._engine.clock.sleep(max(0.0, (until - datetime.now(UTC)).total_seconds()))
            case "WaitForEvent":
                statuses[name] = "Waiting"
                event = await self._wait_for_event(op["name"], op["opts"])
                result, status = (event.payload(), status) if event else (None, "TimedOut")
            case _:
                self._fail("UnsupportedStep", f"the Inngest stand-in does not support {kind}")
        self._run.steps[op["id"]], statuses[name] = result, status
        self._attempt = 0

    async def _wait_for_event(self, name: str, opts: dict[str, Any]) -> Event | None:
        """Wait for an event with the options of the SDK's step, ``if`` and ``timeout``.

        Returns:
            The event; None when none has come in time.

        Raises:
            ExpressionError: When the expression ``if`` is invalid.
        """
        expression = opts.get("if")
        is_true(expression, {})  # raises when it is invalid
        found: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        self._wait = name, expression, found
        await asyncio.wait({found}, timeout=self._real_seconds(parse_duration(opts["timeout"])))
        self._wait = None
        return found.result() if found.done() else None

    def _real_seconds(self, seconds: float | None) -> float | None:
        return None if seconds is None else seconds / self._engine.clock.speed

    def _fail(self, name: str, message: str) -> None:
        error = {"error": name, "name": name, "message": message}
        self._finish(RunStatus.FAILED, error, error)

    def _finish(self, status: RunStatus, output: Any = None, error: dict[str, Any] | None = None) -> None:
        """End the run, once.

        Args:
            status: How it ends.
            output: The output that the REST API shows.
            error: Why it has failed, for the event that on-failure functions get.
        """
        if self._run.ended:
            return
        self._run.status, self._run.output, self._run.ended_at = status, output, datetime.now(UTC)
        if self._task is not asyncio.current_task():
            self._task.cancel()
        logger.debug("Inngest stand-in: run {} of {} has ended: {}", self._run.id, self._run.function.id, status)
        self._engine.on_run_finished(self._run, error)
