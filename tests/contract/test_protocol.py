"""What an Inngest server does with functions served by our adapter: the stand-in's promises, and the real
server's where INNGEST_DEV_URL or INNGEST_CLI names one."""

from tests.contract.environment import ContractEnvironment, new_job_id, wait_until
from tests.contract.functions import MEBIBYTE


async def test_steps_run_once_each_and_the_result_is_kept(environment: ContractEnvironment) -> None:
    this = new_job_id()
    run = await environment.wait_for_run_end(await environment.send("hello", job=this))
    assert run["status"] == "Completed"
    assert run["output"] == {"message": "Hello, Ada! 👋", "eventData": {"job": this}}
    assert environment.book.done[this] == ["log", "Hello, Ada! 👋", "prepare", "completion"]


async def test_a_step_that_fails_is_tried_again_then_on_failure_runs(environment: ContractEnvironment) -> None:
    this = new_job_id()
    run = await environment.wait_for_run_end(await environment.send("flaky", job=this))
    assert run["status"] == "Failed"
    assert run["output"]["message"] == "always"
    assert environment.book.done[this] == ["try", "try"]

    async def told() -> bool:
        return this in environment.book.failures

    await wait_until(told)
    failure = environment.book.failures[this]
    assert failure["function_id"] == f"{environment.client.app_id}-flaky"
    assert failure["run_id"] == run["run_id"]
    assert failure["error"]["name"] == "ValueError"
    assert failure["error"]["message"] == "always"
    assert failure["event"]["name"] == "contract/flaky"


async def test_an_error_that_may_not_be_retried_is_not(environment: ContractEnvironment) -> None:
    this = new_job_id()
    run = await environment.wait_for_run_end(await environment.send("hopeless", job=this))
    assert run["status"] == "Failed"
    assert environment.book.done[this] == ["try"]

    async def told() -> bool:
        return this in environment.book.failures

    await wait_until(told)
    assert environment.book.failures[this]["error"]["message"] == "no use"


async def test_retry_after_is_obeyed_and_the_attempt_is_counted(environment: ContractEnvironment) -> None:
    this = new_job_id()
    run = await environment.wait_for_run_end(await environment.send("later", job=this))
    assert run["status"] == "Completed"
    assert run["output"] == 1
    assert environment.book.done[this] == ["try", "try"]


async def test_a_caught_step_error_lets_the_function_go_on(environment: ContractEnvironment) -> None:
    this = new_job_id()
    run = await environment.wait_for_run_end(await environment.send("caught", job=this))
    assert (run["status"], run["output"]) == ("Completed", "caught in time")
    assert environment.book.done[this] == ["try", "caught in time"]


async def test_sleep(environment: ContractEnvironment) -> None:
    this = new_job_id()
    run = await environment.wait_for_run_end(await environment.send("nap", job=this))
    assert (run["status"], run["output"]) == ("Completed", "after")
    assert environment.book.done[this] == ["before", "after"]


async def test_wait_for_event_is_fulfilled_by_the_matching_event_alone(environment: ContractEnvironment) -> None:
    this = new_job_id()
    event_id = await environment.send("wait", job=this, seconds=20)

    async def waits() -> bool:
        return environment.book.done[this] == ["asked"]

    await wait_until(waits)

    async def answered() -> bool:
        # The wait may be registered a moment after its step: ask until it is heard.
        await environment.send("answer", job=new_job_id(), text="for another")
        await environment.send("answer", job=this, text="yes")
        return [run["status"] for run in await environment.runs(event_id)] == ["Completed"]

    await wait_until(answered)
    assert (await environment.wait_for_run_end(event_id))["output"] == "yes"


async def test_wait_for_event_times_out_with_nothing(environment: ContractEnvironment) -> None:
    run = await environment.wait_for_run_end(await environment.send("wait", job=new_job_id(), seconds=1))
    assert run["status"] == "Completed"
    assert run.get("output") is None


async def test_parallel_steps_run_once_each_before_the_next(environment: ContractEnvironment) -> None:
    this = new_job_id()
    run = await environment.wait_for_run_end(await environment.send("parallel", job=this))
    assert run["output"] == ["a", "b", "c", "last"]
    assert sorted(environment.book.done[this][:3]) == ["a", "b", "c"]
    assert environment.book.done[this][3:] == ["last"]


async def test_invoke_gives_the_result_or_the_error_of_the_other_function(
    environment: ContractEnvironment,
) -> None:
    run = await environment.wait_for_run_end(await environment.send("parent", job=new_job_id()))
    assert run["output"] == {"good": {"got": 7}, "bad": "a bad child"}


async def test_a_cancel_event_ends_the_run_with_its_job_only(environment: ContractEnvironment) -> None:
    this, other = new_job_id(), new_job_id()
    ids = [await environment.send("cancellable", job=name) for name in (this, other)]

    async def sleeping() -> bool:
        return environment.book.done[this] == environment.book.done[other] == ["before"]

    await wait_until(sleeping)
    await environment.send("cancel", job=this)
    run = await environment.wait_for_run_end(ids[0])
    assert run["status"] == "Cancelled"
    assert (await environment.runs(ids[1]))[0]["status"] == "Running"
    await environment.send("cancel", job=other)
    assert (await environment.wait_for_run_end(ids[1]))["status"] == "Cancelled"
    assert environment.book.done[this] == ["before"]
    assert this not in environment.book.failures


