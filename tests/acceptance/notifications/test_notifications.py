"""Notifications on each plan: told once, in the person's language and hours, whatever Telegram does meanwhile."""

import itertools
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from services.core.i18n import Html, Texts
from services.generation.inputs import FileRef
from services.ledger import credits as ledger
from services.messaging.app_context import Studio
from services.notifications.admins import tell_admins
from services.notifications.notices import Line
from services.notifications.notify import notify, notify_many
from storage.jobs.jobs import insert_job
from storage.jobs.outbox import add_to_outbox
from storage.pool import create_pool
from storage.users.preferences import get_preferences, set_quiet_hours, set_utc_offset, toggle_news
from tests.support.environments.environment import Person, Stage, labels, until, words
from tests.support.processes.bot_process import Forge
from tests.support.test_data.factories import new_job

ADMIN = 7
_ids = itertools.count(5001)


@pytest.fixture(scope="module", params=["A", "B"])
async def house(
    request: pytest.FixtureRequest, postgres: str, forge: Forge, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stage]:
    """One bot for all these tests on a plan; Plan B with Inngest away."""
    server, name = await asyncpg.connect(postgres), f"told_{secrets.token_hex(6)}"
    await server.execute(f"CREATE DATABASE {name} TEMPLATE template")
    dsn = f"{postgres.rpartition('/')[0]}/{name}"
    db = await create_pool(dsn, size=5)
    stage = Stage(db, dsn, tmp_path_factory.mktemp("told"), forge)
    await stage.open()
    if request.param == "B":
        await stage.inngest.close()
    try:
        await stage.start_bot(ready=request.param == "A", ADMIN_IDS=str(ADMIN))
        yield stage
    finally:
        await stage.close()
        await db.close()
        await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await server.close()


@pytest.fixture(autouse=True)
async def no_faults(house: Stage) -> AsyncIterator[None]:
    yield
    await house.telegram.call("DELETE", "/sim/fault")


async def newcomer(house: Stage, **about: str) -> Person:
    person = house.person(next(_ids), **about)
    await person.say("/start")
    await person.can_tap("🦊")
    return person


async def tell(house: Stage, person: Person, **notice: Any) -> bool:
    async with house.db.acquire() as connection, connection.transaction():
        return await notify(connection, user_id=person.id, **notice)


async def errands(house: Stage, person: Person) -> list[dict[str, Any]]:
    query = "SELECT * FROM jobs WHERE errand AND user_id = $1 ORDER BY created_at"
    return [dict(row) for row in await house.db.fetch(query, person.id)]


async def ended(house: Stage, person: Person, count: int = 1) -> list[dict[str, Any]]:
    async def all_ended() -> list[dict[str, Any]]:
        jobs = await errands(house, person)
        return jobs if len(jobs) == count and all(job["ended_at"] for job in jobs) else []

    found: list[dict[str, Any]] = await until(all_ended, what=f"{count} notifications have ended")
    return found


async def times_told(person: Person, text: str) -> int:
    return len([m for m in await person.from_bot() if text in words(m)])


async def test_it_is_told_once_in_their_language_on_its_plan(house: Stage, request: pytest.FixtureRequest) -> None:
    ann, ivan = await newcomer(house), await newcomer(house, language_code="ru")
    key = f"refund:{ann.id}"
    more = [Line.of("balance.available", 30)]
    assert await tell(house, ann, key="refund.told", n=50, more=more, dedupe=key)
    assert not await tell(house, ann, key="refund.told", n=50, more=more, dedupe=key)
    assert await tell(house, ivan, key="invite.rewarded", n=20, dedupe=f"invite:{ivan.id}", success=True)
    told = words(await ann.sees(ann.said("refund.told", 50)))
    assert ann.said("balance.available", 30) in told
    await ivan.sees(ivan.said("invite.rewarded", 20))
    (generic,), (success,) = await ended(house, ann), await ended(house, ivan)
    assert (generic["service"], success["service"]) == ("notification_generic", "notification_success")
    assert {generic["plan"], success["plan"]} == {house_plan(request)}
    assert await times_told(ann, ann.said("refund.told", 50)) == 1
    sent = await house.db.fetchval("SELECT sent_at FROM notifications WHERE key = $1", key)
    assert sent is not None
    assert not await tell(house, house.person(404), key="refund.told", n=1), "nobody has this id"


def house_plan(request: pytest.FixtureRequest) -> str:
    return "A" if "[A]" in request.node.name else "B"


async def test_what_was_rolled_back_is_not_told(house: Stage) -> None:
    ann = await newcomer(house)
    with pytest.raises(ZeroDivisionError):
        async with house.db.acquire() as connection, connection.transaction():
            await notify(connection, user_id=ann.id, key="refund.told", n=5, dedupe=f"never:{ann.id}")
            raise ZeroDivisionError
    assert await errands(house, ann) == []
    assert await tell(house, ann, key="refund.told", n=6, dedupe=f"never:{ann.id}")
    await ann.sees(ann.said("refund.told", 6))


async def test_telegram_that_is_busy_or_broken_gets_it_again(house: Stage) -> None:
    ann = await newcomer(house)
    await house.telegram.fault(method="sendMessage", code=429, retry_after=1, chat_id=ann.id)
    await house.telegram.fault(method="sendMessage", code=502, chat_id=ann.id)
    await tell(house, ann, key="refund.told", n=50)
    await ann.sees(ann.said("refund.told", 50))
    (job,) = await ended(house, ann)
    assert job["state"] == "succeeded"
    assert await times_told(ann, ann.said("refund.told", 50)) == 1


