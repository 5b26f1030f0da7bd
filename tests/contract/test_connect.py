"""The functions over Connect: the scenarios of HTTP, and what can happen only to connections.

Runs against the stand-in, and against the real server where INNGEST_DEV_URL or INNGEST_CLI names one.
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
from sandbox.inngest import Clock, InngestServer, ServerKeys
from sandbox.inngest.runs import new_id
from tests.contract.connect_environment import ConnectEnvironment, Kind, raw_worker, wait_until_true
from tests.contract.environment import new_job_id, wait_until
from tests.contract.functions import step_functions
from tests.contract.servers import DEV_SERVER, SPEED, available_servers, run_server
from tests.contract.test_protocol import (  # noqa: F401  # the same scenarios with this module's environment
    test_cancel_event_ends_only_the_run_of_its_job,
    test_caught_step_error_lets_the_function_continue,
    test_failing_step_is_retried_then_on_failure_runs,
    test_non_retriable_error_is_not_retried,
    test_retry_after_delays_the_next_attempt,
    test_server_lists_every_function_of_the_app,
    test_sleep,
    test_steps_run_once_each_and_the_result_is_returned,
    test_wait_for_event_ends_only_with_the_matching_event,
    test_wait_for_event_returns_none_after_timeout,
)

LEASE_TIMEOUT = 200.0
"""Seconds; the real server gives a worker's call to another after up to two and a half minutes."""
MEBIBYTE = 1024 * 1024