async def test_an_event_id_sent_twice_starts_one_run(environment: ContractEnvironment) -> None:
    this = new_job_id()
    first = await environment.send("hello", event_id=this, job=this)
    await environment.wait_for_run_end(first)
    again = await environment.send("hello", event_id=this, job=this)
    marker = new_job_id()
    await environment.wait_for_run_end(await environment.send("hello", job=marker))
    assert again != first
    assert await environment.runs(again) == []
    assert len(environment.book.done[this]) == 4


async def test_an_idempotency_key_seen_before_starts_no_run(environment: ContractEnvironment) -> None:
    this = new_job_id()
    run = await environment.wait_for_run_end(await environment.send("once", job=this))
    assert run["status"] == "Completed"
    again = await environment.send("once", job=this)
    await environment.wait_for_run_end(await environment.send("once", job=new_job_id()))
    assert await environment.runs(again) == []
    assert environment.book.done[this] == ["only"]


async def test_a_concurrency_key_holds_back_the_same_person_only(environment: ContractEnvironment) -> None:
    ann, ben = new_job_id(), new_job_id()
    ids = [await environment.send("crowd", user=user) for user in (ann, ben, ann, ben, ann)]
    for event_id in ids:
        assert (await environment.wait_for_run_end(event_id))["status"] == "Completed"
    assert environment.book.max_running[ann] == 1
    assert environment.book.max_running[ben] == 1


async def test_a_body_of_almost_four_mebibytes_passes(environment: ContractEnvironment) -> None:
    # The server sends the event twice in a request, and changes to its API over 4 MiB.
    environment.book.bodies.clear()
    size = 2 * MEBIBYTE - 8192
    run = await environment.wait_for_run_end(
        await environment.send("big", job=new_job_id(), step_bytes=10, text="x" * size)
    )
    assert run["output"] == {"event": size, "events": 1, "step": 10}
    assert 3.9 * MEBIBYTE < max(environment.book.bodies) <= 4 * MEBIBYTE


async def test_over_four_mebibytes_the_sdk_fetches_events_and_steps_itself(
    environment: ContractEnvironment,
) -> None:
    environment.book.bodies.clear()
    size = 5 * MEBIBYTE // 2
    run = await environment.wait_for_run_end(
        await environment.send("big", job=new_job_id(), step_bytes=2 * MEBIBYTE, text="x" * size)
    )
    assert run["output"] == {"event": size, "events": 1, "step": 2 * MEBIBYTE}
    assert max(environment.book.bodies) < 3 * MEBIBYTE


async def test_an_app_killed_in_the_middle_goes_on_where_it_was(environment: ContractEnvironment) -> None:
    this = new_job_id()
    event_id = await environment.send("restarted", job=this)

    async def held() -> bool:
        return environment.book.done[this] == ["first", "second"]

    await wait_until(held)
    await environment.kill_app()
    environment.book.gates[this].set()
    await environment.start_app()
    run = await environment.wait_for_run_end(event_id)
    assert (run["status"], run["output"]) == ("Completed", "third")
    # The step that was cut off is done again, the one before it is not.
    assert environment.book.done[this] == ["first", "second", "second", "third"]


async def test_the_server_knows_every_function_of_the_app(environment: ContractEnvironment) -> None:
    async with environment.session.get(f"{environment.server}/dev") as response:
        known = {function["slug"] for function in (await response.json(content_type=None))["functions"]}
    assert {
        f"{environment.client.app_id}-{name}" for name in ("hello", "flaky", "flaky-failure", "crowd")
    } <= known


async def test_refused_events(environment: ContractEnvironment) -> None:
    for body, words in (
        (b'{"data": {}}', "event name is empty"),
        (b'{"name": "inngest/x"}', "event name is reserved for internal use: inngest/x"),
        (b'"text"', "Request body must contain an event object or an array of event objects"),
    ):
        headers = {"content-type": "application/json"}
        async with environment.session.post(f"{environment.server}/e/key", data=body, headers=headers) as response:
            answer = await response.json(content_type=None)
        assert (response.status, answer["status"], answer["error"]) == (400, 400, words)


async def test_a_list_of_events_gets_an_id_each(environment: ContractEnvironment) -> None:
    jobs = [new_job_id(), new_job_id()]
    events = [{"name": "contract/hello", "data": {"job": name}} for name in jobs]
    async with environment.session.post(f"{environment.server}/e/key", json=events) as response:
        answer = await response.json(content_type=None)
    assert answer["status"] == 200
    for event_id, name in zip(answer["ids"], jobs, strict=True):
        assert (await environment.wait_for_run_end(event_id))["output"]["eventData"] == {"job": name}
