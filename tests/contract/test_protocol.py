"""What an Inngest server does with functions served by our adapter: the stand-in's promises, and the real
server's where INNGEST_DEV_URL or INNGEST_CLI names one."""

from tests.contract.environment import World, job, until
from tests.contract.functions import MEBIBYTE


async def test_steps_run_once_each_and_the_result_is_kept(world: World) -> None:
    this = job()
    run = await world.ended(await world.send("hello", job=this))
    assert run["status"] == "Completed"
    assert run["output"] == {"message": "Hello, Ada! 👋", "eventData": {"job": this}}
    assert world.book.done[this] == ["log", "Hello, Ada! 👋", "prepare", "completion"]


async def test_a_step_that_fails_is_tried_again_then_on_failure_runs(world: World) -> None:
    this = job()
    run = await world.ended(await world.send("flaky", job=this))
    assert run["status"] == "Failed"
    assert run["output"]["message"] == "always"
    assert world.book.done[this] == ["try", "try"]

    async def told() -> bool:
        return this in world.book.failures

    await until(told)
    failure = world.book.failures[this]
    assert failure["function_id"] == f"{world.client.app_id}-flaky"
    assert failure["run_id"] == run["run_id"]
    assert failure["error"]["name"] == "ValueError"
    assert failure["error"]["message"] == "always"
    assert failure["event"]["name"] == "contract/flaky"


async def test_an_error_that_may_not_be_retried_is_not(world: World) -> None:
    this = job()
    run = await world.ended(await world.send("hopeless", job=this))
    assert run["status"] == "Failed"
    assert world.book.done[this] == ["try"]

    async def told() -> bool:
        return this in world.book.failures

    await until(told)
    assert world.book.failures[this]["error"]["message"] == "no use"


async def test_retry_after_is_obeyed_and_the_attempt_is_counted(world: World) -> None:
    this = job()
    run = await world.ended(await world.send("later", job=this))
    assert run["status"] == "Completed"
    assert run["output"] == 1
    assert world.book.done[this] == ["try", "try"]


async def test_a_caught_step_error_lets_the_function_go_on(world: World) -> None:
    this = job()
    run = await world.ended(await world.send("caught", job=this))
    assert (run["status"], run["output"]) == ("Completed", "caught in time")
    assert world.book.done[this] == ["try", "caught in time"]


async def test_sleep(world: World) -> None:
    this = job()
    run = await world.ended(await world.send("nap", job=this))
    assert (run["status"], run["output"]) == ("Completed", "after")
    assert world.book.done[this] == ["before", "after"]


async def test_wait_for_event_is_fulfilled_by_the_matching_event_alone(world: World) -> None:
    this = job()
    event_id = await world.send("wait", job=this, seconds=20)

    async def waits() -> bool:
        return world.book.done[this] == ["asked"]

    await until(waits)

    async def answered() -> bool:
        # The wait may be registered a moment after its step: ask until it is heard.
        await world.send("answer", job=job(), text="for another")
        await world.send("answer", job=this, text="yes")
        return [run["status"] for run in await world.runs(event_id)] == ["Completed"]

    await until(answered)
    assert (await world.ended(event_id))["output"] == "yes"


async def test_wait_for_event_times_out_with_nothing(world: World) -> None:
    run = await world.ended(await world.send("wait", job=job(), seconds=1))
    assert run["status"] == "Completed"
    assert run.get("output") is None


async def test_parallel_steps_run_once_each_before_the_next(world: World) -> None:
    this = job()
    run = await world.ended(await world.send("parallel", job=this))
    assert run["output"] == ["a", "b", "c", "last"]
    assert sorted(world.book.done[this][:3]) == ["a", "b", "c"]
    assert world.book.done[this][3:] == ["last"]


async def test_invoke_gives_the_result_or_the_error_of_the_other_function(world: World) -> None:
    run = await world.ended(await world.send("parent", job=job()))
    assert run["output"] == {"good": {"got": 7}, "bad": "a bad child"}


async def test_a_cancel_event_ends_the_run_with_its_job_only(world: World) -> None:
    this, other = job(), job()
    ids = [await world.send("cancellable", job=name) for name in (this, other)]

    async def sleeping() -> bool:
        return world.book.done[this] == world.book.done[other] == ["before"]

    await until(sleeping)
    await world.send("cancel", job=this)
    run = await world.ended(ids[0])
    assert run["status"] == "Cancelled"
    assert (await world.runs(ids[1]))[0]["status"] == "Running"
    await world.send("cancel", job=other)
    assert (await world.ended(ids[1]))["status"] == "Cancelled"
    assert world.book.done[this] == ["before"]
    assert this not in world.book.failures


