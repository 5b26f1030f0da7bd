"""The Inngest server as a whole: faults, settings that take minutes on the real server, status page, command."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from sandbox.inngest import Clock, Fault, InngestServer, SyncError
from tests.support.processes.orphans import kill_with_parent

Reply = Callable[[dict[str, Any]], tuple[int, object] | Awaitable[tuple[int, object]]]
FAST_CLOCK = Clock(retry_delays=(0.01,), unreachable_seconds=0.2)


class FakeApp:
    """An app without the SDK, which answers function calls as the test decides."""

    def __init__(self, server: InngestServer, reply: Reply, **settings: Any) -> None:
        self.calls: list[dict[str, Any]] = []
        self._server, self._reply, self._settings = server, reply, settings
        self._runner: web.AppRunner | None = None
        self.url = ""
        self._port = 0

    async def start(self) -> None:
        app = web.Application()
        app.router.add_put("/fn", self._register)
        app.router.add_post("/fn", self._call)
        self._runner = web.AppRunner(app, shutdown_timeout=0.01)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True).start()
        self._port = int(self._runner.addresses[0][1])
        self.url = f"http://127.0.0.1:{self._port}/fn"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _register(self, _: web.Request) -> web.Response:
        function = {
            "id": "app-fn",
            "name": "<b>fn</b>",
            "triggers": [{"event": "go"}],
            "steps": {"step": {"id": "step", "runtime": {"url": f"{self.url}?fnId=app-fn&stepId=step"}}},
            **self._settings,
        }
        body = {"appname": "app", "url": self.url, "functions": [function]}
        async with aiohttp.ClientSession() as session:
            await session.post(f"{self._server.url}/fn/register", json=body)
        return web.json_response({}, headers={"x-inngest-sdk": "test"})

    async def _call(self, request: web.Request) -> web.Response:
        call = await request.json() | {"target": request.query["stepId"]}
        self.calls.append(call)
        answer = self._reply(call)
        status, body = await answer if isinstance(answer, Awaitable) else answer
        return web.json_response(body, status=status, headers={"x-inngest-sdk": "test"})


@asynccontextmanager
async def run_app(
    reply: Reply, clock: Clock = FAST_CLOCK, **settings: Any
) -> AsyncIterator[tuple[InngestServer, FakeApp]]:
    server = InngestServer(clock=clock)
    await server.start()
    app = FakeApp(server, reply, **settings)
    try:
        await app.start()
        await server.sync(app.url)
        yield server, app
    finally:
        await app.stop()
        await server.close()


async def post(server: InngestServer, event: dict[str, Any], seconds: float = 5) -> dict[str, Any]:
    timeout = aiohttp.ClientTimeout(total=seconds)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.post(f"{server.url}/e/key", json=event) as response,
    ):
        answer: dict[str, Any] = await response.json(content_type=None)
        return answer | {"http": response.status}


async def wait_until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  # polls the server, which sets no event
            await asyncio.sleep(0.005)


async def let_tasks_run() -> None:
    """Run the event loop for a while, so that something unexpected would have happened."""
    for _ in range(100):
        await asyncio.sleep(0)


def statuses(server: InngestServer) -> list[str]:
    return [run.status.value for run in server.engine.runs.values()]


def done(_: dict[str, Any]) -> tuple[int, object]:
    return 200, "done"


async def test_hang_fault_accepts_connections_without_answering() -> None:
    async with run_app(done) as (server, _):
        server.fault = Fault.HANG
        with pytest.raises(TimeoutError):
            await post(server, {"name": "go"}, seconds=0.1)
        server.fault = Fault.NONE
        assert (await post(server, {"name": "go"}))["http"] == 200


async def test_close_with_hanging_requests_is_not_delayed() -> None:
    server = InngestServer()
    await server.start()
    server.fault = Fault.HANG
    async with asyncio.TaskGroup() as group:

        async def send_event() -> None:
            with pytest.raises(aiohttp.ClientError):
                await post(server, {"name": "go"})

        group.create_task(send_event())
        runner = server._runner
        assert runner is not None
        await wait_until(lambda: runner.server is not None and runner.server.requests_count == 1)
        async with asyncio.timeout(2):
            await server.close()


async def test_error_fault_answers_500_and_starts_nothing() -> None:
    async with run_app(done) as (server, app):
        server.fault = Fault.ERROR
        assert (await post(server, {"name": "go"}))["http"] == 500
        assert app.calls == []
        assert server.engine.runs == {}


async def test_dead_executor_fault_runs_accepted_events_when_removed() -> None:
    async with run_app(done) as (server, app):
        server.fault = Fault.DEAD_EXECUTOR
        assert (await post(server, {"name": "go"}))["status"] == 200
        await let_tasks_run()
        assert (app.calls, statuses(server)) == ([], ["Scheduled"])
        server.fault = Fault.NONE
        await wait_until(lambda: statuses(server) == ["Completed"])


async def test_closed_ports_refuse_connections_and_keep_the_state() -> None:
    async with run_app(done) as (server, app):
        url = server.url
        await server.close_ports()
        with pytest.raises(aiohttp.ClientConnectorError):
            await post(server, {"name": "go"})
        await server.open_ports()
        assert server.url == url
        await post(server, {"name": "go"})
        await wait_until(lambda: len(app.calls) == 1)


async def test_close_during_a_run_loses_everything() -> None:
    gate = asyncio.Event()

    async def hold(_: dict[str, Any]) -> tuple[int, object]:
        await gate.wait()
        return 200, "done"

    async with run_app(hold) as (server, app):
        await post(server, {"name": "go"})
        await wait_until(lambda: len(app.calls) == 1)
        port = server.port
        await server.close()
        with pytest.raises(aiohttp.ClientConnectorError):
            await post(server, {"name": "go"})
        await server.start(port)
        assert (server.engine.runs, server.engine.functions) == ({}, {})
        gate.set()


async def test_unreachable_app_uses_up_no_attempts_until_the_limit() -> None:
    async with run_app(done, Clock(retry_delays=(0.01,), unreachable_seconds=60)) as (server, app):
        await app.stop()
        await post(server, {"name": "go"})
        await wait_until(lambda: statuses(server) == ["Running"])
        await let_tasks_run()
        assert statuses(server) == ["Running"]
        await app.start()
        await wait_until(lambda: statuses(server) == ["Completed"])
        assert app.calls[0]["ctx"]["attempt"] == 0
    async with run_app(done) as (server, app):
        await app.stop()
        await post(server, {"name": "go"})
        await wait_until(lambda: statuses(server) == ["Failed"])


async def test_apps_are_synced_until_they_register_and_afterwards() -> None:
    app = FakeApp(InngestServer(), done)
    await app.start()
    await app.stop()
    polling = InngestServer([app.url], poll_interval=0.02)
    app._server = polling
    try:
        await polling.start()
        await wait_until(lambda: any(app.error for app in polling.engine.apps.values()))
        assert polling.engine.functions == {}
        await app.start()
        await wait_until(lambda: "app-fn" in polling.engine.functions)
        assert [known.name for known in polling.engine.apps.values()] == ["app"]
        app._settings = {"id": "app-new"}
        await wait_until(lambda: set(polling.engine.functions) == {"app-new"})
        await app.stop()
        await wait_until(lambda: all(known.error for known in polling.engine.apps.values()))
    finally:
        await app.stop()
        await polling.close()


async def test_sync_failure_reports_the_reason() -> None:
    server = InngestServer()
    await server.start()
    try:
        with pytest.raises(SyncError, match="unreachable"):
            await server.sync("http://127.0.0.1:1/fn")
        with pytest.raises(SyncError, match="405"):
            await server.sync(f"{server.url}/health")
    finally:
        await server.close()


async def test_failure_after_all_retries_sends_the_failed_event() -> None:
    retries = {"step": {"id": "step", "retries": {"attempts": 2}, "runtime": {"url": "http://x"}}}

    async with run_app(lambda _: (500, {"message": "no", "name": "E"})) as (server, app):
        function = server.engine.functions["app-fn"]
        steps = {"step": {**retries["step"], "runtime": {"url": function.url(None)}}}
        app._settings = {"steps": steps}
        await server.sync(app.url)
        await post(server, {"name": "go"})
        await wait_until(lambda: statuses(server) == ["Failed"])
        assert [call["ctx"]["attempt"] for call in app.calls] == [0, 1, 2]
        assert {call["ctx"]["max_attempts"] for call in app.calls} == {3}
        failed = [event for event in server.engine.events.values() if event.name == "inngest/function.failed"]
        assert failed[0].data["error"]["message"] == "no"
        assert failed[0].data["function_id"] == "app-fn"


async def test_reply_without_sdk_header_fails_the_run() -> None:
    async def plain(_: dict[str, Any]) -> tuple[int, object]:
        raise web.HTTPOk(text="a proxy's page")

    async with run_app(plain) as (server, _):
        await post(server, {"name": "go"})
        await wait_until(lambda: statuses(server) == ["Failed"])


async def test_timeouts_cancel_a_run_that_starts_or_ends_too_late() -> None:
    fast = Clock(retry_delays=(0.01,), speed=50)
    sleep = [{"op": "Sleep", "id": "s", "name": "1h"}]
    async with run_app(lambda _: (206, sleep), fast, timeouts={"finish": "5s"}) as (server, _):
        await post(server, {"name": "go"})
        await wait_until(lambda: statuses(server) == ["Cancelled"])
    async with run_app(done, fast, timeouts={"start": "5s"}) as (server, app):
        server.fault = Fault.DEAD_EXECUTOR
        await post(server, {"name": "go"})
        await wait_until(lambda: statuses(server) == ["Cancelled"])
        server.fault = Fault.NONE
        await let_tasks_run()
        assert app.calls == []


async def test_speed_shortens_sleeps() -> None:
    def sleeps(call: dict[str, Any]) -> tuple[int, object]:
        return (200, "up") if call["steps"] else (206, [{"op": "Sleep", "id": "s", "name": "1h"}])

    async with run_app(sleeps, Clock(speed=100_000)) as (server, app):
        await post(server, {"name": "go"})
        await wait_until(lambda: statuses(server) == ["Completed"])
        assert app.calls[-1]["steps"] == {"s": None}


async def test_rate_limit_drops_events_and_throttle_delays_runs() -> None:
    limit = {"limit": 1, "period": "60s", "key": "event.data.who"}
    async with run_app(done, rateLimit=limit) as (server, _):
        for who in ("ann", "ann", "ben"):
            await post(server, {"name": "go", "data": {"who": who}})
        await wait_until(lambda: statuses(server) == ["Completed"] * 2)
    async with run_app(done, Clock(speed=100), throttle={"limit": 1, "period": "10s", "burst": 0}) as (
        server,
        app,
    ):
        for _ in range(3):
            await post(server, {"name": "go"})
        await wait_until(lambda: statuses(server) == ["Completed"] * 3)
        runs = list(server.engine.runs.values())
        assert runs[0].ended_at is not None
        assert runs[2].started_at is not None
        assert (runs[2].started_at - runs[0].ended_at).total_seconds() > 0.1
        assert len(app.calls) == 3


async def test_cron_function_runs_when_due(monkeypatch: pytest.MonkeyPatch) -> None:
    due = iter([datetime.now(UTC), datetime.now(UTC), datetime.max.replace(tzinfo=UTC)])
    monkeypatch.setattr("sandbox.inngest.engine.engine.next_cron_time", lambda *_: next(due))
    async with run_app(done, triggers=[{"cron": "0 9 * * *"}]) as (server, app):
        await wait_until(lambda: statuses(server) == ["Completed"] * 2)
        event = app.calls[0]["event"]
        assert (event["name"], event["data"]) == ("inngest/scheduled.timer", {"cron": "0 9 * * *"})


async def test_wait_with_an_invalid_expression_fails_the_run() -> None:
    wait = [{"op": "WaitForEvent", "id": "w", "name": "x", "opts": {"if": "event.data.", "timeout": "1h"}}]
    async with run_app(lambda _: (206, wait)) as (server, _):
        await post(server, {"name": "go"})
        await wait_until(lambda: statuses(server) == ["Failed"])
        (run,) = server.engine.runs.values()
        assert run.output["name"] == "InvalidExpression"


async def test_invoking_an_unknown_function_fails_the_step() -> None:
    def invokes(call: dict[str, Any]) -> tuple[int, object]:
        op = {"op": "InvokeFunction", "id": "i", "name": "i", "opts": {"function_id": "none", "payload": {}}}
        return (200, call["steps"]["i"]) if call["steps"] else (206, [op])

    async with run_app(invokes) as (server, _):
        await post(server, {"name": "go"})
        await wait_until(lambda: statuses(server) == ["Completed"])
        (run,) = server.engine.runs.values()
        assert run.output == {"error": {"name": "Error", "message": "could not find function with ID: none"}}


async def test_run_is_cancelled_through_the_rest_api() -> None:
    sleep = [{"op": "Sleep", "id": "s", "name": "1h"}]
    async with run_app(lambda _: (206, sleep)) as (server, _), aiohttp.ClientSession(server.url) as session:
        event_id = (await post(server, {"name": "go"}))["ids"][0]
        await wait_until(lambda: statuses(server) == ["Running"])
        async with session.get(f"/v1/events/{event_id}/runs") as response:
            (run,) = (await response.json())["data"]
        assert (await session.delete(f"/v1/runs/{run['run_id']}")).status == 200
        async with session.get(f"/v1/runs/{run['run_id']}") as response:
            assert (await response.json())["data"]["status"] == "Cancelled"


async def test_status_page_has_a_disclaimer_and_escapes_values() -> None:
    evil = "<script>alert(1)</script>"
    async with run_app(lambda _: (200, evil)) as (server, _), aiohttp.ClientSession(server.url) as session:
        await post(server, {"name": "go", "id": evil})
        await wait_until(lambda: statuses(server) == ["Completed"])
        server.fault = Fault.DEAD_EXECUTOR
        async with session.get("/") as response:
            page = await response.text()
    assert "stand-in for the Inngest dev server, for development and tests only" in page
    assert "no function is called" in page
    assert "app-fn" in page
    assert "<script" not in page
    assert "src=" not in page


async def test_command_serves_until_it_is_terminated() -> None:
    command = (sys.executable, "-m", "sandbox.inngest", "--port", "0", "--speed", "2", "-u", "127.0.0.1:1/x")
    process = await asyncio.create_subprocess_exec(
        *command, stderr=asyncio.subprocess.PIPE, preexec_fn=kill_with_parent
    )
    assert process.stderr is not None
    async with asyncio.timeout(20):
        line = (await process.stderr.readline()).decode()
        assert "for development and tests only" in line
        async with aiohttp.ClientSession(line.split()[-1]) as session, session.get("/health") as response:
            assert await response.json() == {"status": 200, "message": "OK"}
        process.terminate()
        await process.communicate()
    assert process.returncode == 0


async def test_command_with_a_taken_port_exits_with_one_line() -> None:
    server = InngestServer()
    await server.start()
    try:
        with pytest.raises(OSError):
            await InngestServer().start(server.port)
        command = (sys.executable, "-m", "sandbox.inngest", "--port", str(server.port))
        process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
        _, text = await process.communicate()
        assert process.returncode == 1
        assert text.decode().splitlines()[-1].startswith("Inngest stand-in: cannot listen on")
        assert "Traceback" not in text.decode()
    finally:
        await server.close()