@pytest.fixture(scope="session")
def short_timeouts() -> Any:
    """Shorten the SDK's pauses between two attempts, which are not tested here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(isolated_worker, "RECONNECTION_DELAY_SEC", 0.2)
        patch.setattr(isolated_worker, "POST_CONNECT_SETTLE_SEC", 0.05)
        patch.setattr(conn_init_starter, "CONN_INIT_RETRY_INTERVAL_SEC", 0.02)
        yield


@pytest.fixture(scope="session", params=available_servers())
async def environment(request: pytest.FixtureRequest, short_timeouts: None) -> AsyncIterator[ConnectEnvironment]:
    async with run_server(request.param) as server:
        environment = ConnectEnvironment(server, speed=SPEED.get(request.param, 1.0))
        try:
            await environment.start_app()
            yield environment
        finally:
            await environment.close()


async def test_large_bodies_are_sent_or_fetched(environment: ConnectEnvironment) -> None:
    size = 5 * MEBIBYTE // 2
    run = await environment.wait_for_run_end(
        await environment.send("big", job=new_job_id(), step_bytes=2 * MEBIBYTE, text="x" * size)
    )
    assert run["output"] == {"event": size, "events": 1, "step": 2 * MEBIBYTE}


async def test_step_continues_while_the_gateway_restarts(environment: ConnectEnvironment) -> None:
    job_id = new_job_id()
    event_id = await environment.send("restarted", job=job_id)
    await environment.wait_until(job_id, "first", "second")
    environment.proxy.drop()
    await environment.lost()
    await environment.proxy.restore()
    await environment.connected()
    environment.call_log.gates[job_id].set()
    run = await environment.wait_for_run_end(event_id)
    assert (run["status"], run["output"]) == ("Completed", "third")
    assert environment.call_log.done[job_id] == ["first", "second", "third"]


async def test_step_that_ends_while_the_gateway_is_down_is_not_repeated(
    environment: ConnectEnvironment,
) -> None:
    job_id = new_job_id()
    event_id = await environment.send("restarted", job=job_id)
    await environment.wait_until(job_id, "first", "second")
    environment.proxy.drop()
    await environment.lost()
    environment.call_log.gates[job_id].set()
    await environment.proxy.restore()
    run = await environment.wait_for_run_end(event_id, seconds=LEASE_TIMEOUT)
    assert (run["status"], run["output"]) == ("Completed", "third")
    assert environment.call_log.done[job_id] == ["first", "second", "third"]


async def test_draining_gateway_reconnects_its_workers_and_loses_nothing(
    environment: ConnectEnvironment,
) -> None:
    job_id, gateway = new_job_id(), await environment.gateway()
    event_id = await environment.send("restarted", job=job_id)
    await environment.wait_until(job_id, "first", "second")
    async with environment.session.post(gateway.with_scheme("http").with_path("/maintenance/drain")) as response:
        if response.status == 404:
            pytest.skip("this server was started without INTERNAL_CONNECT_MAINTENANCE=1")
    await environment.lost()
    async with environment.session.post(
        gateway.with_scheme("http").with_path("/maintenance/activate")
    ) as response:
        assert response.status == 200
    await environment.connected()
    environment.call_log.gates[job_id].set()
    run = await environment.wait_for_run_end(event_id)
    assert (run["status"], run["output"]) == ("Completed", "third")
    assert environment.call_log.done[job_id] == ["first", "second", "third"]


async def test_dead_worker_is_replaced_by_another(environment: ConnectEnvironment) -> None:
    job_id, dead = new_job_id(), environment.connection
    event_id = await environment.send("restarted", job=job_id)
    await environment.wait_until(job_id, "first", "second")
    environment.proxy.drop()  # and never restored; its process knows nothing of the next worker
    await environment.start_app()
    await environment.wait_until(job_id, "first", "second", "second", seconds=LEASE_TIMEOUT)
    environment.call_log.gates[job_id].set()
    run = await environment.wait_for_run_end(event_id)
    assert (run["status"], run["output"]) == ("Completed", "third")
    # The interrupted step is repeated, the one before it is not.
    # The dead worker's late reply changes nothing.
    assert environment.call_log.done[job_id] == ["first", "second", "second", "third"]
    await dead.close(1)


async def test_close_accepts_no_calls_and_lets_the_step_end(environment: ConnectEnvironment) -> None:
    job_id, leaving = new_job_id(), environment.connection
    event_id = await environment.send("restarted", job=job_id)
    await environment.wait_until(job_id, "first", "second")
    async with asyncio.TaskGroup() as group:
        closing = group.create_task(leaving.close(20))
        await environment.lost()
        await environment.start_app()
        assert not closing.done()
        environment.call_log.gates[job_id].set()
    run = await environment.wait_for_run_end(event_id)
    assert (run["status"], run["output"]) == ("Completed", "third")
    assert environment.call_log.done[job_id] == ["first", "second", "third"]


async def test_close_cancels_functions_that_do_not_end_in_time(environment: ConnectEnvironment) -> None:
    client = inngest.Inngest(
        app_id=f"stuck-{new_job_id()[:8]}",
        api_base_url=environment.server,
        event_api_base_url=environment.server,
        is_production=False,
    )
    started, dropped = asyncio.Event(), asyncio.Event()

    @client.create_function(
        fn_id="stuck", trigger=inngest.TriggerEvent(event=f"contract/{client.app_id}"), retries=20
    )
    async def stuck(ctx: inngest.Context) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            dropped.set()
            raise

    connection = Connection(client, [stuck], instance_id="stuck")
    task = asyncio.get_running_loop().create_task(connection.run())
    await wait_until(lambda: wait_until_true(connection.connected))
    await environment.send(client.app_id)
    async with asyncio.timeout(30):
        await started.wait()
        await connection.close(0.1)
        await task
        await dropped.wait()
    assert not connection.connected
    await connection.close(0.1)


async def test_close_after_cancelled_run_disconnects(environment: ConnectEnvironment) -> None:
    connection = Connection(environment.client, environment.functions)
    task = asyncio.get_running_loop().create_task(connection.run())
    await wait_until(lambda: wait_until_true(connection.connected))
    task.cancel()
    await asyncio.wait([task])
    assert connection.connected
    await connection.close(5)
    assert not connection.connected


async def test_connection_installs_no_signal_handlers(environment: ConnectEnvironment) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        assert "inngest" not in getattr(signal.getsignal(number), "__module__", "")


async def can_run(environment: ConnectEnvironment) -> bool:
    return bool(
        (await environment.wait_for_run_end(await environment.send("hello", job=new_job_id())))["status"]
        == "Completed"
    )


@pytest.mark.parametrize("name", [name for name in available_servers() if name != DEV_SERVER])
async def test_production_server_accepts_only_workers_with_its_key(
    short_timeouts: None, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    keys = ServerKeys(("an-event-key",), "ab" * 32)
    async with run_server(name, keys) as server:
        environment = ConnectEnvironment(server, speed=SPEED.get(name, 1.0), keys=keys)
        unknown_client = inngest.Inngest(
            app_id=environment.client.app_id, api_base_url=server, event_key="x", signing_key="cd" * 32
        )
        refused = Connection(unknown_client, step_functions(unknown_client, environment.call_log))
        task = asyncio.get_running_loop().create_task(refused.run())
        try:
            await environment.start_app()
            await wait_until(lambda: can_run(environment))
            with caplog.at_level(logging.ERROR):
                await wait_until(lambda: wait_until_true("ConnectionStart request failed" in caplog.text))
            assert not refused.connected
        finally:
            await refused.close(1)
            await task
            await environment.close()


@asynccontextmanager
async def private_environment(lease: float = 120.0) -> AsyncIterator[tuple[InngestServer, ConnectEnvironment]]:
    """A stand-in that a test may stop, and an environment with it."""
    server = InngestServer(clock=Clock(retry_delays=(0.1,), lease_seconds=lease))
    await server.start()
    environment = ConnectEnvironment(server.url)
    try:
        await environment.start_app()
        yield server, environment
    finally:
        await environment.close()
        await server.close()


async def test_connection_restarts_when_the_sdk_has_given_up(
    short_timeouts: None, caplog: pytest.LogCaptureFixture
) -> None:
    async with private_environment() as (server, environment):
        await server.close()
        await environment.lost()
        with caplog.at_level(logging.ERROR):
            await wait_until(lambda: wait_until_true("ConnectionStart request failed" in caplog.text))
        await server.start(server.port)
        await environment.connected()
        assert await can_run(environment)


async def test_event_sent_without_a_connected_worker_waits(short_timeouts: None) -> None:
    """On the real server this uses up attempts, so a run with few of them may fail."""
    async with private_environment() as (_, environment):
        job_id = new_job_id()
        environment.proxy.drop()
        await environment.lost()
        event_id = await environment.send("hello", job=job_id)
        await environment.proxy.restore()
        assert (await environment.wait_for_run_end(event_id))["status"] == "Completed"
        assert len(environment.call_log.done[job_id]) == 4


async def test_step_longer_than_its_lease_runs_once(short_timeouts: None, monkeypatch: pytest.MonkeyPatch) -> None:
    async with private_environment(lease=2.0) as (server, environment):
        job_id, extended = new_job_id(), []
        extend = server.engine.gateway.extend

        def count(request_id: str, lease_id: str) -> str | None:
            extended.append(lease_id)
            return extend(request_id, lease_id)

        monkeypatch.setattr(server.engine.gateway, "extend", count)
        event_id = await environment.send("restarted", job=job_id)
        await wait_until(
            lambda: wait_until_true(len(extended) == 3)
        )  # one per second: the first lease has expired
        environment.call_log.gates[job_id].set()
        assert (await environment.wait_for_run_end(event_id))["output"] == "third"
        assert environment.call_log.done[job_id] == ["first", "second", "third"]


async def test_worker_with_an_invalid_hello_is_refused(environment: ConnectEnvironment) -> None:
    async with raw_worker(environment) as worker:
        await worker.send(Kind.WORKER_HEARTBEAT)
        assert await worker.assert_disconnected() == (1008, "connect_worker_hello_invalid_msg")
    for field in ("connection_id", "instance_id", "apps"):
        async with raw_worker(environment) as worker:
            worker.hello.ClearField(field)
            await worker.send(Kind.WORKER_CONNECT, worker.hello)
            assert await worker.assert_disconnected() == (1008, "connect_worker_hello_invalid_payload")


async def test_worker_with_another_session_token_is_refused(environment: ConnectEnvironment) -> None:
    async with raw_worker(environment) as worker:
        worker.hello.auth_data.session_token = "made up"
        await worker.send(Kind.WORKER_CONNECT, worker.hello)
        assert await worker.assert_disconnected() == (1008, "connect_authentication_failed")


async def test_worker_with_an_invalid_function_gets_sync_failed(environment: ConnectEnvironment) -> None:
    async with raw_worker(
        environment, concurrency=[{"limit": 1, "key": f"event.data.{name}"} for name in "abc"]
    ) as worker:
        await worker.send(Kind.WORKER_CONNECT, worker.hello)
        error = pb.SystemError.FromString(await worker.receive(Kind.SYNC_FAILED))
        assert error.message == "At least one function is invalid"
        assert await worker.assert_disconnected() == (1008, "")


async def test_undecodable_message_closes_the_connection(environment: ConnectEnvironment) -> None:
    lease = "connect_worker_request_extend_lease_invalid_payload"
    for kind, code, word in (
        (Kind.WORKER_REQUEST_EXTEND_LEASE, 1008, lease),
        (Kind.WORKER_REQUEST_ACK, 1008, "connect_worker_request_ack_invalid_payload"),
        (Kind.WORKER_REPLY, 1011, "connect_internal_error"),
    ):
        async with raw_worker(environment) as worker:
            await worker.connect()
            await worker.send_bytes(kind, b"\xff")
            assert await worker.assert_disconnected() == (code, word)


async def test_lease_is_extended_by_its_newest_id_and_ends_with_the_reply(
    environment: ConnectEnvironment,
) -> None:
    app = f"raw-{new_job_id()[:8]}"
    async with raw_worker(environment, app) as worker:
        await worker.connect()
        event_id = await environment.send(app)
        call = await worker.accept_call()
        assert (call.app_name, call.function_slug, call.step_id) == (app, f"{app}-f", "step")
        second = await worker.extend_lease(call, call.lease_id)
        assert second not in ("", call.lease_id)
        assert await worker.extend_lease(call, call.lease_id) == second, "the response may have been lost"
        third = await worker.extend_lease(call, second)
        assert third not in ("", second)
        assert await worker.extend_lease(call, call.lease_id) == ""
        assert await worker.extend_lease(call, new_id()) == ""
        await worker.send(Kind.WORKER_HEARTBEAT)
        await worker.receive(Kind.GATEWAY_HEARTBEAT)

        body = json.dumps("done").encode()
        answer = pb.SDKResponse(request_id=call.request_id, status=pb.SDKResponseStatus.DONE, body=body)
        await worker.send(Kind.WORKER_REPLY, answer)
        ack = pb.WorkerReplyAckData.FromString(await worker.receive(Kind.WORKER_REPLY_ACK))
        assert ack.request_id == call.request_id
        run = await environment.wait_for_run_end(event_id)
        assert (run["status"], run["output"]) == ("Completed", "done")
        assert await worker.extend_lease(call, third) == ""


async def test_unacknowledged_call_goes_to_the_next_worker_at_once(
    environment: ConnectEnvironment,
) -> None:
    app = f"raw-{new_job_id()[:8]}"
    async with raw_worker(environment, app) as first:
        await first.connect()
        event_id = await environment.send(app)
        await first.receive(Kind.GATEWAY_EXECUTOR_REQUEST)
        async with raw_worker(environment, app) as second:
            await second.connect()
            await first.send(Kind.WORKER_PAUSE)
            call = await second.accept_call()
            answer = pb.SDKResponse(request_id=call.request_id, status=pb.SDKResponseStatus.DONE, body=b'"taken"')
            await second.send(Kind.WORKER_REPLY, answer)
            assert (await environment.wait_for_run_end(event_id))["output"] == "taken"
