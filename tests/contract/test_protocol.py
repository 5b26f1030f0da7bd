"""What an Inngest server does with functions served by our adapter.

Runs against the stand-in, and against the real server where INNGEST_DEV_URL or INNGEST_CLI names one.
"""

from tests.contract.environment import ContractEnvironment, new_job_id, wait_until
from tests.contract.functions import MEBIBYTE


async def test_steps_run_once_each_and_the_result_is_returned(environment: ContractEnvironment) -> None:
    job_id = new_job_id()
    run = await environment.wait_for_run_end(await environment.send("hello", job=job_id))
    assert run["status"] == "Completed"
    assert run["output"] == {"message": "Hello, Ada! 👋", "eventData": {"job": job_id}}
    assert environment.call_log.done[job_id] == ["log", "Hello, Ada! 👋", "prepare", "completion"]


async def test_failing_step_is_retried_then_on_failure_runs(environment: ContractEnvironment) -> None:
    job_id = new_job_id()
    run = await environment.wait_for_run_end(await environment.send("flaky", job=job_id))
    assert run["status"] == "Failed"
    assert run["output"]["message"] == "always"
    assert environment.call_log.done[job_id] == ["try", "try"]

    async def failure_is_recorded() -> bool:
        return job_id in environment.call_log.failures

    await wait_until(failure_is_recorded)
    failure = environment.call_log.failures[job_id]
    assert failure["function_id"] == f"{environment.client.app_id}-flaky"
    assert failure["run_id"] == run["run_id"]
    assert failure["error"]["name"] == "ValueError"
    assert failure["error"]["message"] == "always"
    assert failure["event"]["name"] == "contract/flaky"


async def test_non_retriable_error_is_not_retried(environment: ContractEnvironment) -> None:
    job_id = new_job_id()
    run = await environment.wait_for_run_end(await environment.send("hopeless", job=job_id))
    assert run["status"] == "Failed"
    assert environment.call_log.done[job_id] == ["try"]

    async def failure_is_recorded() -> bool:
        return job_id in environment.call_log.failures

    await wait_until(failure_is_recorded)
    assert environment.call_log.failures[job_id]["error"]["message"] == "no use"


async def test_retry_after_delays_the_next_attempt(environment: ContractEnvironment) -> None:
    job_id = new_job_id()
    run = await environment.wait_for_run_end(await environment.send("later", job=job_id))
    assert run["status"] == "Completed"
    assert run["output"] == 1
    assert environment.call_log.done[job_id] == ["try", "try"]


async def test_caught_step_error_lets_the_function_continue(environment: ContractEnvironment) -> None:
    job_id = new_job_id()
    run = await environment.wait_for_run_end(await environment.send("caught", job=job_id))
    assert (run["status"], run["output"]) == ("Completed", "caught in time")
    assert environment.call_log.done[job_id] == ["try", "caught in time"]


async def test_sleep(environment: ContractEnvironment) -> None:
    job_id = new_job_id()
    run = await environment.wait_for_run_end(await environment.send("nap", job=job_id))
    assert (run["status"], run["output"]) == ("Completed", "after")
    assert environment.call_log.done[job_id] == ["before", "after"]


async def test_wait_for_event_ends_only_with_the_matching_event(environment: ContractEnvironment) -> None:
    job_id = new_job_id()
    event_id = await environment.send("wait", job=job_id, seconds=20)

    async def waits() -> bool:
        return environment.call_log.done[job_id] == ["asked"]

    await wait_until(waits)

    async def answered() -> bool:
        # The wait may be registered a moment after its step: send until it reacts.
        await environment.send("answer", job=new_job_id(), text="for another")
        await environment.send("answer", job=job_id, text="yes")
        return [run["status"] for run in await environment.runs(event_id)] == ["Completed"]

    await wait_until(answered)
    assert (await environment.wait_for_run_end(event_id))["output"] == "yes"


async def test_wait_for_event_returns_none_after_timeout(environment: ContractEnvironment) -> None:
    run = await environment.wait_for_run_end(await environment.send("wait", job=new_job_id(), seconds=1))
    assert run["status"] == "Completed"
    assert run.get("output") is None


async def test_cancel_event_ends_only_the_run_of_its_job(environment: ContractEnvironment) -> None:
    job_id, other = new_job_id(), new_job_id()
    ids = [await environment.send("cancellable", job=name) for name in (job_id, other)]

    async def sleeping() -> bool:
        return environment.call_log.done[job_id] == environment.call_log.done[other] == ["before"]

    await wait_until(sleeping)
    await environment.send("cancel", job=job_id)
    run = await environment.wait_for_run_end(ids[0])
    assert run["status"] == "Cancelled"
    assert (await environment.runs(ids[1]))[0]["status"] == "Running"
    await environment.send("cancel", job=other)
    assert (await environment.wait_for_run_end(ids[1]))["status"] == "Cancelled"
    assert environment.call_log.done[job_id] == ["before"]
    assert job_id not in environment.call_log.failures


