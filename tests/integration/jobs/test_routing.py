"""Which plan an order goes to, by mode and by Inngest's health; and how a change of mode travels."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from services.core.background import Background
from services.hello import HelloResult
from services.job_kinds import JOBS
from services.jobs.routing import NoPlanA, PlanAAway, Plans
from storage.jobs.jobs import Job
from storage.pool import Pool
from tests.support.environments.environment import until

SERVICE = "text_to_image"


@dataclass
class FakePlanA:
    healthy: bool = True
    state: str = "ok"
    since: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    async def runs_something(self) -> bool:
        raise AssertionError("nothing is doubted here")

    async def send(self, jobs: Sequence[Job]) -> None:
        raise AssertionError("nothing is sent here")

    async def prediction_finished(self, prediction_id: str, job: Job) -> None:
        raise AssertionError("nothing is predicted here")

    async def cancelled(self, job: Job) -> None:
        raise AssertionError("nothing is cancelled here")

    async def hello(self, name: str, language: str) -> HelloResult:
        raise AssertionError("nobody is greeted here")


@pytest.fixture
def inngest() -> FakePlanA:
    return FakePlanA()


@pytest.fixture
def plans(db: Pool, inngest: FakePlanA) -> Plans:
    return Plans(db, inngest, list(JOBS))


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
    plans: Plans, inngest: FakePlanA, mode: str, healthy: bool, plan: str, waits: bool
) -> None:
    await plans.set_mode(mode)  # type: ignore[arg-type]
    inngest.healthy = healthy
    assert (plans.choose(SERVICE), plans.waits(SERVICE)) == (plan, waits)
    assert (SERVICE in plans.may_take_over()) == (mode != "a")


async def test_with_nothing_set_the_mode_is_auto(plans: Plans) -> None:
    await plans.load()
    assert plans.mode(SERVICE) == "auto"


async def test_a_services_own_mode_wins_until_it_is_taken_back(plans: Plans) -> None:
    await plans.set_mode("a")
    await plans.set_mode("b", service=SERVICE)
    assert (plans.mode(SERVICE), plans.mode("another")) == ("b", "a")
    await plans.set_mode(None, service=SERVICE)
    assert plans.mode(SERVICE) == "a"


async def test_a_mode_outlives_the_process_and_nonsense_is_no_mode(db: Pool, plans: Plans) -> None:
    await plans.set_mode("b")
    later = Plans(db, NoPlanA(), list(JOBS))
    await later.load()
    assert later.mode(SERVICE) == "b"
    await db.execute("UPDATE settings SET value = $1", "nonsense")
    await later.load()
    assert later.mode(SERVICE) == "auto"


async def test_without_inngest_nothing_can_be_sent() -> None:
    assert not NoPlanA().healthy
    with pytest.raises(PlanAAway):
        await NoPlanA().send([])


@pytest.fixture
async def listening(db: Pool) -> AsyncIterator[Plans]:
    """Another process's plans."""
    background, plans = Background(), Plans(db, FakePlanA(), list(JOBS))
    background.keep(plans.listen, "settings")
    yield plans
    await background.drain(0)


async def heard(plans: Plans, mode: str) -> None:
    async def look() -> bool:
        return plans.mode(SERVICE) == mode

    await until(look, seconds=5, what=f"the other process hears of mode {mode}")


async def test_a_change_reaches_every_process_at_once(plans: Plans, listening: Plans) -> None:
    await plans.set_mode("b")
    await heard(listening, "b")
    await plans.set_mode("a", service=SERVICE)
    await heard(listening, "a")
    await plans.set_mode(None, service=SERVICE)
    await plans.set_mode(None)
    await heard(listening, "auto")


async def test_a_change_made_while_the_connection_was_lost_is_heard(
    db: Pool, plans: Plans, listening: Plans
) -> None:
    await plans.set_mode("b")
    await heard(listening, "b")
    listeners = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query ILIKE 'LISTEN%'"
    for row in await db.fetch(listeners):
        await db.execute("SELECT pg_terminate_backend($1)", row["pid"])
    await plans.set_mode("a")
    await heard(listening, "a")
