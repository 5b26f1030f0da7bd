"""kill -9 during a training: the same training is watched on, not started again, whoever the provider is."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.inngest.engine.execution import Pace
from sandbox.inngest.server import InngestStand
from storage.money.ledger import Balance, check_ledger, get_balance
from storage.pool import Pool
from tests.support.environments.environment import PlanName, Stage, until
from tests.support.environments.offline import (
    STARS,
    Guest,
    OfflineStage,
    has_button,
    journal_has,
    photos,
    unzipped,
)
from tests.support.processes.bot_process import BotProcess, Forge
from tests.support.processes.database_breakpoint import breakpoint_at

V1, V2 = ("🧬 Train your model", 250), ("🔮 Train your pro model", 210)


@pytest.fixture(params=["A", "B"])
def plan(request: pytest.FixtureRequest) -> PlanName:
    name: PlanName = request.param
    return name


async def opened(stage: Stage, plan: PlanName) -> Stage:
    """Plan A with a lease so long that the run comes back to its job before Plan B may take it."""
    await stage.open()
    stage.settings["WELCOME_CREDITS"] = str(STARS)
    await stage.inngest.close()
    if plan == "A":
        stage.inngest = InngestStand(pace=Pace(retry_delays=(0.7,)))
        await stage.inngest.start()
        stage.settings |= {"INNGEST_BASE_URL": stage.inngest.url, "JOB_LEASE_SECONDS": "20"}
    return stage


@pytest.fixture
async def offline(db: Pool, dsn: str, tmp_path: Path, forge: Forge, plan: PlanName) -> AsyncIterator[OfflineStage]:
    stage = OfflineStage(db, dsn, tmp_path, forge)
    await opened(stage, plan)
    yield stage
    await stage.close()


@pytest.fixture
async def real(db: Pool, dsn: str, tmp_path: Path, forge: Forge, plan: PlanName) -> AsyncIterator[Stage]:
    stage = await opened(Stage(db, dsn, tmp_path, forge), plan)
    yield stage
    await stage.close()


async def confirmed(stage: Stage, service: tuple[str, int]) -> Guest:
    """From the menu to the confirmed card."""
    ann = Guest(stage.telegram, 1001)
    await ann.train(service[0], photos(), name="Me")
    await ann.can_tap(f"Create · {service[1]} ⭐")
    await ann.tap(f"Create · {service[1]} ⭐")
    return ann


async def job_begun(stage: Stage) -> dict[str, Any]:
    async def look() -> list[dict[str, Any]]:
        return await stage.jobs()

    (job,) = await until(look, what="the order is taken")
    await journal_has(stage, job["id"], "start-1", ended=True)
    return dict(job)


async def trained_once(stage: Stage, ann: Guest, plan: PlanName, price: int) -> None:
    (job,) = await stage.ended_jobs()
    assert (job["state"], job["plan"]) == ("succeeded", plan)
    await ann.sees(f"Done · {price} ⭐")
    ready = [message for message in await ann.from_bot() if "Your model is ready" in str(message["text"])]
    assert len(ready) == 1
    assert await get_balance(stage.db, ann.id) == Balance(STARS - price, 0)
    assert (await check_ledger(stage.db)).right
    assert await stage.db.fetchval("SELECT count(*) FROM own_models") == 1
    await ann.says("/models")
    assert has_button(await ann.last(), "Me")


async def killed_and_started(bot: BotProcess) -> None:
    await bot.kill()
    await bot.start()


@pytest.fixture
def service(plan: PlanName) -> tuple[str, int]:
    """Each training on one of the plans: what differs between them is the provider's side, not the plan's."""
    return V1 if plan == "A" else V2


@pytest.mark.long
async def test_offline_training(offline: OfflineStage, plan: PlanName, service: tuple[str, int]) -> None:
    bot = await offline.start_bot(ready=plan == "A", OFFLINE_SECONDS="5")
    ann = await confirmed(offline, service)
    job = await job_begun(offline)
    await killed_and_started(bot)
    await journal_has(offline, job["id"], "poll-1", ended=True)
    await killed_and_started(bot)
    await trained_once(offline, ann, plan, service[1])
    ((asked, files),) = offline.offline_work("training")
    assert unzipped(files[0]) == photos()
    row = await offline.db.fetchrow("SELECT trigger, version FROM own_models")
    assert row is not None
    assert row["version"].endswith(asked.id.replace("-", ""))


async def test_offline_training_asked_for_and_not_written_down(
    offline: OfflineStage, plan: PlanName, service: tuple[str, int]
) -> None:
    bot = await offline.start_bot(ready=plan == "A")
    async with breakpoint_at(offline.db, "step start-1") as stopped:
        ann = await confirmed(offline, service)
        await stopped.reached()
        await bot.kill()
        await stopped.lose_write()
    await bot.start()
    await trained_once(offline, ann, plan, service[1])
    assert len(offline.offline_work("training")) == 1, "found again by its inputs"


async def test_killed_between_the_model_and_its_shelf(offline: OfflineStage, plan: PlanName) -> None:
    """The model is stored and the step's end is not: there is still one model."""
    bot = await offline.start_bot(ready=plan == "A")
    async with breakpoint_at(offline.db, "step store") as stopped:
        ann = await confirmed(offline, V1)
        await stopped.reached()
        await bot.kill()
        await stopped.lose_write()
    await bot.start()
    await trained_once(offline, ann, plan, 250)


async def test_training_at_replicate(real: Stage, plan: PlanName, service: tuple[str, int]) -> None:
    real.replicate.knobs.seconds = 3600.0
    bot = await real.start_bot(ready=plan == "A")
    ann = await confirmed(real, service)
    job = await job_begun(real)
    await killed_and_started(bot)
    await journal_has(real, job["id"], "poll-1", ended=True)
    await killed_and_started(bot)
    (made,) = real.replicate.predictions
    made.seconds = 0.0
    await trained_once(real, ann, plan, service[1])
    assert real.replicate.asked == 1, "the same training was watched, not started again"
    uploaded = [content for _, kind, content in real.replicate.files.values() if kind == "application/zip"]
    assert [unzipped(one) for one in uploaded] == [photos()]
    row = await real.db.fetchrow("SELECT kind, trigger, version FROM own_models")
    assert row is not None
    assert row["trigger"] == made.input["trigger_word"]
    assert made.id in row["version"]


async def test_training_at_replicate_asked_for_and_not_written_down(
    real: Stage, plan: PlanName, service: tuple[str, int]
) -> None:
    bot = await real.start_bot(ready=plan == "A")
    async with breakpoint_at(real.db, "step start-1") as stopped:
        ann = await confirmed(real, service)
        await stopped.reached()
        await bot.kill()
        await stopped.lose_write()
    await bot.start()
    await trained_once(real, ann, plan, service[1])
    assert real.replicate.asked == 1
