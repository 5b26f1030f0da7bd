"""The Inngest server as a whole: faults, settings that take minutes on the real server, status page, command."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from sandbox.inngest import Clock, Fault, InngestServer
from tests.support.processes.orphans import kill_with_parent

Reply = Callable[[dict[str, Any]], tuple[int, object] | Awaitable[tuple[int, object]]]
HOUR = 3600.0
CONNECT_PORT = ("--connect-gateway-port", "0")
FAST_CLOCK = Clock(retry_delays=(0.01,), unreachable_seconds=0.2)


class FakeApp:
    """An app without the SDK, which answers function calls as the test decides."""

    def __init__(
        self, server: InngestServer, reply: Reply, *, retries: int | None = None, **settings: Any
    ) -> None:
        self.calls: list[dict[str, Any]] = []
        self.server, self._reply, self._retries, self.settings = server, reply, retries, settings
        self._runner: web.AppRunner | None = None
        self.url = ""
        self._port = 0

    async def start(self) -> None:
        app = web.Application()
        app.router.add_put("/fn", self._answer_sync)
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

    async def register(self) -> None:
        """Register the function, as the app does when the server asks for it."""
        function = {
            "id": "app-fn",
            "name": "<b>fn</b>",
            "triggers": [{"event": "go"}],
            "steps": {
                "step": {
                    "runtime": {"url": f"{self.url}?fnId=app-fn&stepId=step"},
                    "retries": None if self._retries is None else {"attempts": self._retries},
                }
            },
            **self.settings,
        }
        body = {"appname": "app", "url": self.url, "functions": [function]}
        async with aiohttp.ClientSession() as session:
            await session.post(f"{self.server.url}/fn/register", json=body)

    async def _answer_sync(self, _: web.Request) -> web.Response:
        await self.register()
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
        await app.register()
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


def sleep_op(seconds: float) -> list[dict[str, Any]]:
    until = datetime.now(UTC) + timedelta(seconds=seconds)
    return [{"op": "Sleep", "id": "s", "name": until.isoformat()}]


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
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await writer.drain()
    await let_tasks_run()
    async with asyncio.timeout(2):
        await server.close()
        assert await reader.read() == b"", "the connection is cut without an answer"
    writer.close()


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
    polling = InngestServer([app.url], clock=Clock(speed=200))
    app.server = polling
    try:
        await polling.start()
        await wait_until(lambda: app.url in polling.engine.sync_errors)
        assert polling.engine.functions == {}
        await app.start()
        await wait_until(lambda: "app-fn" in polling.engine.functions)
        assert list(polling.engine.apps) == ["app"]
        app.settings = {"id": "app-new"}
        await wait_until(lambda: set(polling.engine.functions) == {"app-new"})
        await app.stop()
        await wait_until(lambda: app.url in polling.engine.sync_errors)
    finally:
        await app.stop()
        await polling.close()


async def test_failure_after_all_retries_starts_the_on_failure_function() -> None:
    started_by = {"event": "inngest/function.failed", "expression": "event.data.function_id == 'app-fn'"}

    def fail(call: dict[str, Any]) -> tuple[int, object]:
        return (500, {"message": "no", "name": "E"}) if call["event"]["name"] == "go" else (200, "handled")

    async with run_app(fail, retries=2, triggers=[{"event": "go"}, started_by]) as (server, app):
        await post(server, {"name": "go"})
        await wait_until(lambda: statuses(server) == ["Failed", "Completed"])
        *attempts, handler = app.calls
        assert [call["ctx"]["attempt"] for call in attempts] == [0, 1, 2]
        assert {call["ctx"]["max_attempts"] for call in attempts} == {3}
        assert handler["event"]["name"] == "inngest/function.failed"
        assert handler["event"]["data"]["error"]["message"] == "no"
        assert handler["event"]["data"]["event"] == attempts[0]["event"]


async def test_reply_without_sdk_header_fails_the_run() -> None:
    async def plain(_: dict[str, Any]) -> tuple[int, object]:
        raise web.HTTPOk(text="a proxy's page")

    async with run_app(plain) as (server, _):
        await post(server, {"name": "go"})
        await wait_until(lambda: statuses(server) == ["Failed"])


async def test_timeouts_cancel_a_run_that_starts_or_ends_too_late() -> None:
    fast = Clock(retry_delays=(0.01,), speed=50)
    async with run_app(lambda _: (206, sleep_op(HOUR)), fast, timeouts={"finish": "5s"}) as (server, _):
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
        return (200, "up") if call["steps"] else (206, sleep_op(HOUR))

    async with run_app(sleeps, Clock(speed=100_000)) as (server, app):
        await post(server, {"name": "go"})
        await wait_until(lambda: statuses(server) == ["Completed"])
        assert app.calls[-1]["steps"] == {"s": None}


async def test_cron_function_runs_when_due(monkeypatch: pytest.MonkeyPatch) -> None:
    due = iter([datetime.now(UTC), datetime.now(UTC), datetime.max.replace(tzinfo=UTC)])
    monkeypatch.setattr("sandbox.inngest.engine.CronSim", lambda *_: due)
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


@pytest.mark.parametrize(
    "ops",
    [
        [{"op": "InvokeFunction", "id": "i", "name": "i"}],
        [{"op": "StepPlanned", "id": "a"}, {"op": "StepPlanned", "id": "b"}],
    ],
)
async def test_step_that_the_stand_in_lacks_fails_the_run(ops: list[dict[str, Any]]) -> None:
    async with run_app(lambda _: (206, ops)) as (server, _):
        await post(server, {"name": "go"})
        await wait_until(lambda: statuses(server) == ["Failed"])
        (run,) = server.engine.runs.values()
        assert run.output["message"].startswith("the Inngest stand-in does not support")


async def test_function_with_a_setting_that_the_stand_in_lacks_is_not_registered() -> None:
    async with run_app(done, debounce={"period": "1s"}) as (server, _):
        assert server.engine.functions == {}


async def test_cancelled_run_lets_its_call_end_and_drops_the_reply() -> None:
    gate, ended = asyncio.Event(), asyncio.Event()

    async def hold(_: dict[str, Any]) -> tuple[int, object]:
        await gate.wait()
        ended.set()
        return 200, "too late"

    concurrency = [{"limit": 1}]
    async with run_app(hold, cancel=[{"event": "stop"}], concurrency=concurrency) as (server, app):
        await post(server, {"name": "go"})
        await wait_until(lambda: len(app.calls) == 1)
        await post(server, {"name": "stop"})
        await post(server, {"name": "go"})
        assert statuses(server) == ["Cancelled", "Scheduled"], "the call still counts"
        gate.set()
        await ended.wait()
        await wait_until(lambda: statuses(server) == ["Cancelled", "Completed"])
        assert [run.output for run in server.engine.runs.values()] == [None, "too late"]


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
    command = (sys.executable, "-m", "sandbox.inngest", "--port", "0", *CONNECT_PORT, "-u", "http://127.0.0.1:1/x")
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
        command = (sys.executable, "-m", "sandbox.inngest", "--port", str(server.port), *CONNECT_PORT)
        process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
        _, text = await process.communicate()
        assert process.returncode == 1
        assert text.decode().splitlines()[-1].startswith("Inngest stand-in: cannot listen on")
        assert "Traceback" not in text.decode()
    finally:
        await server.close()
