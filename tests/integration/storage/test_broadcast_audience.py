"""Who gets a broadcast: each audience filter against users who differ in one property."""

from uuid import uuid4

import pytest

from storage.messaging.broadcast_recipients import AudienceFilter, add_recipients, claim_recipients, count_audience
from storage.messaging.broadcasts import add_broadcast, claim_broadcast, start_broadcast, stop_broadcast
from storage.pool import Pool
from tests.support.test_data.factories import add_job, add_user

_CHANGES = {
    1: "language = 'ru'",
    2: "last_seen_at = now() - interval '8 days'",
    3: "bot_name = 'other'",
    4: "active = false",
    5: "blocked = true",
    6: "wants_news = false",
}


@pytest.fixture
async def users(db: Pool) -> Pool:
    """Users 1 to 6 are changed as above, 7 has paid, 8 has ordered, 9 is unchanged."""
    for number in range(1, 10):
        await add_user(db, number)
    for number, change in _CHANGES.items():
        await db.execute(f"UPDATE users SET {change} WHERE id = $1", number)
    await db.execute("INSERT INTO payments (id, user_id, bot_name, stars) VALUES ('c', 7, 'main', 5)")
    await add_job(db, 8)
    return db


@pytest.mark.parametrize(
    ("audience", "user_ids"),
    [
        (AudienceFilter("main"), [1, 2, 7, 8, 9]),
        (AudienceFilter("other"), [3]),
        (AudienceFilter("main", language="ru"), [1]),
        (AudienceFilter("main", active_days=7), [1, 7, 8, 9]),
        (AudienceFilter("main", orders="paid"), [7]),
        (AudienceFilter("main", orders="never"), [1, 2, 7, 9]),
        (AudienceFilter("main", active_days=7, orders="never"), [1, 7, 9]),
        (AudienceFilter("main", languages=["ru"]), [1]),
    ],
)
async def test_audience_filter_selects_its_users(
    users: Pool, audience: AudienceFilter, user_ids: list[int]
) -> None:
    assert await count_audience(users, audience) == len(user_ids)
    broadcast = await add_broadcast(users, uuid4(), 9, "main")
    async with users.acquire() as connection:
        added = await add_recipients(connection, broadcast.id, audience, versions=["*", "ru"], fallback="*")
    rows = await users.fetch("SELECT user_id, version FROM broadcast_recipients ORDER BY user_id")
    assert added == len(user_ids)
    assert [row["user_id"] for row in rows] == user_ids
    assert {row["user_id"]: row["version"] for row in rows}.get(1, "ru") == "ru"


async def test_claim_recipients_with_an_analyzed_table_keeps_its_limit(db: Pool) -> None:
    """Regression: after ANALYZE, one claim of one recipient took all who waited, so all were called at once."""
    await db.execute(
        "INSERT INTO users (id, bot_name, language) SELECT id, 'main', 'en' FROM generate_series(1, 300) AS id"
    )
    broadcast, worker_id = await add_broadcast(db, uuid4(), 1, "main"), uuid4()
    async with db.acquire() as connection, connection.transaction():
        await start_broadcast(connection, broadcast.id)
        await add_recipients(connection, broadcast.id, AudienceFilter("main"), versions=["*"], fallback="*")
    assert await claim_recipients(db, broadcast.id, worker_id, after=0, limit=1) == [], (
        "no worker has claimed the broadcast"
    )
    await claim_broadcast(db, broadcast.id, 1, worker_id)
    await db.execute("UPDATE broadcast_recipients SET state = 'sent' WHERE user_id <= 160")
    await db.execute("ANALYZE")
    for number in range(161, 171):
        claimed = await claim_recipients(db, broadcast.id, worker_id, after=0, limit=1)
        assert [each.user_id for each in claimed] == [number]
    await stop_broadcast(db, broadcast.id)
    assert await claim_recipients(db, broadcast.id, worker_id, after=0, limit=1) == []
