"""Cancelling an order: the hold is released, the prediction is cancelled, and a late result is not delivered."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from sandbox.inngest.clock import Clock
from sandbox.inngest.server import InngestServer
from services.jobs.expiry import STALE_AFTER
from storage.jobs.jobs import release_stale_jobs
from storage.money.ledger import Balance, check_ledger, get_balance
from tests.support.environments.environment import Environment, PlanName, SandboxUser, wait_until
from tests.support.environments.factory import EnvironmentFactory
from tests.support.environments.offline import (
    OfflineEnvironment,
    has_button,
    make_photos,
    wait_for_latest_job,
    wait_for_step,
)
from tests.support.fake_providers.replicate_server import FakeReplicate

CANCEL_BUTTON = "Stop"
CANCELLED = "Cancelled; nothing was charged"
TOO_LATE = "It is done already, or on its way to you."


class SlowToCancel(FakeReplicate):
    """Neither answers nor performs a cancel while `hold_cancels` is set."""

    hold_cancels = False
    cancels = 0

    async def _cancel(self, request: web.Request) -> web.Response:
        self.cancels += 1
        if self.hold_cancels:
            await self._closing.wait()
        return await super()._cancel(request)


@pytest.fixture
async def environment(environments: EnvironmentFactory) -> AsyncIterator[Environment]:
    async with environments.open(Environment, replicate=SlowToCancel(seconds=0.0, outcome="never")) as environment:
        yield environment


@pytest.fixture(params=["A", "B"])
async def plan(request: pytest.FixtureRequest, environment: Environment) -> PlanName:
    name: PlanName = request.param
    if name == "B":
        await environment.inngest.close()
    return name


async def start_order(environment: Environment, user: SandboxUser, prompt: str = "a lighthouse") -> dict[str, Any]:
    """Place an order and wait until its prediction is journaled. Returns the job."""
    await user.order_from_menu(prompt)
    await user.wait_for_text("Working on it")

    async def look() -> dict[str, Any] | None:
        mine = [job for job in await environment.jobs() if job["user_id"] == user.id]
        return mine[-1] if mine else None

    job: dict[str, Any] = await wait_until(look, what="the order is accepted")
    await wait_for_step(environment, job["id"], "start-1", ended=True)
    return job


async def toasts(user: SandboxUser) -> list[str]:
    chat = await user.telegram.api.get(f"chat/{user.id}")
    return [event["text"] for event in chat["events"] if event["text"]]


async def wait_for_toast(user: SandboxUser, text: str) -> None:
    async def look() -> bool:
        return text in await toasts(user)

    await wait_until(look, what=f"a toast shows {text!r}")


async def assert_cancelled_without_charge(environment: Environment, user: SandboxUser, credits: int = 100) -> None:
    """The order is cancelled, the balance is unchanged, and the progress message says so."""
    await wait_for_latest_job(environment, user.id)
    jobs = [job for job in await environment.jobs() if job["user_id"] == user.id]
    assert [(job["state"], job["result"]) for job in jobs] == [("cancelled", None)]
    ended = await user.wait_for_text(CANCELLED)
    assert not ended["keyboard"], "no buttons are left"
    assert await get_balance(environment.db, user.id) == Balance(credits, 0)
    assert (await check_ledger(environment.db)).is_consistent
    assert not await user.photo_messages()


async def test_cancel_while_running_releases_the_hold_and_cancels_the_prediction(
    environment: Environment, plan: PlanName
) -> None:
    await environment.start_bot(ready=plan == "A")
    ann = environment.user()
    job = await start_order(environment, ann)
    assert await get_balance(environment.db, ann.id) == Balance(99, 1)
    assert job["plan"] == plan
    await ann.tap(CANCEL_BUTTON)
    await assert_cancelled_without_charge(environment, ann)
    (prediction,) = environment.replicate.predictions
    assert prediction.status() == "canceled", "the prediction was cancelled too"
    assert "Stopping; nothing will be charged" in await toasts(ann)
    await ann.send_text("/history")
    history = await ann.wait_for_text("Your last orders")
    assert "✖️" in str(history["text"])
    assert "0 ⭐" in str(history["text"])


async def test_cancel_while_running_offline_cancels_the_offline_prediction(
    environments: EnvironmentFactory,
) -> None:
    async with environments.open(OfflineEnvironment) as environment:
        for number, plan in enumerate("AB"):
            if plan == "B":
                await environment.inngest.close()
            bot = await environment.start_bot(ready=plan == "A")
            ann = environment.user(1001 + number)
            assert (await start_order(environment, ann, "a lighthouse #never"))["plan"] == plan
            await ann.tap(CANCEL_BUTTON)
            await ann.wait_for_text(CANCELLED)
            assert (await environment.wait_for_ended_jobs(number + 1))[-1]["state"] == "cancelled"
            assert await get_balance(environment.db, ann.id) == Balance(2000, 0)
            requests = [record for record, _ in environment.offline_requests("image")]
            assert len(requests) == number + 1
            assert requests[-1].cancelled_at is not None
            await bot.kill()
        assert (await check_ledger(environment.db)).is_consistent


async def test_cancel_while_queued_on_plan_b_moves_the_queue_up(environment: Environment) -> None:
    await environment.inngest.close()
    await environment.start_bot(ready=False, PLAN_B_SLOTS="1")
    ann, bob, cyd = (environment.user(number) for number in (1001, 1002, 1003))
    await start_order(environment, ann)
    await bob.order_from_menu()
    await bob.wait_for_text("Place in the queue: 1")
    await cyd.order_from_menu()
    await cyd.wait_for_text("Place in the queue: 2")
    await bob.tap(CANCEL_BUTTON)
    await assert_cancelled_without_charge(environment, bob)
    assert environment.replicate.creation_attempts == 1, (
        "an order cancelled before its start never reaches the provider"
    )

    waiting = await cyd.wait_for_text("Place in the queue: 1")
    assert has_button(waiting, CANCEL_BUTTON), "an order that moves up can still be cancelled"
    await ann.tap(CANCEL_BUTTON)
    await assert_cancelled_without_charge(environment, ann)
    await cyd.wait_for_text("Working on it")
    assert [job["state"] for job in await environment.jobs()] == ["cancelled", "cancelled", "running"]


async def test_cancel_while_waiting_for_inngest_never_starts_the_job(environment: Environment) -> None:
    """In mode `a`, with Inngest down, the order waits, is cancelled, and never starts."""
    await environment.set_mode("a")
    await environment.inngest.close()
    await environment.start_bot(ready=False)
    ann = environment.user()
    await ann.order_from_menu()
    await ann.wait_for_text("The workshop is away for a moment")
    await ann.tap(CANCEL_BUTTON)
    await assert_cancelled_without_charge(environment, ann)
    environment.inngest = InngestServer(clock=Clock(retry_delays=(0.2,)))
    await environment.inngest.start()
    environment.settings["INNGEST_BASE_URL"] = environment.inngest.url
    await environment.bots[0].kill()
    await environment.start_bot()

    async def outbox_is_empty() -> bool:
        return not await environment.db.fetchval("SELECT count(*) FROM outbox")

    await wait_until(outbox_is_empty, what="the outbox is empty")
    await assert_cancelled_without_charge(environment, ann)
    assert environment.replicate.creation_attempts == 0


async def test_cancel_during_delivery_is_too_late(environment: Environment, plan: PlanName) -> None:
    await environment.start_bot(ready=plan == "A")
    environment.replicate.behaviour.outcome = "succeed"
    environment.replicate.behaviour.seconds = 1.5
    ann = environment.user()
    job = await start_order(environment, ann)
    await environment.telegram.add_fault(method="sendPhoto", hang=1.0)
    await wait_for_step(environment, job["id"], "deliver")
    await ann.tap(CANCEL_BUTTON)
    await wait_for_toast(ann, TOO_LATE)
    await ann.wait_for_text("Done · 1 ⭐")
    (job,) = await environment.wait_for_ended_jobs()
    assert job["state"] == "succeeded"
    assert len(await ann.photo_messages()) == 1
    assert await get_balance(environment.db, ann.id) == Balance(99, 0)
    assert (await check_ledger(environment.db)).is_consistent


async def test_cancel_of_another_users_order_is_refused(environment: Environment) -> None:
    await environment.inngest.close()
    await environment.start_bot(ready=False)
    ann, bob = environment.user(), environment.user(1002)
    await start_order(environment, ann)
    progress = await ann.wait_for_button(CANCEL_BUTTON)
    (cancel_button,) = (
        button for row in progress["keyboard"] for button in row if CANCEL_BUTTON in button["text"]
    )
    await bob.send_text("/start")
    greeting = await bob.wait_for_text("Hello")
    await environment.telegram.api.post(
        "callback", user_id=bob.id, data=cancel_button["callback_data"], message_id=greeting["message_id"]
    )
    await wait_for_toast(bob, "This button is no longer in use. /menu shows what can be made.")
    (job,) = await environment.jobs()
    assert (job["state"], job["cancel_requested"]) == ("running", False)
    assert environment.replicate.predictions[0].status() != "canceled"


async def test_cancel_tapped_three_times_cancels_once(environment: Environment, plan: PlanName) -> None:
    await environment.start_bot(ready=plan == "A")
    ann = environment.user()
    await start_order(environment, ann)
    await ann.tap(CANCEL_BUTTON, times=3)
    await assert_cancelled_without_charge(environment, ann)

    async def all_answered() -> list[str] | None:
        texts = await toasts(ann)
        return texts if len(texts) == 3 else None

    texts = await wait_until(all_answered, what="every tap is answered")
    assert texts[0] == "Stopping; nothing will be charged"
    assert TOO_LATE not in texts, "a cancelled order is not reported as on its way"
    rows = await environment.db.fetch(
        "SELECT kind FROM ledger_transactions WHERE kind IN ('hold', 'release', 'capture')"
    )
    assert sorted(row["kind"] for row in rows) == ["hold", "release"]


async def test_late_result_after_cancel_is_not_delivered(environment: Environment, plan: PlanName) -> None:
    """The provider refuses to cancel and finishes the prediction anyway."""
    await environment.start_bot(ready=plan == "A")
    environment.replicate.behaviour.outcome = "succeed"
    environment.replicate.behaviour.seconds = 3.0
    environment.replicate.fail_next(500, path="/cancel", times=0)
    ann = environment.user()
    await start_order(environment, ann)
    await ann.tap(CANCEL_BUTTON)
    await assert_cancelled_without_charge(environment, ann)
    (prediction,) = environment.replicate.predictions
    assert prediction.status() in {"starting", "processing"}, "the provider continues"

    async def finished() -> bool:
        return prediction.status() == "succeeded"

    await wait_until(finished, what="the prediction is finished anyway")
    polls = len(environment.replicate.requests)
    await ann.send_text("/balance")
    await ann.wait_for_text("You have 100 Stars")
    # A worker that still polled would do so at least every 3 seconds.
    soon = prediction.created_at + timedelta(seconds=6)

    async def long_enough() -> bool:
        return datetime.now(UTC) > soon

    await wait_until(long_enough)
    assert len(environment.replicate.requests) == polls, "the prediction is no longer polled"
    await assert_cancelled_without_charge(environment, ann)


async def test_cancel_followed_by_a_kill_ends_as_cancelled_after_restart(
    environment: Environment, plan: PlanName
) -> None:
    """Kill -9 after the cancellation is committed, during the provider's cancel call: the next process completes it."""
    assert isinstance(environment.replicate, SlowToCancel)
    bot = await environment.start_bot(ready=plan == "A")
    ann = environment.user()
    await start_order(environment, ann)
    environment.replicate.hold_cancels = True
    await ann.tap(CANCEL_BUTTON)

    async def cancel_requested() -> bool:
        assert isinstance(environment.replicate, SlowToCancel)
        return environment.replicate.cancels > 0

    await wait_until(cancel_requested, what="the provider is asked to cancel")
    await bot.kill()
    (job,) = await environment.jobs()
    assert (job["state"], job["cancel_requested"]) == ("running", True)
    assert await get_balance(environment.db, ann.id) == Balance(99, 1)
    environment.replicate.hold_cancels = False
    await bot.start()
    await assert_cancelled_without_charge(environment, ann)
    (prediction,) = environment.replicate.predictions
    assert prediction.status() == "canceled"
    assert environment.replicate.creation_attempts == 1


