"""Every mode with every kind of Inngest outage, for a short and a long service.

Each order ends once, is charged once, generated once and delivered once.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from sandbox.inngest.server import Fault
from storage.money.ledger import Balance, check_ledger, get_balance
from tests.support.environments.environment import Environment, SandboxUser, wait_until
from tests.support.environments.factory import EnvironmentFactory
from tests.support.environments.providers import sample_video
from tests.support.fake_providers.replicate_server import FakeReplicate

VIDEO_MODEL = "wavespeedai/wan-2.1-t2v-480p"
SHORT, LONG = "text_to_image", "text_to_video"
PRICES = {SHORT: 1, LONG: 40}
LONG_SECONDS = 1.0


class SlowVideoReplicate(FakeReplicate):
    """Images at once, videos after a while."""

    async def accept(self, request: web.Request, model: str, version: str, body: dict[str, Any]) -> web.Response:
        self.behaviour.seconds = LONG_SECONDS if model == VIDEO_MODEL else 0.0
        return await super().accept(request, model, version, body)

    async def _output(self, request: web.Request) -> web.Response:
        prediction = self.find(request)
        self.behaviour.media = (
            sample_video() if prediction is not None and prediction.model == VIDEO_MODEL else None
        )
        return await super()._output(request)


@pytest.fixture
async def environment(environments: EnvironmentFactory) -> AsyncIterator[Environment]:
    settings = {"PLAN_A_START_TIMEOUT": "1", "JOB_LEASE_SECONDS": "1"}
    async with environments.open(Environment, replicate=SlowVideoReplicate(), settings=settings) as environment:
        yield environment


async def restart_inngest(environment: Environment) -> None:
    """Start Inngest again, with an empty memory, on the same port."""
    await environment.inngest.start(environment.inngest.port)


async def restore_inngest(environment: Environment) -> None:
    environment.inngest.fault = Fault.NONE
    await environment.inngest.open_ports()


async def do_nothing(environment: Environment) -> None: ...


async def close_port(environment: Environment) -> None:
    await environment.inngest.close_ports()


async def hang(environment: Environment) -> None:
    environment.inngest.fault = Fault.HANG


async def answer_500(environment: Environment) -> None:
    environment.inngest.fault = Fault.ERROR


async def run_nothing(environment: Environment) -> None:
    environment.inngest.fault = Fault.DEAD_EXECUTOR


async def shut_down_with_the_events(environment: Environment) -> None:
    """Inngest shuts down after both events are accepted, or both orders run on Plan B."""

    async def accepted() -> bool:
        jobs = await environment.jobs()
        sent = not await environment.db.fetchval("SELECT count(*) FROM outbox")
        return len(jobs) == 2 and (sent or all(job["plan"] == "B" for job in jobs))

    await wait_until(accepted, what="both events are accepted")
    await shut_down(environment)


async def shut_down_during_a_run(environment: Environment) -> None:
    async def started() -> bool:
        jobs = {job["service"]: job for job in await environment.jobs()}
        return LONG in jobs and jobs[LONG]["started_at"] is not None

    await wait_until(started, what="the long order has started")
    await shut_down(environment)


async def shut_down(environment: Environment) -> None:
    environment.inngest.fault = Fault.NONE
    await environment.inngest.close()


EnvironmentAction = Callable[[Environment], Awaitable[None]]
OUTAGES: dict[str, tuple[EnvironmentAction, EnvironmentAction, EnvironmentAction]] = {
    # what happens before the orders and after them, and how Inngest recovers
    "healthy": (do_nothing, do_nothing, do_nothing),
    "closed port": (close_port, do_nothing, restore_inngest),
    "accepts and never answers": (hang, do_nothing, restore_inngest),
    "answers 500": (answer_500, do_nothing, restore_inngest),
    "accepts the event and then dies": (run_nothing, shut_down_with_the_events, restart_inngest),
    "dies during a run": (do_nothing, shut_down_during_a_run, restart_inngest),
    "comes back": (run_nothing, do_nothing, restore_inngest),
}


@pytest.mark.parametrize("outage", OUTAGES)
@pytest.mark.parametrize("mode", ["auto", "a", "b"])
async def test_orders_in_every_mode_and_outage_end_once(environment: Environment, mode: str, outage: str) -> None:
    before, after, restore = OUTAGES[outage]
    if mode != "auto":
        await environment.set_mode(mode)
    if outage == "healthy":
        environment.settings["PLAN_A_START_TIMEOUT"] = "15"  # a slow machine is no outage
    await environment.start_bot()
    ann, bob = environment.user(), environment.user(1002)
    await ann.open_card_by_prompt()
    await open_video_card(bob)
    await before(environment)
    await ann.tap(ann.text("button.confirm", price=PRICES[SHORT]))
    await bob.tap(bob.text("button.confirm", price=PRICES[LONG]))
    await after(environment)
    if mode == "a" or outage == "comes back":
        await wait_until_both_accepted(environment)
        await restore(environment)
    jobs = await environment.wait_for_ended_jobs(2)

    assert [job["state"] for job in jobs] == ["succeeded"] * 2
    for user, service in ((ann, SHORT), (bob, LONG)):
        await user.wait_for_text(user.text("progress.succeeded", price=PRICES[service]))
        assert await count_delivered(user) == 1
        assert await get_balance(environment.db, user.id) == Balance(100 - PRICES[service], 0)
    assert environment.replicate.creation_attempts == 2
    assert (await check_ledger(environment.db)).is_consistent
    assert await environment.db.fetchval("SELECT count(*) FROM job_events WHERE kind = 'ended'") == 2
    if outage == "healthy":
        assert {job["plan"] for job in jobs} == {"B" if mode == "b" else "A"}
    if mode == "b":
        assert {job["plan"] for job in jobs} == {"B"}


async def open_video_card(user: SandboxUser) -> None:
    await user.send_text("/start")
    await user.wait_for_button("Text to video")
    await user.tap("Text to video")
    await user.wait_for_text(user.text("service.text_to_video.ask.prompt"))
    await user.send_text("waves at night")
    await user.wait_for_button(user.text("button.confirm", price=PRICES[LONG]))


async def wait_until_both_accepted(environment: Environment) -> None:
    async def accepted() -> bool:
        return len(await environment.jobs()) == 2

    await wait_until(accepted, what="both orders are accepted")


async def count_delivered(user: SandboxUser) -> int:
    return len([m for m in await user.bot_messages() if any(x["kind"] in ("photo", "video") for x in m["media"])])
