"""Notifications on each plan: sent once, in the user's language and outside quiet hours, despite Telegram's errors."""

import itertools
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from services.core.i18n import Html
from services.generation.inputs import FileRef
from services.ledger import credits as ledger
from services.messaging.bots import Bots
from services.messaging.messenger import Messenger
from services.notifications.admins import AdminNotifier
from services.notifications.notices import LocalizedLine
from services.notifications.notify import notify, notify_many
from storage.jobs.jobs import insert_job
from storage.jobs.outbox import add_to_outbox
from storage.users.preferences import get_preferences, set_quiet_hours, set_utc_offset, toggle_wants_news
from tests.support.environments.environment import (
    TEXTS,
    Environment,
    SandboxUser,
    button_labels,
    message_text,
    wait_until,
)
from tests.support.environments.factory import EnvironmentFactory
from tests.support.test_data.factories import new_job

ADMIN = 7
_ids = itertools.count(5001)


@pytest.fixture(scope="module", params=["A", "B"])
async def environment(
    request: pytest.FixtureRequest, environments: EnvironmentFactory
) -> AsyncIterator[Environment]:
    """One bot per plan for all these tests; Plan B with Inngest down."""
    async with environments.open(
        Environment, plan=request.param, settings={"ADMIN_IDS": str(ADMIN)}
    ) as environment:
        yield environment


@pytest.fixture(autouse=True)
async def no_faults(environment: Environment) -> AsyncIterator[None]:
    yield
    await environment.telegram.api.clear_faults()


async def new_user(environment: Environment, **fields: str) -> SandboxUser:
    user = environment.user(next(_ids), **fields)
    await user.send_text("/start")
    await user.wait_for_button("🦊")
    return user


async def send_notification(environment: Environment, user: SandboxUser, **notice: Any) -> bool:
    async with environment.db.acquire() as connection, connection.transaction():
        return await notify(connection, user_id=user.id, **notice)


async def internal_jobs(environment: Environment, user: SandboxUser) -> list[dict[str, Any]]:
    query = "SELECT * FROM jobs WHERE internal AND user_id = $1 ORDER BY created_at"
    return [dict(row) for row in await environment.db.fetch(query, user.id)]


async def wait_for_ended(environment: Environment, user: SandboxUser, count: int = 1) -> list[dict[str, Any]]:
    async def all_ended() -> list[dict[str, Any]]:
        jobs = await internal_jobs(environment, user)
        return jobs if len(jobs) == count and all(job["ended_at"] for job in jobs) else []

    found: list[dict[str, Any]] = await wait_until(all_ended, what=f"{count} notifications have ended")
    return found


async def count_messages(user: SandboxUser, text: str) -> int:
    return len([m for m in await user.bot_messages() if text in message_text(m)])


async def test_notification_is_sent_once_in_the_users_language_on_its_plan(
    environment: Environment, request: pytest.FixtureRequest
) -> None:
    ann, ivan = await new_user(environment), await new_user(environment, language_code="ru")
    key = f"refund:{ann.id}"
    extra_lines = [LocalizedLine.of("balance.available", 30)]
    assert await send_notification(
        environment, ann, key="refund.told", n=50, extra_lines=extra_lines, dedup_key=key
    )
    assert not await send_notification(
        environment, ann, key="refund.told", n=50, extra_lines=extra_lines, dedup_key=key
    )
    assert await send_notification(
        environment, ivan, key="invite.rewarded", n=20, dedup_key=f"invite:{ivan.id}", is_success=True
    )
    message = message_text(await ann.wait_for_text(ann.text("refund.told", 50)))
    assert ann.text("balance.available", 30) in message
    await ivan.wait_for_text(ivan.text("invite.rewarded", 20))
    (generic,), (success,) = await wait_for_ended(environment, ann), await wait_for_ended(environment, ivan)
    assert (generic["service"], success["service"]) == ("notification_generic", "notification_success")
    assert {generic["plan"], success["plan"]} == {plan_of(request)}
    assert await count_messages(ann, ann.text("refund.told", 50)) == 1
    sent = await environment.db.fetchval("SELECT sent_at FROM notifications WHERE key = $1", key)
    assert sent is not None
    assert not await send_notification(environment, environment.user(404), key="refund.told", n=1), (
        "nobody has this id"
    )


def plan_of(request: pytest.FixtureRequest) -> str:
    return "A" if "[A]" in request.node.name else "B"


async def test_notification_in_a_rolled_back_transaction_is_not_sent(environment: Environment) -> None:
    ann = await new_user(environment)
    with pytest.raises(ZeroDivisionError):
        async with environment.db.acquire() as connection, connection.transaction():
            await notify(connection, user_id=ann.id, key="refund.told", n=5, dedup_key=f"never:{ann.id}")
            raise ZeroDivisionError
    assert await internal_jobs(environment, ann) == []
    assert await send_notification(environment, ann, key="refund.told", n=6, dedup_key=f"never:{ann.id}")
    await ann.wait_for_text(ann.text("refund.told", 6))


async def test_notification_during_telegram_errors_is_retried(environment: Environment) -> None:
    ann = await new_user(environment)
    await environment.telegram.add_fault(method="sendMessage", code=429, retry_after=1, chat_id=ann.id)
    await environment.telegram.add_fault(method="sendMessage", code=502, chat_id=ann.id)
    await send_notification(environment, ann, key="refund.told", n=50)
    await ann.wait_for_text(ann.text("refund.told", 50))
    (job,) = await wait_for_ended(environment, ann)
    assert job["state"] == "succeeded"
    assert await count_messages(ann, ann.text("refund.told", 50)) == 1


