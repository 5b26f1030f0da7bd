"""Settings that hold runs back, gather them or drop them: the stand-in's promises and the real server's.

The real server takes events that come close together in any order, so no test here counts on theirs.
"""

import time
from typing import Any

import inngest
import pytest
from aiohttp import web

from inngest_functions.serve import serve
from tests.contract.environment import END_STATES, ContractEnvironment, new_job_id, wait_until
from tests.contract.functions import MEBIBYTE


async def test_a_full_batch_is_one_run_of_all_its_events(environment: ContractEnvironment) -> None:
    group, jobs = new_job_id(), [new_job_id() for _ in range(3)]
    run = await _only_run(environment, [await environment.send("batch", group=group, job=name) for name in jobs])
    assert sorted(run["output"].pop("jobs")) == sorted(jobs)
    assert run["output"].pop("first") in jobs
    assert run["output"] == {"noted": "3", "bytes": 4}
    assert environment.book.done[group] == ["3"]


async def test_a_batch_that_does_not_fill_runs_after_its_time(environment: ContractEnvironment) -> None:
    group, other, jobs = new_job_id(), new_job_id(), [new_job_id() for _ in range(3)]
    ids = [await environment.send("batch", group=group, job=name) for name in jobs[:2]]
    alone = await environment.send("batch", group=other, job=jobs[2])
    assert sorted((await _only_run(environment, ids))["output"]["jobs"]) == sorted(jobs[:2])
    assert (await environment.wait_for_run_end(alone))["output"]["jobs"] == jobs[2:]
    assert (environment.book.done[group], environment.book.done[other]) == (["2"], ["1"])


async def test_an_event_that_a_batch_does_not_take_runs_alone(environment: ContractEnvironment) -> None:
    group, alone, gathered = new_job_id(), new_job_id(), new_job_id()
    later = await environment.send("batch", group=group, job=gathered)
    now = await environment.send("batch", group=group, job=alone, alone=True)
    assert (await environment.wait_for_run_end(now))["output"]["jobs"] == [alone]
    assert (await environment.wait_for_run_end(later))["output"]["jobs"] == [gathered]


async def test_a_batch_over_four_mebibytes_is_fetched_from_the_api(environment: ContractEnvironment) -> None:
    environment.book.bodies.clear()
    group, size = new_job_id(), 3 * MEBIBYTE // 2
    ids = [await environment.send("batch", group=group, job=new_job_id(), text="x" * size) for _ in range(3)]
    output = (await _only_run(environment, ids))["output"]
    assert (len(output["jobs"]), output["bytes"]) == (3, size)
    assert max(environment.book.bodies) < 2 * MEBIBYTE


async def test_the_failure_of_a_batch_names_all_its_events(environment: ContractEnvironment) -> None:
    jobs = [new_job_id(), new_job_id()]
    run = await _only_run(environment, [await environment.send("bad-batch", job=name) for name in jobs])
    assert run["status"] == "Failed"

    async def told() -> bool:
        return not environment.book.failures.keys().isdisjoint(jobs)

    await wait_until(told)
    (failure,) = (environment.book.failures[name] for name in jobs if name in environment.book.failures)
    assert sorted(event["data"]["job"] for event in failure["events"]) == sorted(jobs)


async def test_a_throttle_lets_a_burst_in_and_delays_the_rest(environment: ContractEnvironment) -> None:
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
    assert sorted(environment.book.done[group]) == ["0", "1", "2"]


async def test_a_debounce_runs_once_with_the_last_event(environment: ContractEnvironment) -> None:
    group, other = new_job_id(), new_job_id()
    now = int(time.time() * 1000)
    ids = []
    for name, age in (("last", 0), ("early", 1000)):  # the time of an event counts, not when it comes
        event = inngest.Event(name="contract/settled", data={"group": group, "job": name}, ts=now - age)
        ids += await environment.client.send(event)
        await _accepted(environment, ids[-1])
    alone = await environment.send("settled", group=other, job="alone")
    assert (await environment.wait_for_run_end(ids[0]))["output"] == "last"
    assert (await environment.wait_for_run_end(alone))["output"] == "alone"
    assert await environment.runs(ids[1]) == []
    assert environment.book.done[group] == ["last"]


async def test_priority_goes_before_age(environment: ContractEnvironment) -> None:
    order = await _order(environment, "ordered", {"1": 0, "2": -1, "3": 120, "4": 60})
    assert order == ["0", "3", "4", "1", "2"]


async def test_a_number_of_an_event_is_no_priority_until_it_is_made_whole(
    environment: ContractEnvironment,
) -> None:
    # CEL reads JSON's numbers as doubles, and Function.RunPriorityFactor wants an int.
    order = await _order(environment, "unordered", {"1": 0, "2": -3600})
    assert sorted(order) == ["0", "1", "2"]  # else the last would run in an hour


async def test_a_singleton_skips_what_comes_while_it_runs(environment: ContractEnvironment) -> None:
    group, other = new_job_id(), new_job_id()
    first = await _inside(environment, "only-first", group, f"{group}-1")
    skipped = await environment.send("only-first", group=group, job=f"{group}-2")
    await _accepted(environment, skipped)
    environment.book.gates[f"{other}-1"].set()
    await environment.wait_for_run_end(await environment.send("only-first", group=other, job=f"{other}-1"))
    environment.book.gates[f"{group}-1"].set()
    assert (await environment.wait_for_run_end(first))["status"] == "Completed"
    environment.book.gates[f"{group}-3"].set()
    again = await environment.send("only-first", group=group, job=f"{group}-3")
    assert (await environment.wait_for_run_end(again))["status"] == "Completed"
    assert environment.book.done[group] == [f"{group}-1", f"{group}-3"]
    assert await environment.runs(skipped) == []


