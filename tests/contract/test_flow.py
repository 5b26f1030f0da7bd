"""Settings that delay or cancel runs, with the stand-in and with the real server.

The real server handles events that arrive close together in any order, so no test relies on it.
"""

import asyncio
import time
from typing import Any

import inngest
import pytest
from aiohttp import web

from inngest_functions.serve import serve
from tests.contract.environment import ContractEnvironment, new_job_id, wait_until


async def test_throttle_admits_a_burst_and_delays_the_rest(environment: ContractEnvironment) -> None:
    group = new_job_id()
    sends = [environment.send("throttled", group=group, job=f"{number}") for number in range(3)]
    ids = await asyncio.gather(*sends)
    first, second, third = sorted(
        [(await environment.wait_for_run_end(event_id))["output"] * environment.speed for event_id in ids]
    )
    # One in six seconds and a burst of one: two at once, then one every six seconds.
    assert second - first < 5 < third - first
    assert sorted(environment.call_log.done[group]) == ["0", "1", "2"]


async def test_run_of_higher_priority_goes_before_older_ones(environment: ContractEnvironment) -> None:
    order = await _order(environment, "ordered", {"1": 0, "2": -1, "3": 120, "4": 60})
    assert order == ["0", "3", "4", "1", "2"]


async def test_priority_from_an_event_number_needs_int(
    environment: ContractEnvironment,
) -> None:
    # CEL reads JSON's numbers as doubles, and Function.RunPriorityFactor wants an int.
    order = await _order(environment, "unordered", {"1": 0, "2": -3600})
    assert sorted(order) == ["0", "1", "2"]  # otherwise the last one would run in an hour


async def test_run_that_does_not_start_in_time_is_cancelled(environment: ContractEnvironment) -> None:
    group, waits = new_job_id(), new_job_id()
    first = await _inside(environment, "starts-in-time", group, group)
    second = await environment.send("starts-in-time", group=group, job=waits)
    assert (await environment.wait_for_run_end(second))["status"] == "Cancelled"
    environment.call_log.gates[group].set()
    assert (await environment.wait_for_run_end(first))["status"] == "Completed"
    assert environment.call_log.done[waits] == []
    assert waits not in environment.call_log.failures


async def test_run_that_does_not_end_in_time_is_cancelled(environment: ContractEnvironment) -> None:
    late, quick = new_job_id(), new_job_id()
    ids = [await environment.send("ends-in-time", job=name, seconds=n) for name, n in ((late, 60), (quick, 0))]
    assert (await environment.wait_for_run_end(ids[0]))["status"] == "Cancelled"
    assert (await environment.wait_for_run_end(ids[1]))["status"] == "Completed"
    assert (environment.call_log.done[late], environment.call_log.done[quick]) == (["before"], ["before", "after"])
    assert late not in environment.call_log.failures


async def test_event_with_a_future_time_runs_then(environment: ContractEnvironment) -> None:
    job_id, now = new_job_id(), time.time()
    event = inngest.Event(name="contract/late", data={"job": job_id}, ts=int((now + 1) * 1000))
    (event_id,) = await environment.client.send(event)
    started_at = (await environment.wait_for_run_end(event_id))["output"]
    assert started_at - now > 0.9 / environment.speed


@pytest.mark.parametrize(
    "settings", [{"cancel": [inngest.Cancel(event="x")] * 6}, {"concurrency": [inngest.Concurrency(limit=1)] * 3}]
)
async def test_settings_over_the_limits_are_refused(
    environment: ContractEnvironment, settings: dict[str, Any]
) -> None:
    client = inngest.Inngest(app_id=new_job_id(), api_base_url=environment.server, is_production=False)

    @client.create_function(fn_id="torn", trigger=inngest.TriggerEvent(event="torn"), **settings)
    async def torn(ctx: inngest.Context) -> None:
        return None

    app = web.Application()
    serve(app, client, [torn])
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/api/inngest"
        async with environment.session.put(url) as response:
            # The SDK builds a failure and then returns its body with 200 (Syncer._parse_out_of_band_response).
            assert response.status == 200
            assert (await response.json()) == {
                "error": "At least one function is invalid",
                "data": None,
                "status": 400,
            }
    finally:
        await runner.cleanup()


async def test_cron_runs_at_the_next_minute(environment: ContractEnvironment) -> None:
    if environment.speed != 1:
        pytest.skip("takes up to a minute; tests/unit has the stand-in's")

    async def ticked() -> bool:
        return environment.call_log.done["by-the-clock"] == ["inngest/scheduled.timer * * * * *"]

    await wait_until(ticked, seconds=70)


async def _inside(environment: ContractEnvironment, function: str, group: str, name: str) -> str:
    """Send an event, and wait until its run is in its step, where the job's gate stops it."""
    event_id = await environment.send(function, group=group, job=name)

    async def inside() -> bool:
        return name in environment.call_log.done[group]

    await wait_until(inside)
    return event_id


async def _order(environment: ContractEnvironment, function: str, priorities: dict[str, int]) -> list[str]:
    """Return the order in which runs start that have all waited for run "0"."""
    group = new_job_id()
    ids = [await environment.send(function, group=group, job=f"{group}-0", priority=0)]

    async def busy() -> bool:
        return bool(environment.call_log.done[group])

    await wait_until(busy)
    for number, priority in priorities.items():
        environment.call_log.gates[f"{group}-{number}"].set()
        ids.append(await environment.send(function, group=group, job=f"{group}-{number}", priority=priority))

    async def scheduled() -> bool:
        return all([await environment.runs(event_id) for event_id in ids])

    await wait_until(scheduled)
    environment.call_log.gates[f"{group}-0"].set()
    for event_id in ids:
        assert (await environment.wait_for_run_end(event_id))["status"] == "Completed"
    return [name.rpartition("-")[2] for name in environment.call_log.done[group]]
