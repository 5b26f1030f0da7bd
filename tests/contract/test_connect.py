"""The functions over Connect: the scenarios of HTTP, and what only a connection can suffer.

Held against the stand-in, and against the real server where INNGEST_DEV_URL or INNGEST_CLI names one.
"""

import asyncio
import json
import logging
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import inngest
import pytest
from inngest.connect._internal import conn_init_starter, isolated_worker
from inngest.connect._internal import connect_pb2 as pb

from inngest_functions.connect import Connection
from sandbox.inngest import InngestStand, Pace
from sandbox.inngest.events import ulid
from sandbox.inngest.keys import Keys
from tests.contract.connect_environment import ConnectWorld, Kind, raw_worker, true
from tests.contract.environment import job, until
from tests.contract.functions import step_functions
from tests.contract.servers import RUNNING, SPEED, available, running
from tests.contract.test_protocol import (  # noqa: F401  # the same scenarios, in this module's world
    test_a_cancel_event_ends_the_run_with_its_job_only,
    test_a_caught_step_error_lets_the_function_go_on,
    test_a_step_that_fails_is_tried_again_then_on_failure_runs,
    test_an_error_that_may_not_be_retried_is_not,
    test_invoke_gives_the_result_or_the_error_of_the_other_function,
    test_parallel_steps_run_once_each_before_the_next,
    test_retry_after_is_obeyed_and_the_attempt_is_counted,
    test_sleep,
    test_steps_run_once_each_and_the_result_is_kept,
    test_the_server_knows_every_function_of_the_app,
    test_wait_for_event_is_fulfilled_by_the_matching_event_alone,
    test_wait_for_event_times_out_with_nothing,
)

LEASE_PATIENCE = 200.0
"""Seconds; the real server gives a worker's call to another after up to 2 minutes and a half."""
MEBIBYTE = 1024 * 1024


