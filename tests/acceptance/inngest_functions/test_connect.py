"""The bot connected to Inngest's gateway: no port of it is called, and a gateway that restarts loses nothing."""

import aiohttp
import pytest

from sandbox.inngest.engine.execution import Pace
from sandbox.inngest.server import InngestStand
from storage.money.ledger import Balance, check_ledger, get_balance
from tests.support.environments.environment import Stage, until
from tests.support.processes.database_breakpoint import breakpoint_at


@pytest.fixture
async def stage(stage: Stage) -> Stage:
    """Bots connect, and hold leases so long that Plan B does not come between a run's two connections."""
    await stage.inngest.close()
    stage.inngest = InngestStand(pace=Pace(retry_delays=(0.2, 0.5), lease=3.0))
    await stage.inngest.start()
    stage.settings |= {
        "INNGEST_BASE_URL": stage.inngest.url,
        "INNGEST_TRANSPORT": "connect",
        "JOB_LEASE_SECONDS": "20",
    }
    return stage


async def ended_once(stage: Stage) -> set[str]:
    """Wait for the one order's good end. Gives the plans that did its steps."""
    ann = stage.person()
    (job,) = await stage.ended_jobs()
    assert job["state"] == "succeeded"
    await ann.sees("Done · 1 ⭐")
    assert len(await ann.photos()) == 1, "delivered once"
    assert stage.replicate.asked == 1, "the provider was asked once"
    assert await get_balance(stage.db, ann.id) == Balance(99, 0), "charged once"
    assert (await check_ledger(stage.db)).right
    return {row["plan"] for row in await stage.db.fetch("SELECT plan FROM journal")}


async def test_an_order_runs_on_plan_a_while_the_gateway_is_restarted(stage: Stage) -> None:
    bot = await stage.start_bot()
    ann = stage.person()
    await ann.open_card()
    for place in ("step start-1", "step deliver"):
        async with breakpoint_at(stage.db, place) as stopped:
            if place == "step start-1":
                await ann.tap("Create")
            await stopped.reached()
            await stage.inngest.unplug_gateway()
        await stage.inngest.plug_gateway()
    assert await ended_once(stage) == {"A"}
    assert "on plan A ended: succeeded" in bot.tail()


async def test_nothing_of_the_bot_is_called(stage: Stage) -> None:
    bot = await stage.start_bot()
    assert stage.inngest.engine.apps["diptych"].url.startswith("ws://connect")
    async with aiohttp.ClientSession(bot.url) as session:
        for method in ("GET", "POST", "PUT"):
            async with session.request(method, "/api/inngest") as response:
                assert response.status == 404


async def test_an_order_is_taken_over_while_the_gateway_stays_away(stage: Stage) -> None:
    bot = await stage.start_bot(JOB_LEASE_SECONDS="1")
    ann = stage.person()
    await ann.open_card()
    async with breakpoint_at(stage.db, "step start-1") as stopped:
        await ann.tap("Create")
        await stopped.reached()
        await stage.inngest.unplug_gateway()
    assert await ended_once(stage) == {"A", "B"}

    async def away() -> bool:
        return bool((await stage.health(bot))["plan"]["text_to_image"] == "B")

    await until(away, what="new orders go to plan B")
    await stage.inngest.plug_gateway()
    await stage.plan_a_is_open(bot)
    await ended_once(stage)


@pytest.mark.parametrize("end", ["told to stop", "told to stop in a step that does not end", "killed"])
async def test_an_order_goes_on_in_the_next_process(stage: Stage, end: str) -> None:
    bot = await stage.start_bot()
    ann = stage.person()
    await ann.open_card()
    async with breakpoint_at(stage.db, "step pause-1") as stopped:
        await ann.tap("Create")
        await stopped.reached()
        if end == "killed":
            await bot.kill()
        elif end != "told to stop":
            assert await bot.terminate() == 0
    if end == "told to stop":
        assert await bot.terminate() == 0
    await bot.start()
    assert await ended_once(stage) == {"A"}
