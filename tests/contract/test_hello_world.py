"""Hello world through a server: sent by the client, the command line and curl; and with a failing step."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

import inngest
import pytest
from aiohttp import web

from inngest_functions.client import create_client
from inngest_functions.events import HELLO
from inngest_functions.functions.hello_world import create_hello_function
from inngest_functions.hello import run_hello
from inngest_functions.runs import RunFailed, wait_for_run
from inngest_functions.serve import serve
from inngest_functions.settings import InngestSettings
from services.hello import Hello, HelloEnvironment, greeting
from tests.contract.environment import ContractEnvironment
from tests.support.inngest_kit import (
    all_of,
    has_correct_language,
    has_documented_environment,
    has_required_fields,
    message_contains_name,
    processed_in_utc,
)
from tests.support.processes.orphans import kill_with_parent

SECONDS = 30.0
FAILING_NAME = "Unlucky"


class Greeter:
    """Greets everyone except FAILING_NAME, and counts its failures."""

    def __init__(self) -> None:
        self.failed = 0

    def __call__(self, hello: Hello) -> str:
        if hello.name == FAILING_NAME:
            self.failed += 1
            raise RuntimeError("no greeting comes to mind")
        return greeting(hello)


@pytest.fixture(scope="module")
def greeter() -> Greeter:
    return Greeter()


@pytest.fixture(scope="module")
async def client(environment: ContractEnvironment, greeter: Greeter) -> AsyncIterator[inngest.Inngest]:
    """The client of an app that serves only hello world and is registered at the server."""
    client = create_client(InngestSettings(inngest_base_url=environment.server))
    app = web.Application()
    serve(app, client, [create_hello_function(client, HelloEnvironment(), greeter)])
    runner = web.AppRunner(app, shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with environment.session.put(f"http://127.0.0.1:{runner.addresses[0][1]}/api/inngest") as response:
        assert response.status == 200, await response.text()
    yield client
    await runner.cleanup()


async def output_of(*command: str, **environment: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment or None,
        preexec_fn=kill_with_parent,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


def assert_documented(result: dict[str, Any], name: str, language: str) -> None:
    all_of(
        has_required_fields(),
        has_correct_language(language),
        message_contains_name(name),
        has_documented_environment(),
        processed_in_utc(),
    )(result)
    assert (result["eventData"]["name"], result["eventData"]["language"]) == (name, language)


@pytest.mark.parametrize("language", ["en", "ru", "es", "fr", "eo"])
async def test_hello_sent_by_the_client_returns_the_documented_result(
    client: inngest.Inngest, language: str
) -> None:
    result = await run_hello(client, "Гуру", language, seconds=SECONDS)
    assert_documented(result.model_dump(mode="json", by_alias=True), "Гуру", language)


async def test_hello_sent_by_the_command_line_returns_the_documented_result(
    client: inngest.Inngest, environment: ContractEnvironment
) -> None:
    command = (sys.executable, "-m", "inngest_functions.hello", "--name", "Гуру", "--language", "ru")
    output = await output_of(*command, INNGEST_BASE_URL=environment.server, PYTHONIOENCODING="utf-8")
    assert_documented(json.loads(output), "Гуру", "ru")
    assert json.loads(output)["message"] == "Привет, Гуру! 🕉️"


@pytest.mark.parametrize("language", ["en", "ru", "es", "fr"])
async def test_hello_sent_by_curl_returns_the_documented_result(
    client: inngest.Inngest, environment: ContractEnvironment, language: str
) -> None:
    body = json.dumps({"name": HELLO, "data": {"name": "Ann", "language": language}})
    sent = await output_of(
        "/usr/bin/env", "curl", "-sS", "-X", "POST", f"{environment.server}/e/any-key", "-H",
        "Content-Type: application/json", "-d", body, PATH="/usr/bin:/bin:/usr/local/bin"
    )  # fmt: skip
    (event_id,) = json.loads(sent)["ids"]
    assert_documented(await wait_for_run(client, event_id, seconds=SECONDS), "Ann", language)


async def test_step_that_keeps_failing_is_retried_three_times(
    client: inngest.Inngest, greeter: Greeter, environment: ContractEnvironment
) -> None:
    before = greeter.failed
    with pytest.raises(RunFailed, match="no greeting comes to mind"):
        await run_hello(client, FAILING_NAME, "en", seconds=SECONDS)
    assert greeter.failed == before + 4
