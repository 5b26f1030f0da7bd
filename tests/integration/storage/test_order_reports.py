"""Reports count orders. An internal job beside an order is in none of their figures."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from storage.jobs.jobs import (
    Job,
    JobState,
    claim_job,
    claim_next_job,
    end_job,
    latest_user_jobs,
    queue_position,
    queued_jobs,
)
from storage.jobs.outbox import add_to_outbox
from storage.pool import Pool
from storage.reports.dashboard import ended_stats, latest_timeline
from storage.reports.job_detail import JobSearch, search_jobs
from storage.reports.metrics import MetricsReader
from storage.reports.order_status import (
    OpenOrders,
    Recoveries,
    Unpublished,
    count_ended,
    count_failed,
    count_recoveries,
    count_unpublished,
    get_backlog,
    open_orders,
)
from storage.reports.revenue import completed_orders, count_buckets, count_outcomes, count_totals
from storage.reports.user_card import get_user_card
from storage.updates import claim_update
from storage.users.users import TelegramProfile
from tests.support.test_data.factories import add_job, add_user

USER = 1001
FAILURE = "failure.provider"
INTERNAL: dict[str, Any] = {"service": "notification", "price": 0, "internal": True}


@pytest.fixture
async def db(db: Pool) -> Pool:
    await add_user(db, USER)
    return db


async def _add_internal_job(db: Pool, **changes: Any) -> Job:
    return await add_job(db, USER, **{**INTERNAL, **changes})


async def _end(db: Pool, job: Job, state: JobState, failure: str | None = None) -> None:
    claimed = await claim_job(db, job.id, "worker", "B", seconds=30)
    assert claimed
    assert await end_job(db, job.id, claimed.epoch, state, failure=failure, result={})


def _today() -> tuple[datetime, datetime]:
    now = datetime.now(UTC)
    return now - timedelta(hours=1), now + timedelta(hours=1)


async def test_open_orders_with_internal_job_beside_order_counts_order_only(db: Pool) -> None:
    order = await add_job(db, USER)
    await _add_internal_job(db)
    running = await _add_internal_job(db)
    await claim_job(db, running.id, "worker", "B", seconds=30)
    assert await open_orders(db) == [OpenOrders("text_to_image", "B", 0, 1, order.created_at, 4)]


async def test_database_metrics_with_internal_job_beside_order_count_order_only(db: Pool) -> None:
    await add_job(db, USER, fell_back=True)
    await _add_internal_job(db, fell_back=True)
    reader = MetricsReader()
    async with db.acquire() as connection:
        for _ in range(2):
            metrics = await reader.read(connection)
            assert [(group.service, group.queued) for group in metrics.open_orders] == [("text_to_image", 1)]
            assert metrics.recoveries == {("fell_back", "text_to_image"): 1}


async def test_count_unpublished_with_internal_job_beside_order_counts_them_separately(db: Pool) -> None:
    assert await count_unpublished(db) == Unpublished(0, 0)
    for job in [await add_job(db, USER, plan="A"), *[await _add_internal_job(db, plan="A") for _ in range(2)]]:
        await add_to_outbox(db, job.id)
    assert await count_unpublished(db) == Unpublished(orders=1, internal_jobs=2)


async def test_backlog_with_internal_job_beside_order_counts_order_only(db: Pool) -> None:
    await _add_internal_job(db)
    order = await add_job(db, USER)
    backlog = await get_backlog(db, excluded_services=[], per_user_limit=2)
    assert (backlog.count, backlog.oldest) == (1, order.created_at)


async def test_backlog_of_user_with_running_internal_jobs_still_counts_order(db: Pool) -> None:
    """Internal jobs take none of the places a user's orders have, so they explain no waiting."""
    await add_job(db, USER)
    for _ in range(2):
        running = await _add_internal_job(db)
        await claim_job(db, running.id, "worker", "B", seconds=30)
    assert (await get_backlog(db, excluded_services=[], per_user_limit=2)).count == 1
    claimed = await claim_next_job(db, "worker", seconds=30, per_user_limit=2, takeover_services=[])
    assert claimed is not None


async def test_count_failed_and_ended_with_internal_job_beside_order_count_order_only(db: Pool) -> None:
    await _end(db, await add_job(db, USER), "failed", FAILURE)
    await _end(db, await _add_internal_job(db), "failed", FAILURE)
    await _end(db, await _add_internal_job(db), "succeeded")
    since, _ = _today()
    assert await count_ended(db, since) == {"B": 1}
    failed = await count_failed(db, since, [FAILURE])
    assert [(each.service, each.failed, each.ended) for each in failed] == [("text_to_image", 1, 1)]


