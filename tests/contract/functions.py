"""Inngest functions that exercise the protocol, and a log of what they did."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import inngest

MEBIBYTE = 1024 * 1024


@dataclass(slots=True)
class CallLog:
    """What happened, by job. Functions run in this process, so tests may inspect and delay their steps."""

    done: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    failures: dict[str, dict[str, Any]] = field(default_factory=dict)
    bodies: list[int] = field(default_factory=list)
    """Lengths of the request bodies that the app received."""
    gates: dict[str, asyncio.Event] = field(default_factory=lambda: defaultdict(asyncio.Event))
    running: Counter[str] = field(default_factory=Counter)
    max_running: Counter[str] = field(default_factory=Counter)

    async def record(self, job: str, what: str) -> str:
        """Record that a step was done."""
        self.done[job].append(what)
        return what

    async def run_exclusively(self, user: str) -> None:
        """Wait for a moment and count how many calls do so at the same time."""
        self.running[user] += 1
        self.max_running[user] = max(self.max_running[user], self.running[user])
        await asyncio.sleep(0.05)
        self.running[user] -= 1

    async def record_and_fail(self, job: str, error: Exception) -> None:
        """Record the attempt, then raise."""
        self.done[job].append("try")
        raise error


def _job(ctx: inngest.Context) -> str:
    return str(ctx.event.data["job"])


def all_functions(client: inngest.Inngest, call_log: CallLog) -> list[inngest.Function[Any]]:
    """Return all functions of this module."""
    groups = (step_functions, large_functions, failing_functions, waiting_functions, limited_functions)
    return [function for make in groups for function in make(client, call_log)]


def step_functions(client: inngest.Inngest, call_log: CallLog) -> list[inngest.Function[Any]]:
    """Functions that consist of steps only."""

    @client.create_function(fn_id="hello", trigger=inngest.TriggerEvent(event="contract/hello"), retries=3)
    async def hello(ctx: inngest.Context) -> dict[str, Any]:
        job = _job(ctx)
        await ctx.step.run("log-incoming-event", call_log.record, job, "log")
        greeting = await ctx.step.run("generate-greeting", call_log.record, job, "Hello, Ada! 👋")
        await ctx.step.run("prepare-result", call_log.record, job, "prepare")
        await ctx.step.run("log-completion", call_log.record, job, "completion")
        return {"message": greeting, "eventData": dict(ctx.event.data)}

    @client.create_function(fn_id="nap", trigger=inngest.TriggerEvent(event="contract/nap"))
    async def nap(ctx: inngest.Context) -> str:
        await ctx.step.run("before", call_log.record, _job(ctx), "before")
        await ctx.step.sleep("nap", timedelta(seconds=1))
        return await ctx.step.run("after", call_log.record, _job(ctx), "after")

    return [hello, nap]


def large_functions(client: inngest.Inngest, call_log: CallLog) -> list[inngest.Function[Any]]:
    """Functions that carry large data or are interrupted."""

    @client.create_function(fn_id="big", trigger=inngest.TriggerEvent(event="contract/big"))
    async def big(ctx: inngest.Context) -> dict[str, Any]:
        first = await ctx.step.run(
            "first", call_log.record, _job(ctx), "x" * int(str(ctx.event.data["step_bytes"]))
        )
        await ctx.step.run("second", call_log.record, _job(ctx), "second")
        text = str(ctx.event.data["text"])
        return {"event": len(text), "events": len(ctx.events), "step": len(first)}

    @client.create_function(fn_id="restarted", trigger=inngest.TriggerEvent(event="contract/restarted"))
    async def restarted(ctx: inngest.Context) -> str:
        job = _job(ctx)

        async def hold() -> str:
            call_log.done[job].append("second")
            await call_log.gates[job].wait()
            return "second"

        await ctx.step.run("first", call_log.record, job, "first")
        await ctx.step.run("second", hold)
        return await ctx.step.run("third", call_log.record, job, "third")

    return [big, restarted]


def record_failures(call_log: CallLog) -> Callable[[inngest.Context], Awaitable[None]]:
    """An on-failure handler that records its event, by the job of the first event."""

    async def on_failure(ctx: inngest.Context) -> None:
        data: Any = ctx.event.data
        call_log.failures[data["event"]["data"]["job"]] = data

    return on_failure


def failing_functions(client: inngest.Inngest, call_log: CallLog) -> list[inngest.Function[Any]]:
    """Functions that fail, each in another way."""
    on_failure = record_failures(call_log)

    async def fails(ctx: inngest.Context, error: Exception) -> None:
        await ctx.step.run("fail", call_log.record_and_fail, _job(ctx), error)

    @client.create_function(
        fn_id="flaky", trigger=inngest.TriggerEvent(event="contract/flaky"), retries=1, on_failure=on_failure
    )
    async def flaky(ctx: inngest.Context) -> None:
        await fails(ctx, ValueError("always"))

    @client.create_function(
        fn_id="hopeless", trigger=inngest.TriggerEvent(event="contract/hopeless"), retries=3, on_failure=on_failure
    )
    async def hopeless(ctx: inngest.Context) -> None:
        await fails(ctx, inngest.NonRetriableError("no use"))

    @client.create_function(fn_id="later", trigger=inngest.TriggerEvent(event="contract/later"), retries=1)
    async def later(ctx: inngest.Context) -> int:
        await call_log.record(_job(ctx), "try")
        if ctx.attempt == 0:
            raise inngest.RetryAfterError("not yet", timedelta(seconds=1))
        return ctx.attempt

    @client.create_function(fn_id="caught", trigger=inngest.TriggerEvent(event="contract/caught"), retries=0)
    async def caught(ctx: inngest.Context) -> str:
        try:
            await fails(ctx, ValueError("caught in time"))
        except inngest.StepError as error:
            return await ctx.step.run("report", call_log.record, _job(ctx), error.message)
        return "unreachable"

    return [flaky, hopeless, later, caught]


def waiting_functions(client: inngest.Inngest, call_log: CallLog) -> list[inngest.Function[Any]]:
    """Functions that an event resumes or cancels."""

    @client.create_function(fn_id="wait", trigger=inngest.TriggerEvent(event="contract/wait"))
    async def wait(ctx: inngest.Context) -> object:
        await ctx.step.run("asked", call_log.record, _job(ctx), "asked")
        answer = await ctx.step.wait_for_event(
            "answer",
            event="contract/answer",
            if_exp="event.data.job == async.data.job",
            timeout=timedelta(seconds=int(str(ctx.event.data["seconds"]))),
        )
        return None if answer is None else answer.data["text"]

    @client.create_function(
        fn_id="cancellable",
        trigger=inngest.TriggerEvent(event="contract/cancellable"),
        cancel=[inngest.Cancel(event="contract/cancel", if_exp="event.data.job == async.data.job")],
        on_failure=record_failures(call_log),
    )
    async def cancellable(ctx: inngest.Context) -> str:
        await ctx.step.run("before", call_log.record, _job(ctx), "before")
        await ctx.step.sleep("long", timedelta(seconds=60))
        return await ctx.step.run("after", call_log.record, _job(ctx), "after")

    return [wait, cancellable]


def limited_functions(client: inngest.Inngest, call_log: CallLog) -> list[inngest.Function[Any]]:
    """Functions with limits on how often, and how many at the same time, they run."""

    @client.create_function(
        fn_id="once", trigger=inngest.TriggerEvent(event="contract/once"), idempotency="event.data.job"
    )
    async def once(ctx: inngest.Context) -> str:
        return await ctx.step.run("only", call_log.record, _job(ctx), "only")

    @client.create_function(
        fn_id="crowd",
        trigger=inngest.TriggerEvent(event="contract/crowd"),
        concurrency=[inngest.Concurrency(limit=1, key="event.data.user"), inngest.Concurrency(limit=5)],
    )
    async def crowd(ctx: inngest.Context) -> None:
        await ctx.step.run("in", call_log.run_exclusively, str(ctx.event.data["user"]))

    return [once, crowd]
