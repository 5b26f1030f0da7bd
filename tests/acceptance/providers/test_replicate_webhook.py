"""Replicate's webhook wakes a waiting job; forged, outdated and unknown ones are rejected."""

import json
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest

from storage.money.ledger import Balance, get_balance
from tests.support.environments.environment import Environment, PlanName, wait_until
from tests.support.fake_providers.replicate_trainings import WEBHOOK_SECRET, signed_headers
from tests.support.processes.bot_process import BotProcess


@pytest.fixture(params=["A", "B"])
async def plan(request: pytest.FixtureRequest, environment: Environment) -> PlanName:
    name: PlanName = request.param
    if name == "B":
        await environment.inngest.close()
    return name


@pytest.fixture
async def bot(environment: Environment, plan: PlanName) -> BotProcess:
    """A bot that Replicate can reach, so that it waits for the webhook and rarely polls."""
    bot = BotProcess(environment.process_pool, environment.folder, environment.settings)
    bot.settings["PUBLIC_URL"] = bot.url
    environment.bots.append(bot)
    await bot.start()
    if plan == "A":
        await environment.wait_for_plan_a(bot)
    return bot


async def _post(bot: BotProcess, body: bytes, headers: dict[str, str]) -> int:
    url = f"{bot.url}/webhooks/replicate"
    async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=headers) as response:
        return response.status


async def test_webhook_with_a_valid_signature_finishes_the_job_once_and_others_are_rejected(
    environment: Environment, plan: PlanName, bot: BotProcess
) -> None:
    environment.replicate.behaviour.seconds = 3600
    ann = environment.user()
    await ann.order_from_menu()

    async def started() -> list[object]:
        return list(
            await environment.db.fetch("SELECT 1 FROM journal WHERE step = 'start-1' AND ended_at IS NOT NULL")
        )

    await wait_until(started, what="the prediction is journaled")
    (prediction,) = environment.replicate.predictions
    body = json.dumps({"id": prediction.id, "status": "succeeded"}).encode()
    now = datetime.now(UTC)

    wrong = signed_headers(body, "whsec_" + "A" * 32, now)
    assert await _post(bot, body, wrong) == 401, "a wrong signature"
    old = signed_headers(body, WEBHOOK_SECRET, now - timedelta(minutes=10))
    assert await _post(bot, body, old) == 401, "an old timestamp"
    assert await _post(bot, body, {}) == 401, "no signature at all"
    unknown = json.dumps({"id": "somebody-elses"}).encode()
    assert await _post(bot, unknown, signed_headers(unknown, WEBHOOK_SECRET, now)) == 404
    (job,) = await environment.jobs()
    assert job["ended_at"] is None

    prediction.seconds = 0
    for _ in range(3):
        assert await _post(bot, body, signed_headers(body, WEBHOOK_SECRET, datetime.now(UTC))) == 200
    (job,) = await environment.wait_for_ended_jobs(seconds=10)  # sooner than by polling
    assert (job["state"], job["plan"]) == ("succeeded", plan)
    await ann.wait_for_text("Done · 1 ⭐")
    assert len(await ann.photo_messages()) == 1
    assert await get_balance(environment.db, ann.id) == Balance(99, 0)
    assert await _post(bot, body, signed_headers(body, WEBHOOK_SECRET, datetime.now(UTC))) == 200, "after the end"
