"""Which plan an order goes to, by mode and Inngest's health; and how a mode change reaches other processes."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.core.background import BackgroundTasks
from services.durable.listener import Listener
from services.job_kinds import JOB_KINDS
from services.jobs.routing import PlanRouter
from storage.pool import Pool
from storage.settings import CHANNEL
from tests.support.environments.environment import wait_until
from tests.support.environments.plan_a import FakePlanA

SERVICE = "text_to_image"


@pytest.fixture
def inngest() -> FakePlanA:
    return FakePlanA(healthy=True)


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
async def test_choose_plan_depends_on_mode_and_health(
    plans: PlanRouter, inngest: FakePlanA, mode: str, healthy: bool, plan: str, waits: bool
) -> None:
    await plans.set_mode(mode)  # type: ignore[arg-type]
    inngest.healthy = healthy
    assert (plans.choose_plan(SERVICE), plans.waits_for_inngest(SERVICE)) == (plan, waits)
    assert (SERVICE in plans.takeover_services()) == (mode != "a")


async def test_mode_with_nothing_set_is_auto(plans: PlanRouter) -> None:
    await plans.load()
    assert plans.mode(SERVICE) == "auto"


async def test_mode_of_a_service_wins_until_it_is_reset(plans: PlanRouter) -> None:
    await plans.set_mode("a")
    await plans.set_mode("b", service=SERVICE)
    assert (plans.mode(SERVICE), plans.mode("another")) == ("b", "a")
    await plans.set_mode(None, service=SERVICE)
    assert plans.mode(SERVICE) == "a"


async def test_mode_survives_a_restart_and_an_unknown_value_means_auto(db: Pool, plans: PlanRouter) -> None:
    await plans.set_mode("b")
    later = PlanRouter(db, FakePlanA(), list(JOB_KINDS))
    await later.load()
    assert later.mode(SERVICE) == "b"
    await db.execute("UPDATE settings SET value = $1", "nonsense")
    await later.load()
    assert later.mode(SERVICE) == "auto"


@pytest.fixture
async def other_process(db: Pool) -> AsyncIterator[PlanRouter]:
    """The router of another process."""
    background, plans, listener = BackgroundTasks(), PlanRouter(db, FakePlanA(), list(JOB_KINDS)), Listener(db)
    changed = asyncio.Event()
    listener.subscribe(CHANNEL, lambda _: changed.set(), on_connect=plans.load)
    background.run_periodically(plans.load, "modes", seconds=60, wakeup=changed)
    background.run_forever(listener.run, "listener")
    yield plans
    await background.drain(0)


async def wait_for_mode(plans: PlanRouter, mode: str) -> None:
    async def mode_is_loaded() -> bool:
        return plans.mode(SERVICE) == mode

    await wait_until(mode_is_loaded, seconds=5, what=f"the other process loads mode {mode}")


async def test_mode_change_reaches_another_process(plans: PlanRouter, other_process: PlanRouter) -> None:
    await plans.set_mode("b")
    await wait_for_mode(other_process, "b")
    await plans.set_mode("a", service=SERVICE)
    await wait_for_mode(other_process, "a")
    await plans.set_mode(None, service=SERVICE)
    await plans.set_mode(None)
    await wait_for_mode(other_process, "auto")


async def test_mode_change_during_a_lost_connection_reaches_another_process(
    db: Pool, plans: PlanRouter, other_process: PlanRouter
) -> None:
    await plans.set_mode("b")
    await wait_for_mode(other_process, "b")
    listeners = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query ILIKE 'LISTEN%'"
    for row in await db.fetch(listeners):
        await db.execute("SELECT pg_terminate_backend($1)", row["pid"])
    await plans.set_mode("a")
    await wait_for_mode(other_process, "a")