async def test_a_singleton_can_give_way_to_what_comes(environment: ContractEnvironment) -> None:
    group = new_job_id()
    first = await _inside(environment, "only-last", group, f"{group}-1")
    environment.book.gates[f"{group}-2"].set()
    second = await environment.send("only-last", group=group, job=f"{group}-2")
    assert (await environment.wait_for_run_end(second))["status"] == "Completed"
    assert (await environment.wait_for_run_end(first))["status"] == "Cancelled"
    environment.book.gates[f"{group}-1"].set()


async def test_a_run_that_does_not_start_in_time_is_cancelled(environment: ContractEnvironment) -> None:
    group, waits = new_job_id(), new_job_id()
    first = await _inside(environment, "starts-in-time", group, group)
    second = await environment.send("starts-in-time", group=group, job=waits)
    assert (await environment.wait_for_run_end(second))["status"] == "Cancelled"
    environment.book.gates[group].set()
    assert (await environment.wait_for_run_end(first))["status"] == "Completed"
    assert environment.book.done[waits] == []
    assert waits not in environment.book.failures


async def test_a_run_that_does_not_end_in_time_is_cancelled(environment: ContractEnvironment) -> None:
    late, quick = new_job_id(), new_job_id()
    ids = [await environment.send("ends-in-time", job=name, seconds=n) for name, n in ((late, 60), (quick, 0))]
    assert (await environment.wait_for_run_end(ids[0]))["status"] == "Cancelled"
    assert (await environment.wait_for_run_end(ids[1]))["status"] == "Completed"
    assert (environment.book.done[late], environment.book.done[quick]) == (["before"], ["before", "after"])
    assert late not in environment.book.failures


async def test_a_rate_limit_drops_what_is_too_much(environment: ContractEnvironment) -> None:
    group, other = new_job_id(), new_job_id()
    first = await environment.send("rarely", group=group, job="first")
    assert (await environment.wait_for_run_end(first))["output"] == "first"
    second = await environment.send("rarely", group=group, job="second")
    assert (await environment.wait_for_run_end(await environment.send("rarely", group=other, job="other's")))[
        "output"
    ] == "other's"
    assert await environment.runs(second) == []
    assert environment.book.done[group] == ["first"]


async def test_an_event_of_later_runs_later(environment: ContractEnvironment) -> None:
    this, now = new_job_id(), time.time()
    event = inngest.Event(name="contract/late", data={"job": this}, ts=int((now + 1) * 1000))
    (event_id,) = await environment.client.send(event)
    begun = (await environment.wait_for_run_end(event_id))["output"]
    assert begun - now > 0.9 / environment.speed


@pytest.mark.parametrize(
    "settings", [{"cancel": [inngest.Cancel(event="x")]}, {"priority": inngest.Priority(run="1")}]
)
async def test_settings_that_exclude_each_other_are_refused(
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
            # The SDK forms a failure and then answers the body with 200 (Syncer._parse_out_of_band_response).
            assert response.status == 200
            assert (await response.json()) == {
                "error": "At least one function is invalid",
                "data": None,
                "status": 400,
            }
    finally:
        await runner.cleanup()


async def test_a_cron_runs_by_the_clock(environment: ContractEnvironment) -> None:
    if environment.speed != 1:
        pytest.skip("takes up to a minute; tests/unit has the stand-in's")

    async def ticked() -> bool:
        return environment.book.done["by-the-clock"] == ["inngest/scheduled.timer * * * * *"]

    await wait_until(ticked, seconds=70)


async def _accepted(environment: ContractEnvironment, event_id: str) -> None:
    """Wait until the server has gone through an event: one sent after it has run."""
    assert event_id
    await environment.wait_for_run_end(await environment.send("hello", job=new_job_id()))


async def _inside(environment: ContractEnvironment, function: str, group: str, name: str) -> str:
    """Send an event, and wait until its run is in its step, where the job's gate holds it."""
    event_id = await environment.send(function, group=group, job=name)

    async def inside() -> bool:
        return name in environment.book.done[group]

    await wait_until(inside)
    return event_id


async def _order(environment: ContractEnvironment, function: str, priorities: dict[str, int]) -> list[str]:
    """In which order runs begin that all have waited behind run "0"."""
    group = new_job_id()
    ids = [await environment.send(function, group=group, job=f"{group}-0", priority=0)]

    async def busy() -> bool:
        return bool(environment.book.done[group])

    await wait_until(busy)
    for number, priority in priorities.items():
        environment.book.gates[f"{group}-{number}"].set()
        ids.append(await environment.send(function, group=group, job=f"{group}-{number}", priority=priority))

    async def scheduled() -> bool:
        return all([await environment.runs(event_id) for event_id in ids])

    await wait_until(scheduled)
    environment.book.gates[f"{group}-0"].set()
    for event_id in ids:
        assert (await environment.wait_for_run_end(event_id))["status"] == "Completed"
    return [name.rpartition("-")[2] for name in environment.book.done[group]]


async def _only_run(environment: ContractEnvironment, ids: list[str]) -> dict[str, Any]:
    """The one run of several events, once it is over; the servers show it with one of them."""
    found: list[dict[str, Any]] = []

    async def over() -> bool:
        found[:] = [run for event_id in ids for run in await environment.runs(event_id)]
        return bool(found) and all(run["status"] in END_STATES for run in found)

    await wait_until(over)
    (run,) = found
    return run
