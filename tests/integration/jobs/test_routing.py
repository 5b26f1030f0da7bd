"""Which plan an order goes to, by mode and by Inngest's health; and how a change of mode travels."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from services.core.background import BackgroundTasks
from services.hello import HelloResult
from services.job_kinds import JOB_KINDS
from services.jobs.routing import InngestUnavailable, NoPlanA, PlanRouter
from storage.jobs.jobs import Job
from storage.pool import Pool
from tests.support.environments.environment import wait_until

SERVICE = "text_to_image"


@dataclass
class FakePlanA:
    healthy: bool = True
    state: str = "ok"
    since: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    async def check_runs(self) -> bool:
        raise AssertionError("nothing is doubted here")

    async def send(self, jobs: Sequence[Job]) -> None:
        raise AssertionError("nothing is sent here")

    async def send_prediction_finished(self, prediction_id: str, job: Job) -> None:
        raise AssertionError("nothing is predicted here")

    async def send_cancellation(self, job: Job) -> None:
        raise AssertionError("nothing is cancelled here")

    async def hello(self, name: str, language: str) -> HelloResult:
        raise AssertionError("nobody is greeted here")


@pytest.fixture
def inngest() -> FakePlanA:
    return FakePlanA()


@pytest.fixture
def plans(db: Pool, inngest: FakePlanA) -> PlanRouter:
    return PlanRouter(db, inngest, list(JOB_KINDS))


@pytest.mark.parametrize(
    ("mode", "healthy", "plan", "waits"),
    [
        ("auto", True, "A", False),
        ("auto", False, "B", False),
        ("a", True, "A", False),
        ("a", False, "A", True),
        ("b", True, "B", False),
        ("b", False, "B", False),
    ],
)
async def test_the_table_of_modes(
    plans: PlanRouter, inngest: FakePlanA, mode: str, healthy: bool, plan: str, waits: bool
) -> None:
    await plans.set_mode(mode)  # type: ignore[arg-type]
    inngest.healthy = healthy
    assert (plans.choose_plan(SERVICE), plans.waits_for_inngest(SERVICE)) == (plan, waits)
    assert (SERVICE in plans.takeover_services()) == (mode != "a")


async def test_with_nothing_set_the_mode_is_auto(plans: PlanRouter) -> None:
    await plans.load()
    assert plans.mode(SERVICE) == "auto"


async def test_a_services_own_mode_wins_until_it_is_taken_back(plans: PlanRouter) -> None:
    await plans.set_mode("a")
    await plans.set_mode("b", service=SERVICE)
    assert (plans.mode(SERVICE), plans.mode("another")) == ("b", "a")
    await plans.set_mode(None, service=SERVICE)
    assert plans.mode(SERVICE) == "a"


async def test_a_mode_outlives_the_process_and_nonsense_is_no_mode(db: Pool, plans: PlanRouter) -> None:
    await plans.set_mode("b")
    later = PlanRouter(db, NoPlanA(), list(JOB_KINDS))
    await later.load()
    assert later.mode(SERVICE) == "b"
    await db.execute("UPDATE settings SET value = $1", "nonsense")
    await later.load()
    assert later.mode(SERVICE) == "auto"


async def test_without_inngest_nothing_can_be_sent() -> None:
    assert not NoPlanA().healthy
    with pytest.raises(InngestUnavailable):
        await NoPlanA().send([])


@pytest.fixture
async def listening(db: Pool) -> AsyncIterator[PlanRouter]:
    """Another process's plans."""
    background, plans = BackgroundTasks(), PlanRouter(db, FakePlanA(), list(JOB_KINDS))
    background.run_forever(plans.listen, "settings")
    yield plans
    await background.drain(0)


async def wait_for_mode(plans: PlanRouter, mode: str) -> None:
    async def look() -> bool:
        return plans.mode(SERVICE) == mode

    await wait_until(look, seconds=5, what=f"the other process hears of mode {mode}")


async def test_a_change_reaches_every_process_at_once(plans: PlanRouter, listening: PlanRouter) -> None:
    await plans.set_mode("b")
    await wait_for_mode(listening, "b")
    await plans.set_mode("a", service=SERVICE)
    await wait_for_mode(listening, "a")
    await plans.set_mode(None, service=SERVICE)
    await plans.set_mode(None)
    await wait_for_mode(listening, "auto")


async def test_a_change_made_while_the_connection_was_lost_is_heard(
    db: Pool, plans: PlanRouter, listening: PlanRouter
) -> None:
    await plans.set_mode("b")
    await wait_for_mode(listening, "b")
    listeners = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query ILIKE 'LISTEN%'"
    for row in await db.fetch(listeners):
        await db.execute("SELECT pg_terminate_backend($1)", row["pid"])
    await plans.set_mode("a")
    await wait_for_mode(listening, "a")
