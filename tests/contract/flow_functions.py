"""Inngest functions with the settings that delay or cancel runs, and one that a cron starts."""

import asyncio
import time
from datetime import timedelta
from typing import Any

import inngest

from tests.contract.functions import CallLog, record_failures

SECOND = timedelta(seconds=1)


def flow_functions(client: inngest.Inngest, call_log: CallLog) -> list[inngest.Function[Any]]:
    """Return all functions of this module."""
    groups = (paced_functions, queued_functions, timed_functions, cron_functions)
    return [function for make in groups for function in make(client, call_log)]


def _job(ctx: inngest.Context) -> str:
    return str(ctx.event.data["job"])


def paced_functions(client: inngest.Inngest, call_log: CallLog) -> list[inngest.Function[Any]]:
    """Functions with limits on how often they start."""

    @client.create_function(
        fn_id="throttled",
        trigger=inngest.TriggerEvent(event="contract/throttled"),
        throttle=inngest.Throttle(limit=1, period=6 * SECOND, burst=1),
    )
    async def throttled(ctx: inngest.Context) -> float:
        started_at = await ctx.step.run("when", _now)
        await ctx.step.run("note", call_log.record, str(ctx.event.data["group"]), _job(ctx))
        return started_at

    return [throttled]


async def _now() -> float:
    return asyncio.get_running_loop().time()


def queued_functions(client: inngest.Inngest, call_log: CallLog) -> list[inngest.Function[Any]]:
    """Functions that allow one run at a time."""

    async def hold(ctx: inngest.Context) -> None:
        async def inside() -> str:
            name = await call_log.record(str(ctx.event.data["group"]), _job(ctx))
            await call_log.gates[_job(ctx)].wait()
            return name

        await ctx.step.run("hold", inside)

    @client.create_function(
        fn_id="ordered",
        trigger=inngest.TriggerEvent(event="contract/ordered"),
        concurrency=[inngest.Concurrency(limit=1)],
        priority=inngest.Priority(run="int(event.data.priority)"),
    )
    async def ordered(ctx: inngest.Context) -> None:
        await hold(ctx)

    @client.create_function(
        fn_id="unordered",
        trigger=inngest.TriggerEvent(event="contract/unordered"),
        concurrency=[inngest.Concurrency(limit=1)],
        priority=inngest.Priority(run="event.data.priority"),
    )
    async def unordered(ctx: inngest.Context) -> None:
        await hold(ctx)

    return [ordered, unordered]


def timed_functions(client: inngest.Inngest, call_log: CallLog) -> list[inngest.Function[Any]]:
    """Functions that are cancelled when they take too long."""

    @client.create_function(
        fn_id="starts-in-time",
        trigger=inngest.TriggerEvent(event="contract/starts-in-time"),
        concurrency=[inngest.Concurrency(limit=1)],
        timeouts=inngest.Timeouts(start=SECOND),
        on_failure=record_failures(call_log),
    )
    async def starts_in_time(ctx: inngest.Context) -> str:
        async def inside() -> str:
            name = await call_log.record(str(ctx.event.data["group"]), _job(ctx))
            await call_log.gates[name].wait()
            return name

        return await ctx.step.run("inside", inside)

    @client.create_function(
        fn_id="ends-in-time",
        trigger=inngest.TriggerEvent(event="contract/ends-in-time"),
        timeouts=inngest.Timeouts(finish=5 * SECOND),
        on_failure=record_failures(call_log),
    )
    async def ends_in_time(ctx: inngest.Context) -> str:
        await ctx.step.run("before", call_log.record, _job(ctx), "before")
        await ctx.step.sleep("long", timedelta(seconds=int(str(ctx.event.data["seconds"]))))
        return await ctx.step.run("after", call_log.record, _job(ctx), "after")

    @client.create_function(fn_id="late", trigger=inngest.TriggerEvent(event="contract/late"))
    async def late(ctx: inngest.Context) -> float:
        return time.time()

    return [starts_in_time, ends_in_time, late]


def cron_functions(client: inngest.Inngest, call_log: CallLog) -> list[inngest.Function[Any]]:
    """A function that runs every minute."""

    @client.create_function(fn_id="by-the-clock", trigger=inngest.TriggerCron(cron="* * * * *"))
    async def by_the_clock(ctx: inngest.Context) -> str:
        cron = str(ctx.event.data["cron"])
        return await ctx.step.run("note", call_log.record, "by-the-clock", f"{ctx.event.name} {cron}")

    return [by_the_clock]