async def test_notification_for_a_user_who_blocked_the_bot_is_skipped_until_they_return(
    environment: Environment,
) -> None:
    ann = await new_user(environment)
    await environment.telegram.add_fault(method="sendMessage", code=403, chat_id=ann.id)
    await send_notification(environment, ann, key="refund.told", n=50)
    (job,) = await wait_for_ended(environment, ann)
    assert job["result"] == {"outcome": "gone"}
    assert await environment.db.fetchval("SELECT active FROM users WHERE id = $1", ann.id) is False
    await send_notification(environment, ann, key="refund.told", n=51)
    _, second = await wait_for_ended(environment, ann, 2)
    assert second["result"] == {"outcome": "gone"}
    calls = [call for call in await environment.telegram.api_calls("sendMessage") if "51 Stars" in str(call)]
    assert calls == [], "Telegram is not even asked"

    await ann.send_text("/start")
    await ann.wait_for_text(ann.text("start.back", name="Ann"))
    await send_notification(environment, ann, key="refund.told", n=52)
    await ann.wait_for_text(ann.text("refund.told", 52))


async def test_bulk_notification_skips_users_who_want_no_news_or_are_gone(environment: Environment) -> None:
    users = [await new_user(environment) for _ in range(4)]
    quiet, without_news, gone, plain = users
    hour = datetime.now(UTC).hour
    await set_quiet_hours(environment.db, quiet.id, (hour - 1) % 24, (hour + 2) % 24)
    await toggle_wants_news(environment.db, without_news.id)
    await environment.telegram.add_fault(method="sendMessage", code=403, chat_id=gone.id)
    await environment.telegram.add_fault(method="sendMessage", code=500, chat_id=plain.id)
    for expected_count in (4, 0):
        async with environment.db.acquire() as connection, connection.transaction():
            count = await notify_many(
                connection,
                user_ids=[*(user.id for user in users), 404, users[0].id],
                key="start.greeting",
                params={"name": "All"},
                dedup_key=f"news:{quiet.id}",
            )
        assert count == expected_count
    (job,) = await wait_for_ended(environment, quiet)
    assert (job["service"], job["result"]) == (
        "notification_bulk",
        {"outcomes": {"sent": 2, "skipped": 1, "gone": 1}},
    )
    for user in (quiet, plain):
        assert await count_messages(user, "Hello, All!") == 1
    assert await count_messages(without_news, "Hello, All!") == 0
    sent = [
        call["params"]
        for call in await environment.telegram.api_calls("sendMessage")
        if "Hello, All!" in str(call)
    ]
    silent = {
        int(params["chat_id"]) for params in sent if str(params.get("disable_notification")).lower() == "true"
    }
    assert silent == {quiet.id}


async def test_failed_training_sends_its_own_notification(environment: Environment) -> None:
    ann = await new_user(environment)
    photo = FileRef(kind="photo", file_id="gone", size=1).model_dump()
    inputs = {"photos": [photo] * 10, "name": "Ann", "gender": "female", "steps": "1000"}
    new = new_job(ann.id, service="model_training", inputs=inputs, plan="A", start_timeout=30.0)
    async with environment.db.acquire() as connection, connection.transaction():
        await insert_job(connection, new)
        await ledger.hold(connection, new)
        await add_to_outbox(connection, new.id)
        await connection.execute("UPDATE jobs SET created_at = now() - interval '25 hours' WHERE id = $1", new.id)
    message = await ann.wait_for_text(ann.text("failure.returned", 4))
    assert ann.text("failure.expired") in message_text(message)
    assert ann.text("button.retry", price=4) in button_labels(message)
    (internal_job,) = await wait_for_ended(environment, ann)
    assert (internal_job["service"], internal_job["state"]) == ("notification_training_error", "succeeded")
    state = await environment.db.fetchval("SELECT state FROM jobs WHERE id = $1", new.id)
    assert (state, await count_messages(ann, ann.text("failure.returned", 4))) == ("failed", 1)


async def test_quiet_hours_after_a_clock_change_keep_their_local_time(environment: Environment) -> None:
    ann = await new_user(environment)
    await set_utc_offset(environment.db, ann.id, 3)
    await set_quiet_hours(environment.db, ann.id, 19, 5)
    await set_utc_offset(environment.db, ann.id, 22)
    preferences = await get_preferences(environment.db, ann.id)
    assert (preferences.quiet_from, preferences.quiet_until) == (0, 10), "22:00 to 8:00 local time, as before"
    assert preferences.local_quiet_hours == (22, 8)


async def test_admin_notification_during_telegram_errors_is_sent_once(environment: Environment) -> None:
    admin = environment.user(ADMIN)
    await admin.send_text("/menu")
    await admin.wait_for_button("Text to image")
    messenger = Messenger(environment.db, Bots({}), TEXTS)
    admins = AdminNotifier(environment.db, messenger, frozenset({ADMIN}))
    await environment.telegram.add_fault(method="sendMessage", code=500, times=2, chat_id=ADMIN)
    key = f"impossible:{next(_ids)}"
    for expected_count in (1, 0):
        why = Html("<i>x &amp; y</i>")
        assert await admins.notify("refund.impossible", dedup_key=key, charge=key, why=why) == expected_count
    await admin.wait_for_text(f"{admin.text('refund.impossible', charge=key, why='x & y')}")
    await wait_until(lambda: _sent(environment, f"{key}:admin:{ADMIN}"), what="it is recorded as sent")
    assert await count_messages(admin, key) == 1


async def _sent(environment: Environment, key: str) -> bool:
    return bool(await environment.db.fetchval("SELECT sent_at FROM notifications WHERE key = $1", key))