async def test_an_event_id_sent_twice_starts_one_run(world: World) -> None:
    this = job()
    first = await world.send("hello", event_id=this, job=this)
    await world.ended(first)
    again = await world.send("hello", event_id=this, job=this)
    marker = job()
    await world.ended(await world.send("hello", job=marker))
    assert again != first
    assert await world.runs(again) == []
    assert len(world.book.done[this]) == 4


async def test_an_idempotency_key_seen_before_starts_no_run(world: World) -> None:
    this = job()
    run = await world.ended(await world.send("once", job=this))
    assert run["status"] == "Completed"
    again = await world.send("once", job=this)
    await world.ended(await world.send("once", job=job()))
    assert await world.runs(again) == []
    assert world.book.done[this] == ["only"]


async def test_a_concurrency_key_holds_back_the_same_person_only(world: World) -> None:
    ann, ben = job(), job()
    ids = [await world.send("crowd", user=user) for user in (ann, ben, ann, ben, ann)]
    for event_id in ids:
        assert (await world.ended(event_id))["status"] == "Completed"
    assert world.book.most[ann] == 1
    assert world.book.most[ben] == 1


async def test_a_body_of_almost_four_mebibytes_passes(world: World) -> None:
    # The server sends the event twice in a request, and changes to its API over 4 MiB.
    world.book.bodies.clear()
    size = 2 * MEBIBYTE - 8192
    run = await world.ended(await world.send("big", job=job(), step_bytes=10, text="x" * size))
    assert run["output"] == {"event": size, "events": 1, "step": 10}
    assert 3.9 * MEBIBYTE < max(world.book.bodies) <= 4 * MEBIBYTE


async def test_over_four_mebibytes_the_sdk_fetches_events_and_steps_itself(world: World) -> None:
    world.book.bodies.clear()
    size = 5 * MEBIBYTE // 2
    run = await world.ended(await world.send("big", job=job(), step_bytes=2 * MEBIBYTE, text="x" * size))
    assert run["output"] == {"event": size, "events": 1, "step": 2 * MEBIBYTE}
    assert max(world.book.bodies) < 3 * MEBIBYTE


async def test_an_app_killed_in_the_middle_goes_on_where_it_was(world: World) -> None:
    this = job()
    event_id = await world.send("restarted", job=this)

    async def held() -> bool:
        return world.book.done[this] == ["first", "second"]

    await until(held)
    await world.kill_app()
    world.book.gates[this].set()
    await world.start_app()
    run = await world.ended(event_id)
    assert (run["status"], run["output"]) == ("Completed", "third")
    # The step that was cut off is done again, the one before it is not.
    assert world.book.done[this] == ["first", "second", "second", "third"]


async def test_the_server_knows_every_function_of_the_app(world: World) -> None:
    async with world.session.get(f"{world.server}/dev") as response:
        known = {function["slug"] for function in (await response.json(content_type=None))["functions"]}
    assert {f"{world.client.app_id}-{name}" for name in ("hello", "flaky", "flaky-failure", "crowd")} <= known


async def test_refused_events(world: World) -> None:
    for body, words in (
        (b'{"data": {}}', "event name is empty"),
        (b'{"name": "inngest/x"}', "event name is reserved for internal use: inngest/x"),
        (b'"text"', "Request body must contain an event object or an array of event objects"),
    ):
        headers = {"content-type": "application/json"}
        async with world.session.post(f"{world.server}/e/key", data=body, headers=headers) as response:
            answer = await response.json(content_type=None)
        assert (response.status, answer["status"], answer["error"]) == (400, 400, words)


async def test_a_list_of_events_gets_an_id_each(world: World) -> None:
    jobs = [job(), job()]
    events = [{"name": "contract/hello", "data": {"job": name}} for name in jobs]
    async with world.session.post(f"{world.server}/e/key", json=events) as response:
        answer = await response.json(content_type=None)
    assert answer["status"] == 200
    for event_id, name in zip(answer["ids"], jobs, strict=True):
        assert (await world.ended(event_id))["output"]["eventData"] == {"job": name}
