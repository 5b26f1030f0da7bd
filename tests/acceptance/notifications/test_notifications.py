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
from services.messaging.app_context import AppContext
from services.notifications.admins import notify_admins
from services.notifications.notices import LocalizedLine
from services.notifications.notify import notify, notify_many
from storage.jobs.jobs import insert_job
from storage.jobs.outbox import add_to_outbox
from storage.pool import create_pool
from storage.users.preferences import get_preferences, set_quiet_hours, set_utc_offset, toggle_wants_news
from tests.support.environments.environment import (
    Environment,
    SandboxUser,
    button_labels,
    message_text,
    wait_until,
)
from tests.support.processes.bot_process import ProcessPool
from tests.support.test_data.factories import new_job

ADMIN = 7
_ids = itertools.count(5001)


@pytest.fixture(scope="module", params=["A", "B"])
async def environment(
    request: pytest.FixtureRequest,
    postgres: str,
    process_pool: ProcessPool,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Environment]:
    """One bot for all these tests on a plan; Plan B with Inngest away."""
    server, name = await asyncpg.connect(postgres), f"told_{secrets.token_hex(6)}"
    await server.execute(f"CREATE DATABASE {name} TEMPLATE template")
    dsn = f"{postgres.rpartition('/')[0]}/{name}"
    db = await create_pool(dsn, size=5)
    environment = Environment(db, dsn, tmp_path_factory.mktemp("told"), process_pool)
    await environment.open()
    if request.param == "B":
        await environment.inngest.close()
    try:
        await environment.start_bot(ready=request.param == "A", ADMIN_IDS=str(ADMIN))
        yield environment
    finally:
        await environment.close()
        await db.close()
        await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await server.close()


@pytest.fixture(autouse=True)
async def no_faults(environment: Environment) -> AsyncIterator[None]:
    yield
    await environment.telegram.call("DELETE", "/sim/fault")


async def newcomer(environment: Environment, **about: str) -> SandboxUser:
    person = environment.user(next(_ids), **about)
    await person.send_text("/start")
    await person.wait_for_button("🦊")
    return person


async def send_notification(environment: Environment, user: SandboxUser, **notice: Any) -> bool:
    async with environment.db.acquire() as connection, connection.transaction():
        return await notify(connection, user_id=user.id, **notice)


async def internal_jobs(environment: Environment, user: SandboxUser) -> list[dict[str, Any]]:
    query = "SELECT * FROM jobs WHERE internal AND user_id = $1 ORDER BY created_at"
    return [dict(row) for row in await environment.db.fetch(query, user.id)]


async def ended(environment: Environment, user: SandboxUser, count: int = 1) -> list[dict[str, Any]]:
    async def all_ended() -> list[dict[str, Any]]:
        jobs = await internal_jobs(environment, user)
        return jobs if len(jobs) == count and all(job["ended_at"] for job in jobs) else []

    found: list[dict[str, Any]] = await wait_until(all_ended, what=f"{count} notifications have ended")
    return found


async def times_told(user: SandboxUser, text: str) -> int:
    return len([m for m in await user.bot_messages() if text in message_text(m)])


async def test_it_is_told_once_in_their_language_on_its_plan(
    environment: Environment, request: pytest.FixtureRequest
) -> None:
    ann, ivan = await newcomer(environment), await newcomer(environment, language_code="ru")
    key = f"refund:{ann.id}"
    more = [LocalizedLine.of("balance.available", 30)]
    assert await send_notification(environment, ann, key="refund.told", n=50, more=more, dedupe=key)
    assert not await send_notification(environment, ann, key="refund.told", n=50, more=more, dedupe=key)
    assert await send_notification(
        environment, ivan, key="invite.rewarded", n=20, dedupe=f"invite:{ivan.id}", success=True
    )
    told = message_text(await ann.wait_for_text(ann.text("refund.told", 50)))
    assert ann.text("balance.available", 30) in told
    await ivan.wait_for_text(ivan.text("invite.rewarded", 20))
    (generic,), (success,) = await ended(environment, ann), await ended(environment, ivan)
    assert (generic["service"], success["service"]) == ("notification_generic", "notification_success")
    assert {generic["plan"], success["plan"]} == {environment_plan(request)}
    assert await times_told(ann, ann.text("refund.told", 50)) == 1
    sent = await environment.db.fetchval("SELECT sent_at FROM notifications WHERE key = $1", key)
    assert sent is not None
    assert not await send_notification(environment, environment.user(404), key="refund.told", n=1), (
        "nobody has this id"
    )


def environment_plan(request: pytest.FixtureRequest) -> str:
    return "A" if "[A]" in request.node.name else "B"


async def test_what_was_rolled_back_is_not_told(environment: Environment) -> None:
    ann = await newcomer(environment)
    with pytest.raises(ZeroDivisionError):
        async with environment.db.acquire() as connection, connection.transaction():
            await notify(connection, user_id=ann.id, key="refund.told", n=5, dedup_key=f"never:{ann.id}")
            raise ZeroDivisionError
    assert await internal_jobs(environment, ann) == []
    assert await send_notification(environment, ann, key="refund.told", n=6, dedupe=f"never:{ann.id}")
    await ann.wait_for_text(ann.text("refund.told", 6))


async def test_telegram_that_is_busy_or_broken_gets_it_again(environment: Environment) -> None:
    ann = await newcomer(environment)
    await environment.telegram.add_fault(method="sendMessage", code=429, retry_after=1, chat_id=ann.id)
    await environment.telegram.add_fault(method="sendMessage", code=502, chat_id=ann.id)
    await send_notification(environment, ann, key="refund.told", n=50)
    await ann.wait_for_text(ann.text("refund.told", 50))
    (job,) = await ended(environment, ann)
    assert job["state"] == "succeeded"
    assert await times_told(ann, ann.text("refund.told", 50)) == 1


