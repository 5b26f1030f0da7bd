"""What an admin does about an order: once, right in the ledger, told to the person; a conflict is explained."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiogram.types import Chat, Message

from handlers.admin.dashboard import send_dashboard_link
from handlers.context import UserContext
from services.admin.admin_actions import ActionConflict, AdminActions
from services.messaging.buttons import failure_keyboard, result_keyboard
from storage.jobs.jobs import get_job, get_job_by_order_key
from storage.money.ledger import Balance, check_ledger, claw_back, get_balance
from storage.pool import Pool
from storage.users.users import get_user, set_language
from tests.support.environments.dashboard import ADMIN, PUBLIC_URL, DashboardApp, open_dashboard_app, page_text
from tests.support.test_data.factories import INPUTS, add_job, add_user

BLOCKED = "Forbidden: bot was blocked by the user"


@pytest.fixture
async def dashboard_app(db: Pool, tmp_path: Path) -> AsyncIterator[DashboardApp]:
    async with open_dashboard_app(db, tmp_path, admins=frozenset({ADMIN})) as dashboard_app:
        await add_user(db)
        await dashboard_app.login()
        yield dashboard_app


async def messages(dashboard_app: DashboardApp, user_id: int = 1001) -> list[str]:
    chat = await dashboard_app.telegram.call("GET", f"/sim/chat/{user_id}")
    return [message["text"] for message in chat["messages"] if not message["deleted"]]


async def open_chat(dashboard_app: DashboardApp, user_id: int = 1001) -> None:
    """A bot may write only to those who wrote to it."""
    await dashboard_app.app_context.bots["main"].get_me()
    await dashboard_app.telegram.call(
        "POST", "/sim/message", {"text": "/start", "user_id": user_id, "first_name": "Ann"}
    )


# ---------------------------------------------------------------- made again
async def test_retrying_a_failed_order_is_free_and_happens_once(dashboard_app: DashboardApp, db: Pool) -> None:
    await open_chat(dashboard_app)
    failed = await dashboard_app.add_finished_job("failed", failure="failure.busy")
    answer = await dashboard_app.submit(f"/dashboard/jobs/{failed.id}/retry")
    again = await get_job_by_order_key(db, f"retry:{failed.id}")
    assert again is not None
    assert (answer.status, answer.headers["Location"]) == (303, f"/dashboard/jobs/{again.id}?done=retry")
    assert (again.price, again.service, again.inputs, again.user_id) == (0, failed.service, INPUTS, 1001)
    assert again.progress_message_id is not None
    assert "Your order is in" in (await messages(dashboard_app))[-1], (
        "the message has become the new order's progress"
    )
    assert await get_balance(db, 1001) == Balance(100, 0)

    second = await dashboard_app.submit(f"/dashboard/jobs/{failed.id}/retry")
    assert second.status == 409
    assert "made again before" in page_text(second.text)
    assert f"/dashboard/jobs/{again.id}" in second.text
    assert await db.fetchval("SELECT count(*) FROM jobs") == 2
    story = page_text((await dashboard_app.get(f"/dashboard/jobs/{again.id}?done=retry")).text)
    assert "This is the new order" in story
    assert "Repeats an earlier order" in story
    assert (await check_ledger(db)).is_consistent


async def test_of_many_retries_at_once_one_is_ordered_and_told_of(dashboard_app: DashboardApp, db: Pool) -> None:
    await open_chat(dashboard_app)
    stopped = await dashboard_app.add_finished_job("cancelled")
    before = len(await messages(dashboard_app))
    answers = await asyncio.gather(
        *(dashboard_app.submit(f"/dashboard/jobs/{stopped.id}/retry") for _ in range(4))
    )
    assert sorted(answer.status for answer in answers) == [303, 409, 409, 409]
    assert await db.fetchval("SELECT count(*) FROM jobs") == 2
    assert len(await messages(dashboard_app)) == before + 1


async def test_a_retry_goes_the_way_of_every_order(db: Pool, tmp_path: Path) -> None:
    async with open_dashboard_app(db, tmp_path, plan_a=True, admins=frozenset({ADMIN})) as dashboard_app:
        await add_user(db)
        await open_chat(dashboard_app)
        failed = await dashboard_app.add_finished_job("failed", failure="failure.busy")
        again = await AdminActions(dashboard_app.dispatcher).retry(failed.id, ADMIN)
        assert again.plan == "A"
        assert await db.fetchval("SELECT job_id FROM outbox") == again.id


async def test_what_is_not_offered_any_more_is_not_made_again(dashboard_app: DashboardApp, db: Pool) -> None:
    await open_chat(dashboard_app)
    before = await messages(dashboard_app)
    gone = await dashboard_app.add_finished_job(
        "failed", failure="failure.busy", inputs={**INPUTS, "model": "a-model-of-old"}
    )
    answer = await dashboard_app.submit(f"/dashboard/jobs/{gone.id}/retry")
    assert (answer.status, "not offered any more" in page_text(answer.text)) == (409, True)
    assert await messages(dashboard_app) == before, "and what was said of it is taken back"


async def test_nothing_is_ordered_for_who_cannot_be_reached(dashboard_app: DashboardApp, db: Pool) -> None:
    await open_chat(dashboard_app)
    await dashboard_app.telegram.add_fault(
        method="sendMessage", code=403, description="Forbidden: bot was blocked by the user"
    )
    failed = await dashboard_app.add_finished_job("failed", failure="failure.busy")
    answer = await dashboard_app.submit(f"/dashboard/jobs/{failed.id}/retry")
    assert (answer.status, "cannot be reached" in page_text(answer.text)) == (409, True)
    assert await db.fetchval("SELECT count(*) FROM jobs") == 1


async def test_after_a_free_order_the_next_one_says_what_it_costs(dashboard_app: DashboardApp) -> None:
    free = await dashboard_app.add_finished_job("succeeded", price=0)
    for buttons in (
        result_keyboard(dashboard_app.app_context.texts, free),
        failure_keyboard(dashboard_app.app_context.texts, free),
    ):
        assert buttons.inline_keyboard[0][0].text.endswith("1 ⭐")


# ---------------------------------------------------------------- given back
async def test_a_price_is_given_back_once_and_the_person_is_told(dashboard_app: DashboardApp, db: Pool) -> None:
    await open_chat(dashboard_app)
    await set_language(db, 1001, "ru")
    job = await dashboard_app.add_finished_job("succeeded", progress_message_id=3)
    assert await get_balance(db, 1001) == Balance(96, 0)
    answers = await asyncio.gather(*(dashboard_app.submit(f"/dashboard/jobs/{job.id}/refund") for _ in range(4)))
    assert sorted(answer.status for answer in answers) == [303, 409, 409, 409]
    assert await get_balance(db, 1001) == Balance(100, 0)
    assert (await check_ledger(db)).is_consistent
    move = await db.fetchrow(
        "SELECT kind, job_id, user_id FROM ledger_transactions WHERE key = $1", f"refund:{job.id}"
    )
    assert move is not None
    assert tuple(move) == ("refund_job", job.id, 1001)
    told = [text for text in await messages(dashboard_app) if "Вернули вам 4 звезды" in text]
    assert len(told) == 1
    story = page_text((await dashboard_app.get(f"/dashboard/jobs/{job.id}?done=refund")).text)
    for words in ("Given back, and the person was told", "4 ⭐ given back by an admin", "revenue → available",
                  "Вернули вам 4 звезды", "Its price was given back"):  # fmt: skip
        assert words in story, words


async def test_a_price_comes_back_even_where_the_person_cannot_be_told(
    dashboard_app: DashboardApp, db: Pool
) -> None:
    await open_chat(dashboard_app)
    await dashboard_app.telegram.add_fault(
        method="sendMessage", code=403, description="Forbidden: bot was blocked by the user"
    )
    job = await dashboard_app.add_finished_job("succeeded")
    answer = await dashboard_app.submit(f"/dashboard/jobs/{job.id}/refund")
    assert (answer.status, answer.headers["Location"]) == (303, f"/dashboard/jobs/{job.id}?done=refund_untold")
    assert await get_balance(db, 1001) == Balance(100, 0)


async def test_what_is_given_back_pays_a_debt_first(dashboard_app: DashboardApp, db: Pool) -> None:
    await open_chat(dashboard_app)
    job = await dashboard_app.add_finished_job("succeeded")
    assert await claw_back(db, "refund:some-charge", 1001, 99) == 3, "of 96 that are there"
    assert (await dashboard_app.submit(f"/dashboard/jobs/{job.id}/refund")).status == 303
    assert await get_balance(db, 1001) == Balance(1, 0)


@pytest.mark.parametrize("state", ["failed", "cancelled"])
async def test_what_was_not_paid_is_not_given_back(dashboard_app: DashboardApp, db: Pool, state: Any) -> None:
    job = await dashboard_app.add_finished_job(state)
    answer = await dashboard_app.submit(f"/dashboard/jobs/{job.id}/refund")
    assert (answer.status, "Only the price" in page_text(answer.text)) == (409, True)
    assert await get_balance(db, 1001) == Balance(100, 0)


# ---------------------------------------------------------------- stopped
async def test_an_open_order_is_stopped_for_its_person(dashboard_app: DashboardApp, db: Pool) -> None:
    await open_chat(dashboard_app)
    job = await add_job(db)
    answer = await dashboard_app.submit(f"/dashboard/jobs/{job.id}/cancel")
    assert (answer.status, answer.headers["Location"]) == (303, f"/dashboard/jobs/{job.id}?done=cancel")
    await dashboard_app.app_context.background.drain(5)
    ended = await get_job(db, job.id)
    assert ended is not None
    assert ended.state == "cancelled"
    assert await get_balance(db, 1001) == Balance(100, 0)
    again = await dashboard_app.submit(f"/dashboard/jobs/{job.id}/cancel")
    assert (again.status, "too late" in page_text(again.text)) == (409, True)


@pytest.mark.parametrize(
    ("state", "action", "conflict"),
    [("succeeded", "retry", "not_failed"), ("succeeded", "cancel", "too_late"), ("failed", "cancel", "too_late")],
)
async def test_a_conflict_is_named(dashboard_app: DashboardApp, state: Any, action: str, conflict: str) -> None:
    job = await dashboard_app.add_finished_job(state)
    with pytest.raises(ActionConflict, match=conflict):
        await getattr(AdminActions(dashboard_app.dispatcher), action)(job.id, ADMIN)
    assert (await dashboard_app.submit(f"/dashboard/jobs/{'9' * 32}/{action}")).status == 404


async def test_a_story_offers_what_can_be_done(dashboard_app: DashboardApp, db: Pool) -> None:
    offers = {
        "succeeded": (await dashboard_app.add_finished_job("succeeded"), "refund"),
        "free": (await dashboard_app.add_finished_job("succeeded", price=0), None),
        "failed": (await dashboard_app.add_finished_job("failed"), "retry"),
        "cancelled": (await dashboard_app.add_finished_job("cancelled"), "retry"),
        "queued": (await add_job(db), "cancel"),
    }
    for job, offered in offers.values():
        text = (await dashboard_app.get(f"/dashboard/jobs/{job.id}")).text
        shown = {action for action in ("retry", "cancel", "refund") if f'/{job.id}/{action}"' in text}
        assert shown == ({offered} if offered else set())


# ---------------------------------------------------------------- the bot's command
async def test_the_bot_gives_its_admin_a_link(dashboard_app: DashboardApp, db: Pool) -> None:
    await add_user(db, ADMIN)
    await open_chat(dashboard_app, ADMIN)
    user = await get_user(db, ADMIN)
    assert user is not None
    desk = UserContext(dashboard_app.app_context, dashboard_app.dispatcher, user, "main", ADMIN, Balance(0, 0))
    message = Message(message_id=1, date=0, chat=Chat(id=ADMIN, type="private"), text="/dashboard")  # type: ignore[arg-type]
    await send_dashboard_link(message, desk, dashboard_app.auth)
    chat = await dashboard_app.telegram.call("GET", f"/sim/chat/{ADMIN}")
    said = chat["messages"][-1]
    (button,) = said["keyboard"][0]
    assert button["url"].startswith(f"{PUBLIC_URL}/dashboard/enter/")
    assert "http" not in said["text"]
    assert (await dashboard_app.get(button["url"].removeprefix(PUBLIC_URL))).status == 200

    refusal = f"Bad Request: inline keyboard button URL '{button['url']}' is invalid: Wrong HTTP URL"
    await dashboard_app.telegram.add_fault(method="sendMessage", code=400, description=refusal)
    await send_dashboard_link(message, desk, dashboard_app.auth)
    said = (await dashboard_app.telegram.call("GET", f"/sim/chat/{ADMIN}"))["messages"][-1]
    assert f"{PUBLIC_URL}/dashboard/enter/" in said["text"], "in words, where Telegram takes no such button"
