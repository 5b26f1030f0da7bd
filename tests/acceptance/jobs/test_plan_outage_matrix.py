"""Every mode with every illness of Inngest's, for a short and a long service: each order ends once, is charged
once, made once and delivered once."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from sandbox.inngest.server import Fault
from storage.money.ledger import Balance, check_ledger, get_balance
from storage.pool import Pool
from tests.support.environments.environment import Person, Stage, until
from tests.support.environments.providers import film
from tests.support.fake_providers.replicate_server import ReplicateStand
from tests.support.processes.bot_process import Forge

FILM_MODEL = "wavespeedai/wan-2.1-t2v-480p"
SHORT, LONG = "text_to_image", "text_to_video"
PRICES = {SHORT: 1, LONG: 40}
LONG_SECONDS = 1.0


class Studio(ReplicateStand):
    """Pictures at once, films after a while."""

    async def accept(self, request: web.Request, model: str, version: str, body: dict[str, Any]) -> web.Response:
        self.knobs.seconds = LONG_SECONDS if model == FILM_MODEL else 0.0
        return await super().accept(request, model, version, body)

    async def _output(self, request: web.Request) -> web.Response:
        made = self.find(request)
        self.knobs.media = film() if made is not None and made.model == FILM_MODEL else None
        return await super()._output(request)


@pytest.fixture
async def stage(db: Pool, dsn: str, tmp_path: Path, forge: Forge) -> AsyncIterator[Stage]:
    stage = Stage(db, dsn, tmp_path, forge, replicate=Studio())
    await stage.open()
    stage.settings |= {"PLAN_A_START_TIMEOUT": "1", "JOB_LEASE_SECONDS": "1"}
    yield stage
    await stage.close()


async def begin_again(stage: Stage) -> None:
    """Inngest is started anew, with an empty memory, at the same port."""
    await stage.inngest.start(stage.inngest.port)


async def well(stage: Stage) -> None:
    stage.inngest.fault = Fault.NONE
    await stage.inngest.plug()


async def nothing(stage: Stage) -> None: ...


async def close_the_port(stage: Stage) -> None:
    await stage.inngest.unplug()


async def never_answer(stage: Stage) -> None:
    stage.inngest.fault = Fault.HANG


async def answer_500(stage: Stage) -> None:
    stage.inngest.fault = Fault.ERROR


async def run_nothing(stage: Stage) -> None:
    stage.inngest.fault = Fault.DEAD_EXECUTOR


async def die_with_the_events(stage: Stage) -> None:
    """It has accepted both events, or would have, and dies."""

    async def accepted() -> bool:
        jobs = await stage.jobs()
        sent = not await stage.db.fetchval("SELECT count(*) FROM outbox")
        return len(jobs) == 2 and (sent or all(job["plan"] == "B" for job in jobs))

    await until(accepted, what="both events are accepted")
    await die(stage)


async def die_in_the_middle(stage: Stage) -> None:
    async def begun() -> bool:
        jobs = {job["service"]: job for job in await stage.jobs()}
        return LONG in jobs and jobs[LONG]["started_at"] is not None

    await until(begun, what="the long order is begun")
    await die(stage)


async def die(stage: Stage) -> None:
    stage.inngest.fault = Fault.NONE
    await stage.inngest.close()


Act = Callable[[Stage], Awaitable[None]]
ILLNESSES: dict[str, tuple[Act, Act, Act]] = {
    # before the orders, after them, and how it gets well again
    "healthy": (nothing, nothing, nothing),
    "closed port": (close_the_port, nothing, well),
    "accepts and never answers": (never_answer, nothing, well),
    "answers 500": (answer_500, nothing, well),
    "accepts the event and then dies": (run_nothing, die_with_the_events, begin_again),
    "dies in the middle of a run": (nothing, die_in_the_middle, begin_again),
    "comes back": (run_nothing, nothing, well),
}


@pytest.mark.parametrize("illness", ILLNESSES)
@pytest.mark.parametrize("mode", ["auto", "a", "b"])
async def test_each_order_ends_once(stage: Stage, mode: str, illness: str) -> None:
    before, after, heal = ILLNESSES[illness]
    if mode != "auto":
        await stage.set_mode(mode)
    if illness == "healthy":
        stage.settings["PLAN_A_START_TIMEOUT"] = "15"  # a slow machine is no illness
    await stage.start_bot()
    ann, bob = stage.person(), stage.person(1002)
    await ann.write_card()
    await card_of_a_film(bob)
    await before(stage)
    await ann.tap(ann.said("button.confirm", price=PRICES[SHORT]))
    await bob.tap(bob.said("button.confirm", price=PRICES[LONG]))
    await after(stage)
    if mode == "a" or illness == "comes back":
        await both_taken(stage)
        await heal(stage)
    jobs = await stage.ended_jobs(2)

    assert [job["state"] for job in jobs] == ["succeeded"] * 2
    for person, service in ((ann, SHORT), (bob, LONG)):
        await person.sees(person.said("progress.succeeded", price=PRICES[service]))
        assert await delivered(person) == 1
        assert await get_balance(stage.db, person.id) == Balance(100 - PRICES[service], 0)
    assert stage.replicate.asked == 2
    assert (await check_ledger(stage.db)).right
    assert await stage.db.fetchval("SELECT count(*) FROM job_events WHERE kind = 'ended'") == 2
    if illness == "healthy":
        assert {job["plan"] for job in jobs} == {"B" if mode == "b" else "A"}
    if mode == "b":
        assert {job["plan"] for job in jobs} == {"B"}


async def card_of_a_film(person: Person) -> None:
    await person.say("/start")
    await person.can_tap("Text to video")
    await person.tap("Text to video")
    await person.sees(person.said("service.text_to_video.ask.prompt"))
    await person.say("waves at night")
    await person.can_tap(person.said("button.confirm", price=PRICES[LONG]))


async def both_taken(stage: Stage) -> None:
    async def taken() -> bool:
        return len(await stage.jobs()) == 2

    await until(taken, what="both orders are taken")


async def delivered(person: Person) -> int:
    return len([m for m in await person.from_bot() if any(x["kind"] in ("photo", "video") for x in m["media"])])