async def test_who_blocked_the_bot_is_marked_and_skipped_until_they_return(environment: Environment) -> None:
    ann = await newcomer(environment)
    await environment.telegram.add_fault(method="sendMessage", code=403, chat_id=ann.id)
    await send_notification(environment, ann, key="refund.told", n=50)
    (job,) = await ended(environment, ann)
    assert job["result"] == {"told": "gone"}
    assert await environment.db.fetchval("SELECT active FROM users WHERE id = $1", ann.id) is False
    await send_notification(environment, ann, key="refund.told", n=51)
    _, second = await ended(environment, ann, 2)
    assert second["result"] == {"told": "gone"}
    tries = [call for call in await environment.telegram.api_calls("sendMessage") if "51 Stars" in str(call)]
    assert tries == [], "Telegram is not even asked"

    await ann.send_text("/start")
    await ann.wait_for_text(ann.text("start.back", name="Ann"))
    await send_notification(environment, ann, key="refund.told", n=52)
    await ann.wait_for_text(ann.text("refund.told", 52))


async def test_many_are_told_but_for_those_who_want_no_news_or_are_gone(environment: Environment) -> None:
    people = [await newcomer(environment) for _ in range(4)]
    quiet, without_news, gone, plain = people
    hour = datetime.now(UTC).hour
    await set_quiet_hours(environment.db, quiet.id, (hour - 1) % 24, (hour + 2) % 24)
    await toggle_wants_news(environment.db, without_news.id)
    await environment.telegram.add_fault(method="sendMessage", code=403, chat_id=gone.id)
    await environment.telegram.add_fault(method="sendMessage", code=500, chat_id=plain.id)
    for told in (4, 0):
        async with environment.db.acquire() as connection, connection.transaction():
            count = await notify_many(
                connection,
                user_ids=[*(person.id for person in people), 404, people[0].id],
                key="start.greeting",
                params={"name": "All"},
                dedup_key=f"news:{quiet.id}",
            )
        assert count == told
    (job,) = await ended(environment, quiet)
    assert (job["service"], job["result"]) == ("notification_bulk", {"told": {"sent": 2, "skipped": 1, "gone": 1}})
    for person in (quiet, plain):
        assert await times_told(person, "Hello, All!") == 1
    assert await times_told(without_news, "Hello, All!") == 0
    sent = [
        call["params"]
        for call in await environment.telegram.api_calls("sendMessage")
        if "Hello, All!" in str(call)
    ]
    silent = {
        int(params["chat_id"]) for params in sent if str(params.get("disable_notification")).lower() == "true"
    }
    assert silent == {quiet.id}


async def test_a_training_that_failed_is_told_by_a_notification_of_its_own(environment: Environment) -> None:
    ann = await newcomer(environment)
    photo = FileRef(kind="photo", file_id="gone", size=1).model_dump()
    inputs = {"photos": [photo] * 10, "name": "Ann", "gender": "female", "steps": "1000"}
    new = new_job(ann.id, service="model_training", inputs=inputs, plan="A", start_timeout=30.0)
    async with environment.db.acquire() as connection, connection.transaction():
        await insert_job(connection, new)
        await ledger.hold(connection, new)
        await add_to_outbox(connection, new.id)
        await connection.execute("UPDATE jobs SET created_at = now() - interval '25 hours' WHERE id = $1", new.id)
    told = await ann.wait_for_text(ann.text("failure.returned", 4))
    assert ann.text("failure.expired") in message_text(told)
    assert ann.text("button.retry", price=4) in button_labels(told)
    (errand,) = await ended(environment, ann)
    assert (errand["service"], errand["state"]) == ("notification_training_error", "succeeded")
    state = await environment.db.fetchval("SELECT state FROM jobs WHERE id = $1", new.id)
    assert (state, await times_told(ann, ann.text("failure.returned", 4))) == ("failed", 1)


async def test_quiet_hours_move_with_the_clock(environment: Environment) -> None:
    ann = await newcomer(environment)
    await set_utc_offset(environment.db, ann.id, 3)
    await set_quiet_hours(environment.db, ann.id, 19, 5)
    await set_utc_offset(environment.db, ann.id, 22)
    preferences = await get_preferences(environment.db, ann.id)
    assert (preferences.quiet_from, preferences.quiet_until) == (0, 10), "22 to 8 by the clock, as before"
    assert preferences.local_quiet_hours == (22, 8)


async def test_admins_hear_of_it_once_although_telegram_was_away(environment: Environment) -> None:
    admin = environment.user(ADMIN)
    await admin.send_text("/menu")
    await admin.wait_for_button("Text to image")
    studio = AppContext(environment.db, {}, Texts(), None, frozenset({ADMIN}))  # type: ignore[arg-type]
    await environment.telegram.add_fault(method="sendMessage", code=500, times=2, chat_id=ADMIN)
    key = f"impossible:{next(_ids)}"
    for told in (1, 0):
        why = Html("<i>x &amp; y</i>")
        assert await notify_admins(studio, "refund.impossible", dedup_key=key, charge=key, why=why) == told
    await admin.wait_for_text(f"{admin.text('refund.impossible', charge=key, why='x & y')}")
    await wait_until(lambda: _sent(environment, f"{key}:admin:{ADMIN}"), what="it is noted as sent")
    assert await times_told(admin, key) == 1


async def _sent(environment: Environment, key: str) -> bool:
    return bool(await environment.db.fetchval("SELECT sent_at FROM notifications WHERE key = $1", key))