async def test_recoveries_and_timeline_with_internal_job_beside_order_count_order_only(db: Pool) -> None:
    order = await add_job(db, USER, fell_back=True)
    internal = await _add_internal_job(db, fell_back=True)
    for job in (order, internal):
        await claim_job(db, job.id, "first", "B", seconds=0)
        await db.execute("UPDATE jobs SET worker_id = NULL WHERE id = $1", job.id)
        assert await claim_job(db, job.id, "second", "B", seconds=30)
    since, _ = _today()
    assert await count_recoveries(db, since) == Recoveries(fell_back=1, taken_over=1)
    timeline = {event.kind: event for event in await latest_timeline(db, limit=10)}
    assert {kind: (event.count, event.job_ids) for kind, event in timeline.items()} == {
        "fell_back": (1, (order.id,)),
        "taken_over": (1, (order.id,)),
    }


async def test_statistics_with_internal_job_beside_order_count_order_only(db: Pool) -> None:
    await _end(db, await add_job(db, USER), "succeeded")
    await _end(db, await _add_internal_job(db), "succeeded")
    begin, end = _today()
    totals = await count_totals(db, begin, end)
    assert (totals.orders, totals.active_users, totals.succeeded, totals.on_plan_b) == (1, 1, 1, 1)
    assert [(bucket.orders, bucket.succeeded) for bucket in await count_buckets(db, begin, end, "hour")] == [
        (1, 1)
    ]
    assert [(each.service, each.succeeded) for each in await count_outcomes(db, begin, end)] == [
        ("text_to_image", 1)
    ]
    assert [(each.service, each.count) for each in await completed_orders(db, begin, end, "day")] == [
        ("text_to_image", 1)
    ]
    assert {each.service for each in await ended_stats(db)} == {None, "text_to_image"}


async def test_statistics_of_user_with_internal_jobs_only_count_nothing(db: Pool) -> None:
    await _end(db, await _add_internal_job(db), "succeeded")
    totals = await count_totals(db, *_today())
    assert (totals.new_users, totals.active_users, totals.orders, totals.succeeded) == (1, 0, 0, 0)
    card = await get_user_card(db, USER)
    assert card is not None
    assert (card.orders, card.succeeded) == (0, 0)
    profile = TelegramProfile(USER, "main", "en", None, "Ann")
    assert not (await claim_update(db, 1, 1, USER, profile, seconds=30)).has_ordered


async def test_lists_with_internal_job_beside_order_show_order_only(db: Pool) -> None:
    internal = await _add_internal_job(db)
    order = await add_job(db, USER)
    assert [job.id for job in await search_jobs(db, JobSearch(user_id=USER), limit=10)] == [order.id]
    found = await search_jobs(db, JobSearch(ids=(internal.id, internal.id)), limit=10)
    assert [job.id for job in found] == [internal.id], "by its id it is found"
    assert [job.id for job in await latest_user_jobs(db, USER, limit=10)] == [order.id]
    assert [(position, job.id) for position, job in await queued_jobs(db, limit=10)] == [(1, order.id)]
    assert await queue_position(db, order.id) == 1


async def test_view_orders_has_every_column_of_jobs(db: Pool) -> None:
    """PostgreSQL fixes a view's columns when it is created: a migration that adds one must replace the view."""
    query = "SELECT column_name FROM information_schema.columns WHERE table_name = $1 ORDER BY column_name"
    jobs, orders = await db.fetch(query, "jobs"), await db.fetch(query, "orders")
    assert jobs == orders


async def test_totals_of_a_period_equal_the_sum_of_its_buckets(db: Pool) -> None:
    for state in ("succeeded", "succeeded", "failed", "cancelled"):
        await _end(db, await add_job(db, USER), state)
    await db.execute("UPDATE jobs SET created_at = created_at - interval '2 hours'")
    now = datetime.now(UTC)
    begin, end = now - timedelta(hours=5), now + timedelta(hours=1)
    buckets, totals = await count_buckets(db, begin, end, "hour"), await count_totals(db, begin, end)
    assert len(buckets) > 1
    assert totals.at == begin
    for name in (
        "new_users",
        "orders",
        "succeeded",
        "failed",
        "cancelled",
        "on_plan_a",
        "on_plan_b",
        "earned",
        "paid",
    ):
        assert getattr(totals, name) == sum(getattr(bucket, name) for bucket in buckets), name
