"""Who gets a broadcast: each audience against people who are told apart by one thing."""

from uuid import uuid4

import pytest

from storage.broadcast_recipients import Group, add_recipients, count_audience
from storage.broadcasts import add_broadcast
from storage.pool import Pool
from tests.support.rows import add_job, add_user

_CHANGES = {
    1: "language = 'ru'",
    2: "seen_at = now() - interval '8 days'",
    3: "bot_name = 'other'",
    4: "active = false",
    5: "blocked = true",
    6: "news = false",
}


@pytest.fixture
async def people(db: Pool) -> Pool:
    """1 to 6 as above, 7 has paid, 8 has ordered, 9 is like anybody."""
    for number in range(1, 10):
        await add_user(db, number)
    for number, change in _CHANGES.items():
        await db.execute(f"UPDATE users SET {change} WHERE id = $1", number)
    await db.execute("INSERT INTO charges (id, user_id, bot_name, stars) VALUES ('c', 7, 'main', 5)")
    await add_job(db, 8)
    return db


@pytest.mark.parametrize(
    ("group", "who"),
    [
        (Group("main"), [1, 2, 7, 8, 9]),
        (Group("other"), [3]),
        (Group("main", language="ru"), [1]),
        (Group("main", active_days=7), [1, 7, 8, 9]),
        (Group("main", orders="paid"), [7]),
        (Group("main", orders="never"), [1, 2, 7, 9]),
        (Group("main", active_days=7, orders="never"), [1, 7, 9]),
        (Group("main", languages=["ru"]), [1]),
    ],
)
async def test_each_audience(people: Pool, group: Group, who: list[int]) -> None:
    assert await count_audience(people, group) == len(who)
    broadcast = await add_broadcast(people, uuid4(), 9, "main")
    async with people.acquire() as connection:
        added = await add_recipients(connection, broadcast.id, group, versions=["*", "ru"], fallback="*")
    rows = await people.fetch("SELECT user_id, version FROM broadcast_recipients ORDER BY user_id")
    assert added == len(who)
    assert [row["user_id"] for row in rows] == who
    assert {row["user_id"]: row["version"] for row in rows}.get(1, "ru") == "ru"
