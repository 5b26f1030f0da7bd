"""kill -9 during a training: the same training is polled further, not started again, with either provider."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from sandbox.inngest.clock import Clock
from sandbox.inngest.server import InngestServer
from storage.money.ledger import Balance, check_ledger, get_balance
from tests.support.environments.environment import Environment, PlanName, wait_until
from tests.support.environments.factory import EnvironmentFactory
from tests.support.environments.offline import (
    WELCOME_CREDITS,
    ConversationUser,
    OfflineEnvironment,
    has_button,
    make_photos,
    unzip,
    wait_for_step,
)
from tests.support.processes.bot_process import BotProcess
from tests.support.processes.database_breakpoint import set_breakpoint

V1, V2 = ("🧬 Train your model", 250), ("🔮 Train your pro model", 210)


@pytest.fixture(params=["A", "B"])
def plan(request: pytest.FixtureRequest) -> PlanName:
    name: PlanName = request.param
    return name


async def choose_plan(environment: Environment, plan: PlanName) -> None:
    """Plan A has a lease so long that the run resumes its job before Plan B may take it over."""
    environment.settings["WELCOME_CREDITS"] = str(WELCOME_CREDITS)
    await environment.inngest.close()
    if plan == "A":
        environment.inngest = InngestServer(clock=Clock(retry_delays=(0.7,)))
        await environment.inngest.start()
        environment.settings |= {"INNGEST_BASE_URL": environment.inngest.url, "JOB_LEASE_SECONDS": "20"}


@pytest.fixture
async def offline(environments: EnvironmentFactory, plan: PlanName) -> AsyncIterator[OfflineEnvironment]:
    async with environments.open(OfflineEnvironment) as environment:
        await choose_plan(environment, plan)
        yield environment


@pytest.fixture
async def real(environments: EnvironmentFactory, plan: PlanName) -> AsyncIterator[Environment]:
    async with environments.open(Environment) as environment:
        await choose_plan(environment, plan)
        yield environment


async def confirm_training(environment: Environment, service: tuple[str, int]) -> ConversationUser:
    """Order a training, from the menu to the confirmed card."""
    ann = ConversationUser(environment.telegram, 1001)
    await ann.open_training_card(service[0], make_photos(), name="Me")
    await ann.wait_for_button(f"Create · {service[1]} ⭐")
    await ann.tap(f"Create · {service[1]} ⭐")
    return ann


async def wait_for_started_training(environment: Environment) -> dict[str, Any]:
    async def look() -> list[dict[str, Any]]:
        return await environment.jobs()

    (job,) = await wait_until(look, what="the order is accepted")
    await wait_for_step(environment, job["id"], "start-1", ended=True)
    return dict(job)


async def assert_trained_once(environment: Environment, ann: ConversationUser, plan: PlanName, price: int) -> None:
    (job,) = await environment.wait_for_ended_jobs()
    assert (job["state"], job["plan"]) == ("succeeded", plan)
    await ann.wait_for_text(f"Done · {price} ⭐")
    ready = [message for message in await ann.bot_messages() if "Your model is ready" in str(message["text"])]
    assert len(ready) == 1
    assert await get_balance(environment.db, ann.id) == Balance(WELCOME_CREDITS - price, 0)
    assert (await check_ledger(environment.db)).is_consistent
    assert await environment.db.fetchval("SELECT count(*) FROM user_models") == 1
    await ann.send_text_and_wait("/models")
    assert has_button(await ann.last_message(), "Me")


async def kill_and_restart(bot: BotProcess) -> None:
    await bot.kill()
    await bot.start()


@pytest.fixture
def service(plan: PlanName) -> tuple[str, int]:
    """One training per plan: the two trainings differ in the provider's part, not in the plan's."""
    return V1 if plan == "A" else V2


@pytest.mark.long
async def test_kills_during_an_offline_training_continue_the_same_training(
    offline: OfflineEnvironment, plan: PlanName, service: tuple[str, int]
) -> None:
    bot = await offline.start_bot(ready=plan == "A", OFFLINE_SECONDS="5")
    ann = await confirm_training(offline, service)
    job = await wait_for_started_training(offline)
    await kill_and_restart(bot)
    await wait_for_step(offline, job["id"], "poll-1", ended=True)
    await kill_and_restart(bot)
    await assert_trained_once(offline, ann, plan, service[1])
    ((request, files),) = offline.offline_requests("training")
    assert unzip(files[0]) == make_photos()
    row = await offline.db.fetchrow("SELECT trigger_word, version FROM user_models")
    assert row is not None
    assert row["version"].endswith(request.id.replace("-", ""))


async def test_kill_before_an_offline_training_is_journaled_starts_no_second_one(
    offline: OfflineEnvironment, plan: PlanName, service: tuple[str, int]
) -> None:
    bot = await offline.start_bot(ready=plan == "A")
    async with set_breakpoint(offline.db, "step start-1") as db_breakpoint:
        ann = await confirm_training(offline, service)
        await db_breakpoint.wait_until_reached()
        await bot.kill()
        await db_breakpoint.drop_connection()
    await bot.start()
    await assert_trained_once(offline, ann, plan, service[1])
    assert len(offline.offline_requests("training")) == 1, "the training is found by its inputs"


async def test_kill_after_the_model_is_stored_stores_no_second_model(
    offline: OfflineEnvironment, plan: PlanName
) -> None:
    """The model is stored, but the end of the step is not: there is still one model."""
    bot = await offline.start_bot(ready=plan == "A")
    async with set_breakpoint(offline.db, "step store") as db_breakpoint:
        ann = await confirm_training(offline, V1)
        await db_breakpoint.wait_until_reached()
        await bot.kill()
        await db_breakpoint.drop_connection()
    await bot.start()
    await assert_trained_once(offline, ann, plan, 250)


async def test_kills_during_a_replicate_training_continue_the_same_training(
    real: Environment, plan: PlanName, service: tuple[str, int]
) -> None:
    real.replicate.behaviour.seconds = 3600.0
    bot = await real.start_bot(ready=plan == "A")
    ann = await confirm_training(real, service)
    job = await wait_for_started_training(real)
    await kill_and_restart(bot)
    await wait_for_step(real, job["id"], "poll-1", ended=True)
    await kill_and_restart(bot)
    (prediction,) = real.replicate.predictions
    prediction.seconds = 0.0
    await assert_trained_once(real, ann, plan, service[1])
    assert real.replicate.creation_attempts == 1, "the same training was polled, not started again"
    uploaded = [content for _, kind, content in real.replicate.files.values() if kind == "application/zip"]
    assert [unzip(one) for one in uploaded] == [make_photos()]
    row = await real.db.fetchrow("SELECT kind, trigger_word, version FROM user_models")
    assert row is not None
    assert row["trigger_word"] == prediction.input["trigger_word"]
    assert prediction.id in row["version"]


async def test_kill_before_a_replicate_training_is_journaled_starts_no_second_one(
    real: Environment, plan: PlanName, service: tuple[str, int]
) -> None:
    bot = await real.start_bot(ready=plan == "A")
    async with set_breakpoint(real.db, "step start-1") as db_breakpoint:
        ann = await confirm_training(real, service)
        await db_breakpoint.wait_until_reached()
        await bot.kill()
        await db_breakpoint.drop_connection()
    await bot.start()
    await assert_trained_once(real, ann, plan, service[1])
    assert real.replicate.creation_attempts == 1