@pytest.mark.parametrize("killed", [True, False], ids=["killed", "Telegram answers 500"])
async def test_cancelled_message_after_a_kill_or_telegram_error_is_shown_eventually(
    environment: Environment, killed: bool
) -> None:
    """The order is cancelled, but its message is not yet edited when the bot is killed or Telegram fails."""
    await environment.inngest.close()
    bot = await environment.start_bot(ready=False)
    ann = environment.user()
    await start_order(environment, ann)
    hang = 2.0 if killed else 0.0
    await environment.telegram.add_fault(method="editMessageText", hang=hang, code=500, times=100)
    await ann.tap(CANCEL_BUTTON)
    (job,) = await environment.wait_for_ended_jobs()
    if killed:
        await bot.kill()
    assert not job["finalized"], "its message still shows that it runs"
    await environment.telegram.api.clear_faults()
    if killed:
        await bot.start()
    await ann.wait_for_text(CANCELLED)
    await assert_cancelled_without_charge(environment, ann)


async def test_cancel_of_a_training_cancels_it_at_the_provider(environment: Environment, plan: PlanName) -> None:
    """Trainings have another cancel URL than predictions."""
    environment.settings["WELCOME_CREDITS"] = "2000"
    await environment.start_bot(ready=plan == "A")
    ann = OfflineEnvironment.conversation_user(environment, 1001)  # type: ignore[arg-type]
    await ann.open_training_card("🧬 Train your model", make_photos())
    await ann.tap_and_wait("Create · 250 ⭐")
    (job,) = await environment.jobs()
    await wait_for_step(environment, job["id"], "start-1", ended=True)
    await ann.tap(CANCEL_BUTTON)
    await assert_cancelled_without_charge(environment, ann, credits=2000)
    (prediction,) = environment.replicate.predictions
    assert prediction.destination is not None
    assert prediction.status() == "canceled"
    assert await environment.db.fetchval("SELECT count(*) FROM user_models") == 0


