"""The line between Inngest and us breaks in the middle of a call: Inngest calls again, the first call works on."""

from collections.abc import AsyncIterator

import pytest

from storage.money.ledger import Balance, check_ledger, get_balance
from tests.support.environments.environment import Stage, until
from tests.support.processes.load_balancer import Front, open_front


@pytest.fixture
async def front(stage: Stage) -> AsyncIterator[Front]:
    async with open_front(stage, JOB_LEASE_SECONDS="20") as front:
        yield front


@pytest.mark.parametrize("processes", [1, 2])
async def test_a_result_under_way_is_not_sent_by_a_second_call(stage: Stage, front: Front, processes: int) -> None:
    bots = [await stage.start_bot(ready=False) for _ in range(processes)]
    front.targets = [bot.url for bot in bots]
    for bot in bots:
        await stage.plan_a_is_open(bot)
    ann = stage.person()
    await ann.write_card()
    await stage.telegram.fault(method="sendPhoto", hang=1)
    await ann.tap("Create")

    async def delivering() -> bool:
        sends = "SELECT count(*) FROM journal WHERE step = 'deliver'"
        return bool(await stage.db.fetchval(sends)) and "/api/inngest" in front.lines.values()

    await until(delivering, what="the picture is on its way")
    front.cut()
    await stage.ended_jobs()
    (run,) = stage.inngest.engine.runs.values()

    async def is_over() -> bool:
        return run.status == "Completed"

    await until(is_over, what="the run is over")
    logs = [bot.log.read_text() for bot in bots]
    assert not any("its end is unknown; sending now" in log for log in logs)
    assert any("this one waits" in log for log in logs)
    assert len(await ann.photos()) == 1
    assert stage.replicate.asked == 1
    assert [row["plan"] for row in await stage.db.fetch("SELECT DISTINCT plan FROM journal")] == ["A"]
    assert await get_balance(stage.db, ann.id) == Balance(99, 0)
    assert (await check_ledger(stage.db)).right
