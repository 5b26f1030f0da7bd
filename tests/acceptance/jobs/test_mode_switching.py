"""An admin switches modes while two hundred orders are running: each ends once."""

import asyncio

import pytest

from storage.jobs.jobs import Plan
from storage.jobs.outbox import add_to_outbox
from storage.money.ledger import check_ledger
from tests.support.environments.environment import Environment
from tests.support.test_data.factories import add_job, add_user

pytestmark = pytest.mark.long
WAVE = 50
WAVES: tuple[tuple[str, Plan], ...] = (("a", "A"), ("b", "B"), ("a", "A"), ("auto", "A"))


async def test_orders_during_mode_switches_end_once(environment: Environment) -> None:
    environment.replicate.behaviour.seconds = 0.5
    await environment.start_bot(PLAN_B_SLOTS="32", JOB_LEASE_SECONDS="5", PLAN_A_START_TIMEOUT="30")
    for number, (mode, plan) in enumerate(WAVES):
        await environment.set_mode(mode)
        await asyncio.gather(
            *(_commit_order(environment, 2000 + number * WAVE + each, plan) for each in range(WAVE))
        )
    await environment.set_mode("b")
    await environment.set_mode("auto")
    jobs = await environment.wait_for_ended_jobs(WAVE * len(WAVES), seconds=60)

    assert {job["state"] for job in jobs} == {"succeeded"}
    assert {job["plan"] for job in jobs} == {"A", "B"}
    assert environment.replicate.creation_attempts == len(jobs)
    sent = await environment.telegram.api_calls("sendPhoto")
    assert len(sent) == len({call["params"]["chat_id"] for call in sent}) == len(jobs)
    assert await environment.db.fetchval("SELECT count(*) FROM job_events WHERE kind = 'ended'") == len(jobs)
    assert (await check_ledger(environment.db)).is_consistent


async def _commit_order(environment: Environment, user_id: int, plan: Plan) -> None:
    """Commit an order as dispatch does."""
    await add_user(environment.db, user_id)
    await environment.telegram.api.post("people", id=user_id, first_name="Ann", started=True)
    job = await add_job(environment.db, user_id, plan=plan, start_timeout=30.0)
    if plan == "A":
        await add_to_outbox(environment.db, job.id)
