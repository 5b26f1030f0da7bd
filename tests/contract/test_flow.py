"""Settings that delay, batch or drop events, with the stand-in and with the real server.

The real server handles events that arrive close together in any order, so no test relies on it.
"""

import asyncio
import time
from typing import Any

import inngest
import pytest
from aiohttp import web

from inngest_functions.serve import serve
from tests.contract.environment import END_STATES, ContractEnvironment, new_job_id, wait_until
from tests.contract.functions import MEBIBYTE


async def test_full_batch_is_one_run_of_all_its_events(environment: ContractEnvironment) -> None:
    group, jobs = new_job_id(), [new_job_id() for _ in range(3)]
    ids = await asyncio.gather(*(environment.send("batch", group=group, job=name) for name in jobs))
    run = await _only_run(environment, ids)
    assert sorted(run["output"].pop("jobs")) == sorted(jobs)
    assert run["output"].pop("first") in jobs
    assert run["output"] == {"noted": "3", "bytes": 4}
    assert environment.call_log.done[group] == ["3"]


async def test_incomplete_batch_runs_after_its_timeout(environment: ContractEnvironment) -> None:
    group, other, jobs = new_job_id(), new_job_id(), [new_job_id() for _ in range(3)]
    ids = await asyncio.gather(*(environment.send("batch", group=group, job=name) for name in jobs[:2]))
    alone = await environment.send("batch", group=other, job=jobs[2])
    assert sorted((await _only_run(environment, ids))["output"]["jobs"]) == sorted(jobs[:2])
    assert (await environment.wait_for_run_end(alone))["output"]["jobs"] == jobs[2:]
    assert (environment.call_log.done[group], environment.call_log.done[other]) == (["2"], ["1"])


async def test_event_excluded_from_batching_runs_alone(environment: ContractEnvironment) -> None:
    group, alone, gathered = new_job_id(), new_job_id(), new_job_id()
    later = await environment.send("batch", group=group, job=gathered)
    now = await environment.send("batch", group=group, job=alone, alone=True)
    assert (await environment.wait_for_run_end(now))["output"]["jobs"] == [alone]
    assert (await environment.wait_for_run_end(later))["output"]["jobs"] == [gathered]


async def test_batch_over_four_mebibytes_is_fetched_from_the_api(environment: ContractEnvironment) -> None:
    environment.call_log.bodies.clear()
    group, size = new_job_id(), 3 * MEBIBYTE // 2
    ids = await asyncio.gather(
        *(environment.send("batch", group=group, job=new_job_id(), text="x" * size) for _ in range(3))
    )
    output = (await _only_run(environment, ids))["output"]
    assert (len(output["jobs"]), output["bytes"]) == (3, size)
    assert max(environment.call_log.bodies) < 2 * MEBIBYTE


async def test_failure_of_a_batch_lists_all_its_events(environment: ContractEnvironment) -> None:
    jobs = [new_job_id(), new_job_id()]
    run = await _only_run(environment, [await environment.send("bad-batch", job=name) for name in jobs])
    assert run["status"] == "Failed"

    async def failure_is_recorded() -> bool:
        return not environment.call_log.failures.keys().isdisjoint(jobs)

    await wait_until(failure_is_recorded)
    (failure,) = (environment.call_log.failures[name] for name in jobs if name in environment.call_log.failures)
    assert sorted(event["data"]["job"] for event in failure["events"]) == sorted(jobs)


async def test_throttle_admits_a_burst_and_delays_the_rest(environment: ContractEnvironment) -> None:
    group, other = new_job_id(), new_job_id()
    ids = [await environment.send("throttled", group=group, job=f"{number}") for number in range(3)]
    ids.append(await environment.send("throttled", group=other, job="another's"))
    *ours, another = [
        (await environment.wait_for_run_end(event_id))["output"] * environment.speed for event_id in ids
    ]
    first, second, third = sorted(ours)
    # One in two seconds and a burst of one: two at once, then one every two seconds.
    assert second - first < 1.5 < third - first
    assert another < third
    assert sorted(environment.call_log.done[group]) == ["0", "1", "2"]


async def test_debounce_runs_once_with_the_last_event(environment: ContractEnvironment) -> None:
    group, other = new_job_id(), new_job_id()
    now = int(time.time() * 1000)
    ids = []
    for name, age in (("last", 0), ("early", 1000)):  # the time of an event counts, not when it arrives
        event = inngest.Event(name="contract/settled", data={"group": group, "job": name}, ts=now - age)
        ids += await environment.client.send(event)
        await _accepted(environment, ids[-1])
    alone = await environment.send("settled", group=other, job="alone")
    assert (await environment.wait_for_run_end(ids[0]))["output"] == "last"
    assert (await environment.wait_for_run_end(alone))["output"] == "alone"
    assert await environment.runs(ids[1]) == []
    assert environment.call_log.done[group] == ["last"]