async def test_who_blocked_the_bot_is_marked_and_skipped_until_they_return(house: Stage) -> None:
    ann = await newcomer(house)
    await house.telegram.fault(method="sendMessage", code=403, chat_id=ann.id)
    await tell(house, ann, key="refund.told", n=50)
    (job,) = await ended(house, ann)
    assert job["result"] == {"told": "gone"}
    assert await house.db.fetchval("SELECT active FROM users WHERE id = $1", ann.id) is False
    await tell(house, ann, key="refund.told", n=51)
    _, second = await ended(house, ann, 2)
    assert second["result"] == {"told": "gone"}
    tries = [call for call in await house.telegram.calls("sendMessage") if "51 Stars" in str(call)]
    assert tries == [], "Telegram is not even asked"

    await ann.say("/start")
    await ann.sees(ann.said("start.back", name="Ann"))
    await tell(house, ann, key="refund.told", n=52)
    await ann.sees(ann.said("refund.told", 52))


async def test_many_are_told_but_for_those_who_want_no_news_or_are_gone(house: Stage) -> None:
    people = [await newcomer(house) for _ in range(4)]
    quiet, without_news, gone, plain = people
    hour = datetime.now(UTC).hour
    await set_quiet_hours(house.db, quiet.id, (hour - 1) % 24, (hour + 2) % 24)
    await toggle_news(house.db, without_news.id)
    await house.telegram.fault(method="sendMessage", code=403, chat_id=gone.id)
    await house.telegram.fault(method="sendMessage", code=500, chat_id=plain.id)
    for told in (4, 0):
        async with house.db.acquire() as connection, connection.transaction():
            count = await notify_many(
                connection,
                user_ids=[*(person.id for person in people), 404, people[0].id],
                key="start.greeting",
                params={"name": "All"},
                dedupe=f"news:{quiet.id}",
            )
        assert count == told
    (job,) = await ended(house, quiet)
    assert (job["service"], job["result"]) == ("notification_bulk", {"told": {"sent": 2, "skipped": 1, "gone": 1}})
    for person in (quiet, plain):
        assert await times_told(person, "Hello, All!") == 1
    assert await times_told(without_news, "Hello, All!") == 0
    sent = [call["params"] for call in await house.telegram.calls("sendMessage") if "Hello, All!" in str(call)]
    silent = {
        int(params["chat_id"]) for params in sent if str(params.get("disable_notification")).lower() == "true"
    }
    assert silent == {quiet.id}


async def test_a_training_that_failed_is_told_by_a_notification_of_its_own(house: Stage) -> None:
    ann = await newcomer(house)
    photo = FileRef(kind="photo", file_id="gone", size=1).model_dump()
    inputs = {"photos": [photo] * 10, "name": "Ann", "gender": "female", "steps": "1000"}
    new = new_job(ann.id, service="model_training", inputs=inputs, plan="A", start_within=30.0)
    async with house.db.acquire() as connection, connection.transaction():
        await insert_job(connection, new)
        await ledger.hold(connection, new)
        await add_to_outbox(connection, new.id)
        await connection.execute("UPDATE jobs SET created_at = now() - interval '25 hours' WHERE id = $1", new.id)
    told = await ann.sees(ann.said("failure.returned", 4))
    assert ann.said("failure.expired") in words(told)
    assert ann.said("button.retry", price=4) in labels(told)
    (errand,) = await ended(house, ann)
    assert (errand["service"], errand["state"]) == ("notification_training_error", "succeeded")
    state = await house.db.fetchval("SELECT state FROM jobs WHERE id = $1", new.id)
    assert (state, await times_told(ann, ann.said("failure.returned", 4))) == ("failed", 1)


async def test_quiet_hours_move_with_the_clock(house: Stage) -> None:
    ann = await newcomer(house)
    await set_utc_offset(house.db, ann.id, 3)
    await set_quiet_hours(house.db, ann.id, 19, 5)
    await set_utc_offset(house.db, ann.id, 22)
    preferences = await get_preferences(house.db, ann.id)
    assert (preferences.quiet_from, preferences.quiet_until) == (0, 10), "22 to 8 by the clock, as before"
    assert preferences.quiet_here == (22, 8)


async def test_admins_hear_of_it_once_although_telegram_was_away(house: Stage) -> None:
    admin = house.person(ADMIN)
    await admin.say("/menu")
    await admin.can_tap("Text to image")
    studio = Studio(house.db, {}, Texts(), None, frozenset({ADMIN}))  # type: ignore[arg-type]
    await house.telegram.fault(method="sendMessage", code=500, times=2, chat_id=ADMIN)
    key = f"impossible:{next(_ids)}"
    for told in (1, 0):
        why = Html("<i>x &amp; y</i>")
        assert await tell_admins(studio, "refund.impossible", dedupe=key, charge=key, why=why) == told
    await admin.sees(f"{admin.said('refund.impossible', charge=key, why='x & y')}")
    await until(lambda: _sent(house, f"{key}:admin:{ADMIN}"), what="it is noted as sent")
    assert await times_told(admin, key) == 1


async def _sent(house: Stage, key: str) -> bool:
    return bool(await house.db.fetchval("SELECT sent_at FROM notifications WHERE key = $1", key))
