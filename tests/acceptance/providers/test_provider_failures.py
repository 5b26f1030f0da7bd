"""Failing predictions: each failure is explained in the user's language, and its credits are returned."""

from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from bot.providers import create_providers
from bot.settings import Settings
from bot.telegram.bots import create_bots
from services.core.background import BackgroundTasks
from services.core.i18n import Texts
from services.durable.pubsub import PubSub
from services.durable.steps import DirectSteps
from services.generation import text_to_image
from services.jobs.engine import JobEngine
from services.messaging.bots import Bots
from services.messaging.messenger import Messenger
from services.notifications.notify import notify_training_failed
from storage.jobs.jobs import claim_next_job
from storage.money.ledger import Balance, check_ledger, get_balance
from tests.support.environments.environment import (
    BOT_TOKEN,
    Environment,
    PlanName,
    SandboxUser,
    button_labels,
    message_text,
)
from tests.support.fake_providers.replicate_server import TOKEN as REPLICATE_TOKEN
from tests.support.fake_providers.replicate_server import Outcome
from tests.support.test_data.factories import add_job, add_user


@pytest.fixture
async def ann(environment: Environment) -> SandboxUser:
    await environment.start_bot()
    return environment.user()


FAILURE_KEYS = {"fail": "failure.provider", "nsfw": "failure.moderation", "aborted": "failure.timed_out"}
OUTCOMES: dict[str, Outcome] = {"red": "fail", "blue": "nsfw", "old": "aborted"}


async def assert_failure_explained_and_returned(environment: Environment, user: SandboxUser, key: str) -> None:
    message = await user.wait_for_text(user.text(key))
    assert user.text("failure.returned", 1) in message_text(message)
    assert any(user.text("button.retry", price=1) in label for label in button_labels(message))
    await user.wait_for_text(user.text("progress.failed"))
    assert await get_balance(environment.db, user.id) == Balance(100, 0)
    chat = "\n".join(message_text(message) for message in await user.bot_messages())
    for raw in ("CUDA", "NSFW", "from the fake provider", "aborted", "Traceback"):
        assert raw not in chat, "never a provider's raw text"


@pytest.mark.parametrize("plan", ["A", "B"])
async def test_failed_prediction_costs_nothing_and_is_explained_in_the_users_language(
    environment: Environment, plan: PlanName
) -> None:
    if plan == "B":
        await environment.inngest.close_ports()
    await environment.start_bot(ready=plan == "A")
    environment.replicate.behaviour.outcome = lambda model_input: OUTCOMES[model_input["prompt"].split()[0]]
    users = {
        (language, fox): environment.user(2000 + 10 * number + other, language_code=language)
        for number, fox in enumerate(OUTCOMES)
        for other, language in enumerate(("en", "ru"))
    }
    for (_, fox), user in users.items():
        await user.order_by_prompt(f"{fox} fox")
    jobs = await environment.wait_for_ended_jobs(len(users))
    assert {(job["state"], job["plan"]) for job in jobs} == {("failed", plan)}
    for (_, fox), user in users.items():
        await assert_failure_explained_and_returned(environment, user, FAILURE_KEYS[OUTCOMES[fox]])
    assert environment.replicate.creation_attempts == len(users), "one request each: retrying would not help"
    assert (await check_ledger(environment.db)).is_consistent

    environment.replicate.behaviour.outcome = "succeed"
    ann = users["en", "red"]
    await ann.tap("Try again · 1 ⭐")
    await ann.wait_for_text("balance 99 ⭐")
    await ann.wait_for_text("Done · 1 ⭐")


@pytest.mark.parametrize("plan", ["A", "B"])
async def test_provider_error_is_retried_only_if_transient(environment: Environment, plan: PlanName) -> None:
    if plan == "B":
        await environment.inngest.close_ports()
    await environment.start_bot(ready=plan == "A")
    ann = environment.user()
    for status, key in ((402, "failure.provider"), (422, "failure.bad_input"), (401, "failure.provider")):
        attempts = environment.replicate.creation_attempts
        environment.replicate.fail_next(status, path="POST /v1/models", message="from the fake provider")
        card = await ann.order_by_prompt(f"a fox for {status}")
        message = await ann.wait_for_text(ann.text(key), after=card["message_id"])
        assert ann.text("failure.returned", 1) in message_text(message)
        assert environment.replicate.creation_attempts == attempts + 1
    jobs = await environment.wait_for_ended_jobs(3)
    assert {job["state"] for job in jobs} == {"failed"}
    assert await get_balance(environment.db, ann.id) == Balance(100, 0)

    attempts = environment.replicate.creation_attempts
    environment.replicate.fail_next(429, path="POST /v1/models", retry_after=0.5)
    environment.replicate.fail_next(503, path="GET /v1/predictions/")
    await ann.order_by_prompt("a fox that has to wait")
    await ann.wait_for_text("balance 99 ⭐")
    jobs = await environment.wait_for_ended_jobs(4)
    assert (jobs[3]["state"], jobs[3]["plan"]) == ("succeeded", plan)
    assert (environment.replicate.creation_attempts - attempts, len(environment.replicate.predictions)) == (2, 1)
    assert (await check_ledger(environment.db)).is_consistent


async def test_provider_outage_is_retried_a_few_times_and_given_up(
    environment: Environment, ann: SandboxUser
) -> None:
    environment.replicate.fail_next(500, path="POST /v1/models", times=0)
    await ann.order_by_prompt()
    await assert_failure_explained_and_returned(environment, ann, "failure.busy")
    (job,) = await environment.wait_for_ended_jobs()
    assert (job["state"], job["failure"]) == ("failed", "failure.busy")
    assert 2 <= environment.replicate.creation_attempts <= 5

    attempts, bob = environment.replicate.creation_attempts, environment.user(1002)
    await bob.order_by_prompt("a naked child, nsfw")
    await assert_failure_explained_and_returned(environment, bob, "failure.moderation")
    assert environment.replicate.creation_attempts == attempts, (
        "what moderation refuses never reaches the provider"
    )


async def test_prediction_that_never_ends_is_cancelled_and_returns_the_credits(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The engine runs in this process, where its time limit can be shortened."""
    monkeypatch.setattr(text_to_image, "SPEC", replace(text_to_image.SPEC, time_limit_seconds=1))
    environment.replicate.behaviour.outcome = "never"
    ann = environment.user()
    await ann.send_text("/start")
    await add_user(environment.db)
    await add_job(environment.db, price=1)
    token, url = SecretStr(REPLICATE_TOKEN), environment.replicate.url
    settings = Settings(_env_file=None, replicate_api_token=token, replicate_base_url=url, data_dir=tmp_path)
    bots = create_bots({"main": BOT_TOKEN}, environment.telegram.url)
    messenger = Messenger(environment.db, Bots(bots), Texts())
    providers, background = create_providers(settings), BackgroundTasks()
    try:
        job = await claim_next_job(environment.db, "me", seconds=20, per_user_limit=2, takeover_services=[])
        assert job
        engine = JobEngine(environment.db, messenger, providers, background, {}, notify_training_failed)
        assert await engine.run_job(job, DirectSteps(environment.db, job, {}, PubSub())) == "failed"
    finally:
        await background.drain(0)
        await providers.close()
        await bots["main"].session.close()
    message = await ann.wait_for_text(ann.text("failure.timed_out"))
    assert ann.text("failure.returned", 1) in message_text(message)
    assert [prediction.status() for prediction in environment.replicate.predictions] == ["canceled"]
    assert await get_balance(environment.db, ann.id) == Balance(100, 0)