async def test_run_of_higher_priority_goes_before_older_ones(environment: ContractEnvironment) -> None:
    order = await _order(environment, "ordered", {"1": 0, "2": -1, "3": 120, "4": 60})
    assert order == ["0", "3", "4", "1", "2"]


async def test_priority_from_an_event_number_needs_int(
    environment: ContractEnvironment,
) -> None:
    # CEL reads JSON's numbers as doubles, and Function.RunPriorityFactor wants an int.
    order = await _order(environment, "unordered", {"1": 0, "2": -3600})
    assert sorted(order) == ["0", "1", "2"]  # otherwise the last one would run in an hour


async def test_singleton_skips_events_while_it_runs(environment: ContractEnvironment) -> None:
    group, other = new_job_id(), new_job_id()
    first = await _inside(environment, "only-first", group, f"{group}-1")
    skipped = await environment.send("only-first", group=group, job=f"{group}-2")
    await _accepted(environment, skipped)
    environment.call_log.gates[f"{other}-1"].set()
    await environment.wait_for_run_end(await environment.send("only-first", group=other, job=f"{other}-1"))
    environment.call_log.gates[f"{group}-1"].set()
    assert (await environment.wait_for_run_end(first))["status"] == "Completed"
    environment.call_log.gates[f"{group}-3"].set()
    again = await environment.send("only-first", group=group, job=f"{group}-3")
    assert (await environment.wait_for_run_end(again))["status"] == "Completed"
    assert environment.call_log.done[group] == [f"{group}-1", f"{group}-3"]
    assert await environment.runs(skipped) == []


async def test_singleton_in_cancel_mode_is_replaced_by_a_new_run(environment: ContractEnvironment) -> None:
    group = new_job_id()
    first = await _inside(environment, "only-last", group, f"{group}-1")
    environment.call_log.gates[f"{group}-2"].set()
    second = await environment.send("only-last", group=group, job=f"{group}-2")
    assert (await environment.wait_for_run_end(second))["status"] == "Completed"
    assert (await environment.wait_for_run_end(first))["status"] == "Cancelled"
    environment.call_log.gates[f"{group}-1"].set()


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


async def test_rate_limit_drops_excess_events(environment: ContractEnvironment) -> None:
    group, other = new_job_id(), new_job_id()
    first = await environment.send("rarely", group=group, job="first")
    assert (await environment.wait_for_run_end(first))["output"] == "first"
    second = await environment.send("rarely", group=group, job="second")
    assert (await environment.wait_for_run_end(await environment.send("rarely", group=other, job="other's")))[
        "output"
    ] == "other's"
    assert await environment.runs(second) == []
    assert environment.call_log.done[group] == ["first"]


async def test_event_with_a_future_time_runs_then(environment: ContractEnvironment) -> None:
    job_id, now = new_job_id(), time.time()
    event = inngest.Event(name="contract/late", data={"job": job_id}, ts=int((now + 1) * 1000))
    (event_id,) = await environment.client.send(event)
    started_at = (await environment.wait_for_run_end(event_id))["output"]
    assert started_at - now > 0.9 / environment.speed


@pytest.mark.parametrize(
    "settings", [{"cancel": [inngest.Cancel(event="x")]}, {"priority": inngest.Priority(run="1")}]
)
async def test_incompatible_settings_are_refused(
    environment: ContractEnvironment, settings: dict[str, Any]
) -> None:
    client = inngest.Inngest(app_id=new_job_id(), api_base_url=environment.server, is_production=False)
    batch = inngest.Batch(max_size=2, timeout=1000)

    @client.create_function(
        fn_id="torn", trigger=inngest.TriggerEvent(event="torn"), batch_events=batch, **settings
    )
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


async def _accepted(environment: ContractEnvironment, event_id: str) -> None:
    """Wait until the server has handled an event: another one, sent after it, has run."""
    assert event_id
    await environment.wait_for_run_end(await environment.send("hello", job=new_job_id()))


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


async def _only_run(environment: ContractEnvironment, ids: list[str]) -> dict[str, Any]:
    """Return the one run of several events once it has ended; the servers list it with one of them."""
    found: list[dict[str, Any]] = []

    async def over() -> bool:
        found[:] = [run for event_id in ids for run in await environment.runs(event_id)]
        return bool(found) and all(run["status"] in END_STATES for run in found)

    await wait_until(over)
    (run,) = found
    return run
