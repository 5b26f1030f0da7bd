"""kill -9 and lost connections inside one transaction: what belongs together is committed together, or not at all."""

from typing import Any, Literal
from uuid import UUID

import pytest

from sandbox.inngest.server import Fault
from storage.money.ledger import Balance, check_ledger, get_balance
from tests.support.environments.environment import Environment, SandboxUser, wait_until
from tests.support.fake_providers.replicate_server import Outcome
from tests.support.processes.database_breakpoint import set_breakpoint
from tests.support.processes.load_balancer import LoadBalancer

LONG_START_TIMEOUT = {"PLAN_A_START_TIMEOUT": "60", "INNGEST_SEND_DEADLINE": "5"}
"""Longer than a test waits: an event that was not sent is not made up for by Plan B."""
END_STATES: dict[str, Outcome] = {"succeeded": "succeed", "failed": "fail"}


async def unpublished_jobs(environment: Environment) -> list[UUID]:
    """The jobs that wait for Inngest and have no row in the outbox, so that nobody would ever send them."""
    query = """
        SELECT id FROM jobs WHERE plan = 'A' AND state = 'queued' AND NOT EXISTS (
            SELECT FROM outbox WHERE job_id = jobs.id)"""
    return [row["id"] for row in await environment.db.fetch(query)]


async def assert_one_result_and_charge(environment: Environment, user: SandboxUser, job: dict[str, Any]) -> None:
    await user.wait_for_text("Done · 1 ⭐")
    assert (job["state"], len(await user.photo_messages())) == ("succeeded", 1)
    assert len(environment.replicate.predictions) == 1
    assert await get_balance(environment.db, user.id) == Balance(99, 0)
    assert (await check_ledger(environment.db)).is_consistent


@pytest.mark.parametrize("cause", ["kill -9", "lost connection"])
async def test_order_interrupted_at_its_outbox_row_is_accepted_whole_or_not_at_all(
    environment: Environment, cause: Literal["kill -9", "lost connection"]
) -> None:
    """No job is committed without its outbox row. Telegram sends the tap again, and the order ends within seconds."""
    ann = environment.user()
    environment.settings |= LONG_START_TIMEOUT
    bot = await environment.start_bot()
    await ann.open_order_card()
    async with set_breakpoint(environment.db, "outbox") as db_breakpoint:
        await ann.tap("Create")
        await db_breakpoint.wait_until_reached()
        assert await unpublished_jobs(environment) == [], "while the row is being written"
        if cause == "kill -9":
            await bot.kill()
        await db_breakpoint.drop_connection()
    assert await unpublished_jobs(environment) == [], "after the row was not written"
    if cause == "kill -9":
        await bot.start()
    (job,) = await environment.wait_for_ended_jobs()
    await assert_one_result_and_charge(environment, ann, job)


@pytest.mark.parametrize("written", [True, False], ids=["after the write", "before the write"])
@pytest.mark.parametrize("state", END_STATES)
async def test_kill_at_the_settlement_of_a_job_settles_it_once(
    environment: Environment, state: str, written: bool
) -> None:
    """A job and its capture or release end in one transaction, so an ended job never has credits on hold."""
    await environment.inngest.close()
    environment.replicate.behaviour.outcome = END_STATES[state]
    ann = environment.user()
    bot = await environment.start_bot(ready=False)
    async with set_breakpoint(environment.db, "settle") as db_breakpoint:
        await ann.order_from_menu()
        await db_breakpoint.wait_until_reached()
        assert (await check_ledger(environment.db)).is_consistent, "while the settlement is being written"
        await bot.kill()
        if not written:
            await db_breakpoint.drop_connection()
    await bot.start()
    (job,) = await environment.wait_for_ended_jobs()
    assert job["state"] == state
    check, balance = await check_ledger(environment.db), await get_balance(environment.db, ann.id)
    assert check.is_consistent, check
    assert balance == Balance(99 if state == "succeeded" else 100, 0)
    await ann.wait_for_text(ann.text(f"progress.{state}", price=1))


async def is_sent(environment: Environment) -> bool:
    return bool(await environment.db.fetchval("SELECT count(*) = 0 FROM outbox"))


async def restart_and_wait_for_the_end(environment: Environment) -> dict[str, Any]:
    """Restart the bot once the dead publisher's claim of the outbox row has expired. Returns the ended job."""
    assert not await is_sent(environment), "the job is still in the outbox"
    await environment.db.execute("UPDATE outbox SET claimed_until = now()")
    (bot,) = environment.bots
    await bot.start()
    await wait_until(lambda: is_sent(environment), what="the event is sent again")
    (job,) = await environment.wait_for_ended_jobs()
    return job


async def test_kill_while_an_event_is_being_sent_sends_it_after_the_restart(environment: Environment) -> None:
    """A job leaves the outbox after Inngest has accepted its event, never before."""
    proxy = LoadBalancer()
    await proxy.start()
    proxy.targets = [environment.inngest.url]
    await environment.set_mode("a")
    environment.settings |= LONG_START_TIMEOUT
    bot = await environment.start_bot(INNGEST_BASE_URL=proxy.url)
    ann = environment.user()
    await ann.open_order_card()
    environment.inngest.fault = Fault.HANG
    await ann.tap("Create")

    async def is_sending() -> bool:
        return any(path.startswith("/e/") for path in proxy.connections.values())

    await wait_until(is_sending, what="the event is being sent")
    await bot.kill()
    environment.inngest.fault = Fault.NONE
    assert environment.image_runs() == []
    job = await restart_and_wait_for_the_end(environment)
    await assert_one_result_and_charge(environment, ann, job)
    assert len(environment.image_runs()) == 1
    await bot.kill()
    await proxy.close()


async def test_kill_between_the_send_and_its_mark_runs_the_job_once(environment: Environment) -> None:
    """The event is sent again, under the same id: Inngest runs it once."""
    await environment.set_mode("a")
    environment.settings |= LONG_START_TIMEOUT
    bot = await environment.start_bot()
    ann = environment.user()
    await ann.open_order_card()
    async with set_breakpoint(environment.db, "sent") as db_breakpoint:
        await ann.tap("Create")
        await db_breakpoint.wait_until_reached()
        assert len(environment.image_runs()) == 1, "marked as sent only after Inngest has the event"
        await bot.kill()
        await db_breakpoint.drop_connection()
    job = await restart_and_wait_for_the_end(environment)
    await assert_one_result_and_charge(environment, ann, job)
    assert len(environment.image_runs()) == 1