async def test_event_id_sent_twice_starts_one_run(environment: ContractEnvironment) -> None:
    job_id = new_job_id()
    first = await environment.send("hello", event_id=job_id, job=job_id)
    await environment.wait_for_run_end(first)
    again = await environment.send("hello", event_id=job_id, job=job_id)
    marker = new_job_id()
    await environment.wait_for_run_end(await environment.send("hello", job=marker))
    assert again != first
    assert await environment.runs(again) == []
    assert len(environment.call_log.done[job_id]) == 4


async def test_repeated_idempotency_key_starts_no_run(environment: ContractEnvironment) -> None:
    job_id = new_job_id()
    run = await environment.wait_for_run_end(await environment.send("once", job=job_id))
    assert run["status"] == "Completed"
    again = await environment.send("once", job=job_id)
    await environment.wait_for_run_end(await environment.send("once", job=new_job_id()))
    assert await environment.runs(again) == []
    assert environment.call_log.done[job_id] == ["only"]


async def test_concurrency_key_delays_only_runs_of_the_same_user(environment: ContractEnvironment) -> None:
    ann, ben = new_job_id(), new_job_id()
    ids = [await environment.send("crowd", user=user) for user in (ann, ben, ann, ben, ann)]
    for event_id in ids:
        assert (await environment.wait_for_run_end(event_id))["status"] == "Completed"
    assert environment.call_log.max_running[ann] == 1
    assert environment.call_log.max_running[ben] == 1


async def test_body_of_almost_four_mebibytes_is_accepted(environment: ContractEnvironment) -> None:
    # The server sends the event twice in a request, and changes to its API over 4 MiB.
    environment.call_log.bodies.clear()
    size = 2 * MEBIBYTE - 8192
    run = await environment.wait_for_run_end(
        await environment.send("big", job=new_job_id(), step_bytes=10, text="x" * size)
    )
    assert run["output"] == {"event": size, "events": 1, "step": 10}
    assert 3.9 * MEBIBYTE < max(environment.call_log.bodies) <= 4 * MEBIBYTE


async def test_sdk_fetches_events_and_steps_over_four_mebibytes(
    environment: ContractEnvironment,
) -> None:
    environment.call_log.bodies.clear()
    size = 5 * MEBIBYTE // 2
    run = await environment.wait_for_run_end(
        await environment.send("big", job=new_job_id(), step_bytes=2 * MEBIBYTE, text="x" * size)
    )
    assert run["output"] == {"event": size, "events": 1, "step": 2 * MEBIBYTE}
    assert max(environment.call_log.bodies) < 3 * MEBIBYTE


async def test_killed_app_continues_at_the_interrupted_step(environment: ContractEnvironment) -> None:
    job_id = new_job_id()
    event_id = await environment.send("restarted", job=job_id)

    async def held() -> bool:
        return environment.call_log.done[job_id] == ["first", "second"]

    await wait_until(held)
    await environment.kill_app()
    environment.call_log.gates[job_id].set()
    await environment.start_app()
    run = await environment.wait_for_run_end(event_id)
    assert (run["status"], run["output"]) == ("Completed", "third")
    # The interrupted step is repeated, the one before it is not.
    assert environment.call_log.done[job_id] == ["first", "second", "second", "third"]


async def test_server_lists_every_function_of_the_app(environment: ContractEnvironment) -> None:
    async with environment.session.get(f"{environment.server}/dev") as response:
        known = {function["slug"] for function in (await response.json(content_type=None))["functions"]}
    assert {
        f"{environment.client.app_id}-{name}" for name in ("hello", "flaky", "flaky-failure", "crowd")
    } <= known


async def test_invalid_events_are_refused(environment: ContractEnvironment) -> None:
    for body, message in (
        (b'{"data": {}}', "event name is empty"),
        (b'{"name": "inngest/x"}', "event name is reserved for internal use: inngest/x"),
        (b'"text"', "Request body must contain an event object or an array of event objects"),
    ):
        headers = {"content-type": "application/json"}
        async with environment.session.post(f"{environment.server}/e/key", data=body, headers=headers) as response:
            answer = await response.json(content_type=None)
        assert (response.status, answer["status"], answer["error"]) == (400, 400, message)


async def test_each_event_of_a_list_gets_an_id(environment: ContractEnvironment) -> None:
    jobs = [new_job_id(), new_job_id()]
    events = [{"name": "contract/hello", "data": {"job": name}} for name in jobs]
    async with environment.session.post(f"{environment.server}/e/key", json=events) as response:
        answer = await response.json(content_type=None)
    assert answer["status"] == 200
    for event_id, name in zip(answer["ids"], jobs, strict=True):
        assert (await environment.wait_for_run_end(event_id))["output"]["eventData"] == {"job": name}