async def test_cancel_of_an_order_cancels_its_inngest_run(environment: Environment) -> None:
    """`job/cancelled` is sent, and Inngest cancels the sleeping run: it never calls the bot for it again."""
    await environment.start_bot()
    ann = environment.user()
    await start_order(environment, ann)
    (run,) = environment.image_runs()
    await ann.tap(CANCEL_BUTTON)
    await ann.wait_for_text(CANCELLED)

    async def is_cancelled() -> bool:
        return run.status == "Cancelled"

    await wait_until(is_cancelled, what="Inngest has cancelled the run")


async def test_order_waiting_for_a_day_expires_and_costs_nothing(environment: Environment) -> None:
    """In mode `a`, Inngest does not come back."""
    await environment.set_mode("a")
    await environment.inngest.close()
    await environment.start_bot(ready=False)
    ann = environment.user()
    await ann.order_from_menu()
    await ann.wait_for_text("The workshop is away for a moment")
    assert await release_stale_jobs(environment.db, seconds=STALE_AFTER.total_seconds()) == 0
    await environment.db.execute("UPDATE jobs SET created_at = created_at - interval '25 hours'")
    assert await release_stale_jobs(environment.db, seconds=STALE_AFTER.total_seconds()) == 1
    await ann.wait_for_text(ann.text("failure.expired"))
    (job,) = await environment.wait_for_ended_jobs()
    assert (job["state"], job["failure"]) == ("failed", "failure.expired")
    assert await get_balance(environment.db, 1001) == Balance(100, 0)
    assert environment.replicate.creation_attempts == 0
    assert (await check_ledger(environment.db)).is_consistent
