"""The bot connected to Inngest's gateway: Inngest calls none of its ports, and gateway restarts lose nothing."""

import aiohttp
import pytest

from sandbox.inngest.clock import Clock
from sandbox.inngest.server import InngestServer
from storage.money.ledger import Balance, check_ledger, get_balance
from tests.support.environments.environment import Environment, wait_until
from tests.support.processes.database_breakpoint import set_breakpoint


@pytest.fixture
async def environment(environment: Environment) -> Environment:
    """Bots connect, with leases long enough that Plan B does not take over between two connections of a run."""
    await environment.inngest.close()
    environment.inngest = InngestServer(clock=Clock(retry_delays=(0.2, 0.5), lease_seconds=3.0))
    await environment.inngest.start()
    environment.settings |= {
        "INNGEST_BASE_URL": environment.inngest.url,
        "INNGEST_TRANSPORT": "connect",
        "JOB_LEASE_SECONDS": "20",
    }
    return environment


async def assert_ended_once(environment: Environment) -> set[str]:
    """Wait until the one order has succeeded. Returns the plans that ran its steps."""
    ann = environment.user()
    (job,) = await environment.wait_for_ended_jobs()
    assert job["state"] == "succeeded"
    await ann.wait_for_text("Done · 1 ⭐")
    assert len(await ann.photo_messages()) == 1, "delivered once"
    assert environment.replicate.creation_attempts == 1, "the provider was asked once"
    assert await get_balance(environment.db, ann.id) == Balance(99, 0), "charged once"
    assert (await check_ledger(environment.db)).is_consistent
    return {row["plan"] for row in await environment.db.fetch("SELECT plan FROM journal")}


async def test_order_during_gateway_restarts_runs_on_plan_a(environment: Environment) -> None:
    bot = await environment.start_bot()
    ann = environment.user()
    await ann.open_order_card()
    for step in ("step start-1", "step deliver"):
        async with set_breakpoint(environment.db, step) as db_breakpoint:
            if step == "step start-1":
                await ann.tap("Create")
            await db_breakpoint.wait_until_reached()
            await environment.inngest.close_gateway_port()
        await environment.inngest.open_gateway_port()
    assert await assert_ended_once(environment) == {"A"}
    assert "plan=A state=succeeded" in bot.log_tail()


async def test_connect_transport_serves_no_http_endpoint(environment: Environment) -> None:
    bot = await environment.start_bot()
    assert environment.inngest.engine.apps["diptych"].url.startswith("ws://connect")
    async with aiohttp.ClientSession(bot.url) as session:
        for method in ("GET", "POST", "PUT"):
            async with session.request(method, "/api/inngest") as response:
                assert response.status == 404


async def test_order_during_a_gateway_outage_is_taken_over(environment: Environment) -> None:
    bot = await environment.start_bot(JOB_LEASE_SECONDS="1")
    ann = environment.user()
    await ann.open_order_card()
    async with set_breakpoint(environment.db, "step start-1") as db_breakpoint:
        await ann.tap("Create")
        await db_breakpoint.wait_until_reached()
        await environment.inngest.close_gateway_port()
    assert await assert_ended_once(environment) == {"A", "B"}

    async def uses_plan_b() -> bool:
        return bool((await environment.health(bot))["plan"]["text_to_image"] == "B")

    await wait_until(uses_plan_b, what="new orders go to plan B")
    await environment.inngest.open_gateway_port()
    await environment.wait_for_plan_a(bot)
    await assert_ended_once(environment)


@pytest.mark.parametrize("end", ["terminated", "terminated during an unfinished step", "killed"])
async def test_order_continues_in_the_next_process(environment: Environment, end: str) -> None:
    bot = await environment.start_bot()
    ann = environment.user()
    await ann.open_order_card()
    async with set_breakpoint(environment.db, "step pause-1") as db_breakpoint:
        await ann.tap("Create")
        await db_breakpoint.wait_until_reached()
        if end == "killed":
            await bot.kill()
        elif end != "terminated":
            assert await bot.terminate() == 0
    if end == "terminated":
        assert await bot.terminate() == 0
    await bot.start()
    assert await assert_ended_once(environment) == {"A"}
