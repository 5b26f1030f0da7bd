"""Who gets a broadcast: each audience against people who are told apart by one thing."""

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
async def people(db: Pool) -> Pool:
    """1 to 6 as above, 7 has paid, 8 has ordered, 9 is like anybody."""
    for number in range(1, 10):
        await add_user(db, number)
    for number, change in _CHANGES.items():
        await db.execute(f"UPDATE users SET {change} WHERE id = $1", number)
    await db.execute("INSERT INTO payments (id, user_id, bot_name, stars) VALUES ('c', 7, 'main', 5)")
    await add_job(db, 8)
    return db


@pytest.mark.parametrize(
    ("group", "who"),
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
async def test_each_audience(people: Pool, group: AudienceFilter, who: list[int]) -> None:
    assert await count_audience(people, group) == len(who)
    broadcast = await add_broadcast(people, uuid4(), 9, "main")
    async with people.acquire() as connection:
        added = await add_recipients(connection, broadcast.id, group, versions=["*", "ru"], fallback="*")
    rows = await people.fetch("SELECT user_id, version FROM broadcast_recipients ORDER BY user_id")
    assert added == len(who)
    assert [row["user_id"] for row in rows] == who
    assert {row["user_id"]: row["version"] for row in rows}.get(1, "ru") == "ru"


async def test_a_claim_keeps_its_limit_whatever_the_plan(db: Pool) -> None:
    """Once the table was analysed, one claim of one person took all who waited, and all were called at once."""
    await db.execute(
        "INSERT INTO users (id, bot_name, language) SELECT id, 'main', 'en' FROM generate_series(1, 300) AS id"
    )
    broadcast, runner = await add_broadcast(db, uuid4(), 1, "main"), uuid4()
    async with db.acquire() as connection, connection.transaction():
        await start_broadcast(connection, broadcast.id)
        await add_recipients(connection, broadcast.id, AudienceFilter("main"), versions=["*"], fallback="*")
    assert await claim_recipients(db, broadcast.id, runner, after=0, limit=1) == [], "nobody took the broadcast"
    await claim_broadcast(db, broadcast.id, 1, runner)
    await db.execute("UPDATE broadcast_recipients SET state = 'sent' WHERE user_id <= 160")
    await db.execute("ANALYZE")
    for number in range(161, 171):
        claimed = await claim_recipients(db, broadcast.id, runner, after=0, limit=1)
        assert [each.user_id for each in claimed] == [number]
    await stop_broadcast(db, broadcast.id)
    assert await claim_recipients(db, broadcast.id, runner, after=0, limit=1) == []
