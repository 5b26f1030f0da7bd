"""The connection from Inngest drops during a call: Inngest calls again while the first call continues."""

from collections.abc import AsyncIterator

import pytest

from storage.money.ledger import Balance, check_ledger, get_balance
from tests.support.environments.environment import Environment, wait_until
from tests.support.processes.load_balancer import LoadBalancer, open_load_balancer


@pytest.fixture
async def load_balancer(environment: Environment) -> AsyncIterator[LoadBalancer]:
    async with open_load_balancer(environment, JOB_LEASE_SECONDS="20") as load_balancer:
        yield load_balancer


@pytest.mark.parametrize("processes", [1, 2])
async def test_delivery_during_a_dropped_inngest_call_is_not_repeated(
    environment: Environment, load_balancer: LoadBalancer, processes: int
) -> None:
    bots = [await environment.start_bot(ready=False) for _ in range(processes)]
    load_balancer.targets = [bot.url for bot in bots]
    for bot in bots:
        await environment.wait_for_plan_a(bot)
    ann = environment.user()
    await ann.open_card_by_prompt()
    await environment.telegram.add_fault(method="sendPhoto", hang=1)
    await ann.tap("Create")

    async def delivering() -> bool:
        sends = "SELECT count(*) FROM journal WHERE step = 'deliver'"
        return bool(await environment.db.fetchval(sends)) and "/api/inngest" in load_balancer.connections.values()

    await wait_until(delivering, what="the image is being delivered")
    load_balancer.drop_connections()
    await environment.wait_for_ended_jobs()
    (run,) = environment.image_runs()

    async def is_completed() -> bool:
        return run.status == "Completed"

    await wait_until(is_completed, what="the run is over")
    logs = [bot.log.read_text() for bot in bots]
    assert not any("delivery may have arrived" in log for log in logs)
    assert any("second call from Inngest waits" in log for log in logs)
    assert len(await ann.photo_messages()) == 1
    assert environment.replicate.creation_attempts == 1
    assert [row["plan"] for row in await environment.db.fetch("SELECT DISTINCT plan FROM journal")] == ["A"]
    assert await get_balance(environment.db, ann.id) == Balance(99, 0)
    assert (await check_ledger(environment.db)).is_consistent
