"""Production: a server with keys, and a client and an app in production mode behind our adapter.

The real server is ``inngest start --event-key … --signing-key …`` with SQLite and its built-in Redis.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from unittest import mock

import inngest
import pytest
from inngest._internal import errors

from sandbox.inngest import ServerKeys
from sandbox.inngest.runs import new_id
from tests.contract.environment import ContractEnvironment, new_job_id
from tests.contract.functions import MEBIBYTE
from tests.contract.servers import DEV_SERVER, SPEED, available_servers, run_server

KEYS = ServerKeys(event_keys=("event-key-of-the-test", "another-event-key"), signing_key="ab" * 32)
NEXT_KEY = "cd" * 32
SERVERS = [name for name in available_servers() if name != DEV_SERVER]


@asynccontextmanager
async def _app(url: str, keys: ServerKeys, *, speed: float = 1.0) -> AsyncIterator[ContractEnvironment]:
    environment = ContractEnvironment(url, speed=speed, keys=keys)
    try:
        await environment.start_app()
        yield environment
    finally:
        await environment.close()


@pytest.fixture(scope="module", params=SERVERS)
async def production(request: pytest.FixtureRequest) -> AsyncIterator[ContractEnvironment]:
    async with (
        run_server(request.param, KEYS) as url,
        _app(url, KEYS, speed=SPEED.get(request.param, 1.0)) as environment,
    ):
        yield environment


async def test_signed_calls_complete_a_run_of_many_steps(production: ContractEnvironment) -> None:
    job_id = new_job_id()
    run = await production.wait_for_run_end(await production.send("hello", job=job_id))
    assert (run["status"], run["output"]["eventData"]) == ("Completed", {"job": job_id})
    waiting = new_job_id()
    event_id = await production.send("wait", job=waiting, seconds=1)
    assert (await production.wait_for_run_end(event_id))["status"] == "Completed"


async def test_events_and_steps_are_fetched_with_the_key(production: ContractEnvironment) -> None:
    production.call_log.bodies.clear()
    size = 5 * MEBIBYTE // 2
    run = await production.wait_for_run_end(
        await production.send("big", job=new_job_id(), step_bytes=2 * MEBIBYTE, text="x" * size)
    )
    assert run["output"] == {"event": size, "events": 1, "step": 2 * MEBIBYTE}
    assert max(production.call_log.bodies) < 3 * MEBIBYTE


async def test_app_refuses_requests_without_the_key(production: ContractEnvironment) -> None:
    url = f"{production.app_url}?fnId={production.client.app_id}-hello&stepId=step"
    other_keys = ServerKeys((), NEXT_KEY)
    for headers in ({}, {"x-inngest-signature": other_keys.sign(b"{}")}):
        async with production.session.post(url, data=b"{}", headers=headers) as response:
            assert (response.status, await response.json()) == (401, {"message": "Unauthorized"})
        async with production.session.get(production.app_url, headers=headers) as response:
            assert response.status == 401


async def test_server_accepts_events_only_with_its_keys(production: ContractEnvironment) -> None:
    event = {"name": "contract/nobody"}
    for key in KEYS.event_keys:
        async with production.session.post(f"{production.server}/e/{key}", json=event) as response:
            assert response.status == 200
    async with production.session.post(f"{production.server}/e/strange", json=event) as response:
        answer = await response.json(content_type=None)
        assert (response.status, answer["error"]) == (401, "Event key not found")
    unknown_client = inngest.Inngest(
        app_id="stranger", event_api_base_url=production.server, event_key="strange", is_production=True
    )
    with pytest.raises(errors.SendEventsError, match="Event key not found"):
        await unknown_client.send(inngest.Event(name="contract/nobody"))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/dev"),
        ("GET", "/v1/events/01/runs"),
        ("GET", "/v0/runs/01/batch"),
        ("GET", "/v0/runs/01/actions"),
        ("POST", "/fn/register"),
        ("POST", "/v0/connect/start"),
    ],
)
async def test_api_refuses_requests_without_the_key(
    production: ContractEnvironment, method: str, path: str
) -> None:
    for bearer in ({}, {"Authorization": "Bearer strange"}, {"Authorization": KEYS.signing_key}):
        async with production.session.request(method, f"{production.server}{path}", headers=bearer) as response:
            assert (response.status, await response.text()) == (401, "Authentication failed\n")
            assert response.headers["x-inngest-server-kind"] == "cloud"


async def test_health_and_dev_server_routes(production: ContractEnvironment) -> None:
    async with production.session.get(f"{production.server}/health") as response:
        assert response.status == 200
    for key in (KEYS.signing_key, f"signkey-prod-{KEYS.signing_key}"):
        bearer = {"Authorization": f"Bearer {key}"}
        async with production.session.get(f"{production.server}/dev", headers=bearer) as response:
            assert response.status == 404
        async with production.session.get(
            f"{production.server}/v1/events/{new_id()}/runs", headers=bearer
        ) as response:
            assert response.status == 200


@pytest.mark.parametrize("name", SERVERS)
async def test_key_rotation_starts_in_the_app(name: str) -> None:
    """The app already has the new key; the server still has the old one, which is the app's fallback."""
    rotated = ServerKeys(KEYS.event_keys, NEXT_KEY)
    async with run_server(name, KEYS) as url:
        with mock.patch.dict(os.environ, {"INNGEST_SIGNING_KEY_FALLBACK": KEYS.signing_key}):
            async with _app(url, rotated) as environment:
                environment.keys = KEYS  # the test's own requests need the server's key
                size = 5 * MEBIBYTE // 2
                run = await environment.wait_for_run_end(
                    await environment.send("big", job=new_job_id(), step_bytes=10, text="x" * size)
                )
                assert run["output"] == {"event": size, "events": 1, "step": 10}
        with pytest.raises(AssertionError, match="registration_failed"):
            async with _app(url, rotated):
                pass