@pytest.fixture(scope="session")
def impatient() -> Any:
    """The SDK's pauses between two tries, shortened: they are not what is tested."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(isolated_worker, "RECONNECTION_DELAY_SEC", 0.2)
        patch.setattr(isolated_worker, "POST_CONNECT_SETTLE_SEC", 0.05)
        patch.setattr(conn_init_starter, "CONN_INIT_RETRY_INTERVAL_SEC", 0.02)
        yield


@pytest.fixture(scope="session", params=available())
async def world(request: pytest.FixtureRequest, impatient: None) -> AsyncIterator[ConnectWorld]:
    async with running(request.param) as server:
        world = ConnectWorld(server, speed=SPEED.get(request.param, 1.0))
        try:
            await world.start_app()
            yield world
        finally:
            await world.close()


async def test_megabytes_pass_and_what_is_too_much_is_fetched(world: ConnectWorld) -> None:
    size = 5 * MEBIBYTE // 2
    run = await world.ended(await world.send("big", job=job(), step_bytes=2 * MEBIBYTE, text="x" * size))
    assert run["output"] == {"event": size, "events": 1, "step": 2 * MEBIBYTE}


async def test_a_step_goes_on_while_the_gateway_is_restarted(world: ConnectWorld) -> None:
    this = job()
    event_id = await world.send("restarted", job=this)
    await world.does(this, "first", "second")
    world.line.cut()
    await world.lost()
    await world.line.mend()
    await world.connected()
    world.book.gates[this].set()
    run = await world.ended(event_id)
    assert (run["status"], run["output"]) == ("Completed", "third")
    assert world.book.done[this] == ["first", "second", "third"]


async def test_a_step_that_ends_while_the_gateway_is_away_is_not_done_again(world: ConnectWorld) -> None:
    this = job()
    event_id = await world.send("restarted", job=this)
    await world.does(this, "first", "second")
    world.line.cut()
    await world.lost()
    world.book.gates[this].set()
    await world.line.mend()
    run = await world.ended(event_id, seconds=LEASE_PATIENCE)
    assert (run["status"], run["output"]) == ("Completed", "third")
    assert world.book.done[this] == ["first", "second", "third"]


async def test_a_gateway_that_drains_sends_its_workers_elsewhere_and_loses_nothing(world: ConnectWorld) -> None:
    this, gateway = job(), await world.gateway()
    event_id = await world.send("restarted", job=this)
    await world.does(this, "first", "second")
    async with world.session.post(gateway.with_scheme("http").with_path("/maintenance/drain")) as response:
        if response.status == 404:
            pytest.skip("this server was started without INTERNAL_CONNECT_MAINTENANCE=1")
    await world.lost()
    async with world.session.post(gateway.with_scheme("http").with_path("/maintenance/activate")) as response:
        assert response.status == 200
    await world.connected()
    world.book.gates[this].set()
    run = await world.ended(event_id)
    assert (run["status"], run["output"]) == ("Completed", "third")
    assert world.book.done[this] == ["first", "second", "third"]


async def test_a_worker_that_dies_is_replaced_by_another(world: ConnectWorld) -> None:
    this, dead = job(), world.connection
    event_id = await world.send("restarted", job=this)
    await world.does(this, "first", "second")
    world.line.cut()  # and never mended; its process knows nothing of the next one
    await world.start_app()
    await world.does(this, "first", "second", "second", seconds=LEASE_PATIENCE)
    world.book.gates[this].set()
    run = await world.ended(event_id)
    assert (run["status"], run["output"]) == ("Completed", "third")
    # The step that was cut off is done again, the one before it is not.
    # The dead one's late answer changes nothing.
    assert world.book.done[this] == ["first", "second", "second", "third"]
    await dead.close(1)


async def test_close_takes_nothing_new_and_lets_the_step_end(world: ConnectWorld) -> None:
    this, leaving = job(), world.connection
    event_id = await world.send("restarted", job=this)
    await world.does(this, "first", "second")
    async with asyncio.TaskGroup() as group:
        closing = group.create_task(leaving.close(20))
        await world.lost()
        await world.start_app()
        assert not closing.done()
        world.book.gates[this].set()
    run = await world.ended(event_id)
    assert (run["status"], run["output"]) == ("Completed", "third")
    assert world.book.done[this] == ["first", "second", "third"]


async def test_close_cancels_what_does_not_end_in_time(world: ConnectWorld) -> None:
    client = inngest.Inngest(
        app_id=f"stuck-{job()[:8]}",
        api_base_url=world.server,
        event_api_base_url=world.server,
        is_production=False,
    )
    begun, dropped = asyncio.Event(), asyncio.Event()

    @client.create_function(
        fn_id="stuck", trigger=inngest.TriggerEvent(event=f"contract/{client.app_id}"), retries=20
    )
    async def stuck(ctx: inngest.Context) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            dropped.set()
            raise

    connection = Connection(client, [stuck], instance_id="stuck")
    task = asyncio.get_running_loop().create_task(connection.run())
    await until(lambda: true(connection.connected))
    await world.send(client.app_id)
    async with asyncio.timeout(30):
        await begun.wait()
        await connection.close(0.1)
        await task
        await dropped.wait()
    assert not connection.connected
    await connection.close(0.1)


async def test_close_hangs_up_also_when_run_was_cancelled_before(world: ConnectWorld) -> None:
    connection = Connection(world.client, world._functions)
    task = asyncio.get_running_loop().create_task(connection.run())
    await until(lambda: true(connection.connected))
    task.cancel()
    await asyncio.wait([task])
    assert connection.connected
    await connection.close(5)
    assert not connection.connected


async def test_signals_are_left_to_the_process(world: ConnectWorld) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        assert "inngest" not in getattr(signal.getsignal(number), "__module__", "")


async def works(world: ConnectWorld) -> bool:
    return bool((await world.ended(await world.send("hello", job=job())))["status"] == "Completed")


@pytest.mark.parametrize("name", [name for name in available() if name != RUNNING])
async def test_a_production_server_takes_workers_with_its_key_alone(
    impatient: None, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    keys = Keys(("an-event-key",), "ab" * 32)
    async with running(name, keys) as server:
        world = ConnectWorld(server, speed=SPEED.get(name, 1.0), keys=keys)
        stranger = inngest.Inngest(
            app_id=world.client.app_id, api_base_url=server, event_key="x", signing_key="cd" * 32
        )
        refused = Connection(stranger, step_functions(stranger, world.book))
        task = asyncio.get_running_loop().create_task(refused.run())
        try:
            await world.start_app()
            await until(lambda: works(world))
            with caplog.at_level(logging.ERROR):
                await until(lambda: true("ConnectionStart request failed" in caplog.text))
            assert not refused.connected
        finally:
            await refused.close(1)
            await task
            await world.close()


@asynccontextmanager
async def own_world(lease: float = 120.0) -> AsyncIterator[tuple[InngestStand, ConnectWorld]]:
    """A stand-in that a test may stop, and a world with it."""
    stand = InngestStand(pace=Pace(retry_delays=(0.1,), lease=lease))
    await stand.start()
    world = ConnectWorld(stand.url)
    try:
        await world.start_app()
        yield stand, world
    finally:
        await world.close()
        await stand.close()


async def test_a_connection_is_begun_anew_when_the_sdk_has_given_up(
    impatient: None, caplog: pytest.LogCaptureFixture
) -> None:
    async with own_world() as (stand, world):
        await stand.close()
        await world.lost()
        with caplog.at_level(logging.ERROR):
            await until(lambda: true("ConnectionStart request failed" in caplog.text))
        await stand.start(stand.port)
        await world.connected()
        assert await works(world)


async def test_an_event_sent_while_nobody_is_connected_waits(impatient: None) -> None:
    """At the real server that costs attempts, so a run may fail where they are soon used up."""
    async with own_world() as (_, world):
        this = job()
        world.line.cut()
        await world.lost()
        event_id = await world.send("hello", job=this)
        await world.line.mend()
        assert (await world.ended(event_id))["status"] == "Completed"
        assert len(world.book.done[this]) == 4


async def test_a_step_longer_than_its_lease_is_done_once(impatient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    async with own_world(lease=2.0) as (stand, world):
        this, extended = job(), []
        extend = stand.engine.gateway.extend

        def count(request_id: str, lease_id: str) -> str | None:
            extended.append(lease_id)
            return extend(request_id, lease_id)

        monkeypatch.setattr(stand.engine.gateway, "extend", count)
        event_id = await world.send("restarted", job=this)
        await until(lambda: true(len(extended) == 3))  # one a second: the first lease is over
        world.book.gates[this].set()
        assert (await world.ended(event_id))["output"] == "third"
        assert world.book.done[this] == ["first", "second", "third"]


async def test_a_worker_that_does_not_introduce_itself_is_refused(world: ConnectWorld) -> None:
    async with raw_worker(world) as worker:
        await worker.send(Kind.WORKER_HEARTBEAT)
        assert await worker.is_hung_up_on() == (1008, "connect_worker_hello_invalid_msg")
    for field in ("connection_id", "instance_id", "apps"):
        async with raw_worker(world) as worker:
            worker.hello.ClearField(field)
            await worker.send(Kind.WORKER_CONNECT, worker.hello)
            assert await worker.is_hung_up_on() == (1008, "connect_worker_hello_invalid_payload")


async def test_a_worker_with_another_session_is_refused(world: ConnectWorld) -> None:
    async with raw_worker(world) as worker:
        worker.hello.auth_data.session_token = "made up"
        await worker.send(Kind.WORKER_CONNECT, worker.hello)
        assert await worker.is_hung_up_on() == (1008, "connect_authentication_failed")


async def test_a_worker_whose_function_cannot_be_is_told(world: ConnectWorld) -> None:
    async with raw_worker(
        world, concurrency=[{"limit": 1, "key": f"event.data.{name}"} for name in "abc"]
    ) as worker:
        await worker.send(Kind.WORKER_CONNECT, worker.hello)
        told = pb.SystemError.FromString(await worker.hears(Kind.SYNC_FAILED))
        assert told.message == "At least one function is invalid"
        assert await worker.is_hung_up_on() == (1008, "")


async def test_nonsense_is_hung_up_on(world: ConnectWorld) -> None:
    lease = "connect_worker_request_extend_lease_invalid_payload"
    for kind, code, word in (
        (Kind.WORKER_REQUEST_EXTEND_LEASE, 1008, lease),
        (Kind.WORKER_REQUEST_ACK, 1008, "connect_worker_request_ack_invalid_payload"),
        (Kind.WORKER_REPLY, 1011, "connect_internal_error"),
    ):
        async with raw_worker(world) as worker:
            await worker.connect()
            await worker.send_bytes(kind, b"\xff")
            assert await worker.is_hung_up_on() == (code, word)


async def test_a_lease_is_extended_by_its_newest_id_and_ends_with_the_answer(world: ConnectWorld) -> None:
    app = f"raw-{job()[:8]}"
    async with raw_worker(world, app) as worker:
        await worker.connect()
        event_id = await world.send(app)
        call = await worker.takes()
        assert (call.app_name, call.function_slug, call.step_id) == (app, f"{app}-f", "step")
        second = await worker.extends(call, call.lease_id)
        assert second not in ("", call.lease_id)
        assert await worker.extends(call, call.lease_id) == second, "the answer may have been lost"
        third = await worker.extends(call, second)
        assert third not in ("", second)
        assert await worker.extends(call, call.lease_id) == ""
        assert await worker.extends(call, ulid()) == ""
        await worker.send(Kind.WORKER_HEARTBEAT)
        await worker.hears(Kind.GATEWAY_HEARTBEAT)

        body = json.dumps("done").encode()
        answer = pb.SDKResponse(request_id=call.request_id, status=pb.SDKResponseStatus.DONE, body=body)
        await worker.send(Kind.WORKER_REPLY, answer)
        ack = pb.WorkerReplyAckData.FromString(await worker.hears(Kind.WORKER_REPLY_ACK))
        assert ack.request_id == call.request_id
        run = await world.ended(event_id)
        assert (run["status"], run["output"]) == ("Completed", "done")
        assert await worker.extends(call, third) == ""


async def test_a_call_that_was_not_acknowledged_goes_to_the_next_worker_at_once(world: ConnectWorld) -> None:
    app = f"raw-{job()[:8]}"
    async with raw_worker(world, app) as first:
        await first.connect()
        event_id = await world.send(app)
        await first.hears(Kind.GATEWAY_EXECUTOR_REQUEST)
        async with raw_worker(world, app) as second:
            await second.connect()
            await first.send(Kind.WORKER_PAUSE)
            call = await second.takes()
            answer = pb.SDKResponse(request_id=call.request_id, status=pb.SDKResponseStatus.DONE, body=b'"taken"')
            await second.send(Kind.WORKER_REPLY, answer)
            assert (await world.ended(event_id))["output"] == "taken"
