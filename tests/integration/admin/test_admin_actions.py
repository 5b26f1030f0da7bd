"""Admin actions on an order: each happens once, is booked right, notifies the user; a conflict is explained."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from handlers.admin.dashboard import send_dashboard_link
from handlers.context import AppContext, UserContext
from services.admin.admin_actions import ActionConflict
from services.messaging.buttons import failure_keyboard, result_keyboard
from storage.jobs.jobs import get_job, get_job_by_order_key
from storage.money.ledger import Balance, check_ledger, claw_back, get_balance
from storage.pool import Pool
from storage.users.users import get_user, set_language
from tests.support.environments.dashboard import ADMIN, PUBLIC_URL, DashboardApp, open_dashboard_app, page_text
from tests.support.test_data.factories import INPUTS, add_job, add_user


@pytest.fixture
async def dashboard_app(db: Pool, tmp_path: Path) -> AsyncIterator[DashboardApp]:
    async with open_dashboard_app(db, tmp_path, admins=frozenset({ADMIN})) as dashboard_app:
        await add_user(db)
        await dashboard_app.login()
        yield dashboard_app


async def messages(dashboard_app: DashboardApp, user_id: int = 1001) -> list[str]:
    chat = await dashboard_app.telegram.api.get(f"chat/{user_id}")
    return [message["text"] for message in chat["messages"] if not message["deleted"]]


async def open_chat(dashboard_app: DashboardApp, user_id: int = 1001) -> None:
    """A bot may write only to users who wrote to it."""
    await dashboard_app.messenger.bots.get("main").get_me()
    await dashboard_app.telegram.api.post("message", text="/start", user_id=user_id, first_name="Ann")


# ---------------------------------------------------------------- retry
async def test_retry_of_a_failed_order_is_free_and_happens_once(dashboard_app: DashboardApp, db: Pool) -> None:
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
    page = page_text((await dashboard_app.get(f"/dashboard/jobs/{again.id}?done=retry")).text)
    assert "This is the new order" in page
    assert "Repeats an earlier order" in page
    assert (await check_ledger(db)).is_consistent


async def test_retry_many_at_once_orders_and_notifies_once(dashboard_app: DashboardApp, db: Pool) -> None:
    await open_chat(dashboard_app)
    cancelled = await dashboard_app.add_finished_job("cancelled")
    before = len(await messages(dashboard_app))
    answers = await asyncio.gather(
        *(dashboard_app.submit(f"/dashboard/jobs/{cancelled.id}/retry") for _ in range(4))
    )
    assert sorted(answer.status for answer in answers) == [303, 409, 409, 409]
    assert await db.fetchval("SELECT count(*) FROM jobs") == 2
    assert len(await messages(dashboard_app)) == before + 1


async def test_retry_is_dispatched_like_any_order(db: Pool, tmp_path: Path) -> None:
    async with open_dashboard_app(db, tmp_path, plan_a=True, admins=frozenset({ADMIN})) as dashboard_app:
        await add_user(db)
        await open_chat(dashboard_app)
        failed = await dashboard_app.add_finished_job("failed", failure="failure.busy")
        again = await dashboard_app.actions.retry(failed.id, ADMIN)
        assert again.plan == "A"
        assert await db.fetchval("SELECT job_id FROM outbox") == again.id


async def test_retry_with_a_model_no_longer_offered_is_refused(dashboard_app: DashboardApp, db: Pool) -> None:
    await open_chat(dashboard_app)
    before = await messages(dashboard_app)
    gone = await dashboard_app.add_finished_job(
        "failed", failure="failure.busy", inputs={**INPUTS, "model": "a-model-of-old"}
    )
    answer = await dashboard_app.submit(f"/dashboard/jobs/{gone.id}/retry")
    assert (answer.status, "not offered any more" in page_text(answer.text)) == (409, True)
    assert await messages(dashboard_app) == before, "and the message about it is deleted"


async def test_retry_for_an_unreachable_user_orders_nothing(dashboard_app: DashboardApp, db: Pool) -> None:
    await open_chat(dashboard_app)
    await dashboard_app.telegram.add_fault(
        method="sendMessage", code=403, description="Forbidden: bot was blocked by the user"
    )
    failed = await dashboard_app.add_finished_job("failed", failure="failure.busy")
    answer = await dashboard_app.submit(f"/dashboard/jobs/{failed.id}/retry")
    assert (answer.status, "cannot be reached" in page_text(answer.text)) == (409, True)
    assert await db.fetchval("SELECT count(*) FROM jobs") == 1


async def test_buttons_after_a_free_order_show_the_full_price(dashboard_app: DashboardApp) -> None:
    free = await dashboard_app.add_finished_job("succeeded", price=0)
    for buttons in (
        result_keyboard(dashboard_app.texts, free),
        failure_keyboard(dashboard_app.texts, free),
    ):
        assert buttons.inline_keyboard[0][0].text.endswith("1 ⭐")


# ---------------------------------------------------------------- refund
async def test_refund_returns_the_price_once_and_notifies_the_user(dashboard_app: DashboardApp, db: Pool) -> None:
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
    notices = [text for text in await messages(dashboard_app) if "Вернули вам 4 звезды" in text]
    assert len(notices) == 1
    page = page_text((await dashboard_app.get(f"/dashboard/jobs/{job.id}?done=refund")).text)
    for text in ("Given back, and the user was notified", "4 ⭐ given back by an admin", "revenue → available",
                  "Вернули вам 4 звезды", "Its price was given back"):  # fmt: skip
        assert text in page, text


async def test_refund_for_an_unreachable_user_returns_the_price(dashboard_app: DashboardApp, db: Pool) -> None:
    await open_chat(dashboard_app)
    await dashboard_app.telegram.add_fault(
        method="sendMessage", code=403, description="Forbidden: bot was blocked by the user"
    )
    job = await dashboard_app.add_finished_job("succeeded")
    answer = await dashboard_app.submit(f"/dashboard/jobs/{job.id}/refund")
    assert (answer.status, answer.headers["Location"]) == (
        303,
        f"/dashboard/jobs/{job.id}?done=refund_not_notified",
    )
    assert await get_balance(db, 1001) == Balance(100, 0)


async def test_refund_pays_a_debt_first(dashboard_app: DashboardApp, db: Pool) -> None:
    await open_chat(dashboard_app)
    job = await dashboard_app.add_finished_job("succeeded")
    assert await claw_back(db, "refund:some-charge", 1001, 99) == 3, "of a balance of 96"
    assert (await dashboard_app.submit(f"/dashboard/jobs/{job.id}/refund")).status == 303
    assert await get_balance(db, 1001) == Balance(1, 0)


@pytest.mark.parametrize("state", ["failed", "cancelled"])
async def test_refund_of_an_order_that_was_not_paid_is_refused(
    dashboard_app: DashboardApp, db: Pool, state: Any
) -> None:
    job = await dashboard_app.add_finished_job(state)
    answer = await dashboard_app.submit(f"/dashboard/jobs/{job.id}/refund")
    assert (answer.status, "Only the price" in page_text(answer.text)) == (409, True)
    assert await get_balance(db, 1001) == Balance(100, 0)


# ---------------------------------------------------------------- cancel
async def test_cancel_ends_an_open_order(dashboard_app: DashboardApp, db: Pool) -> None:
    await open_chat(dashboard_app)
    job = await add_job(db)
    answer = await dashboard_app.submit(f"/dashboard/jobs/{job.id}/cancel")
    assert (answer.status, answer.headers["Location"]) == (303, f"/dashboard/jobs/{job.id}?done=cancel")
    await dashboard_app.background.drain(5)
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
async def test_conflict_names_its_reason(
    dashboard_app: DashboardApp, state: Any, action: str, conflict: str
) -> None:
    job = await dashboard_app.add_finished_job(state)
    with pytest.raises(ActionConflict, match=conflict):
        await getattr(dashboard_app.actions, action)(job.id, ADMIN)
    assert (await dashboard_app.submit(f"/dashboard/jobs/{'9' * 32}/{action}")).status == 404


async def test_order_page_offers_only_possible_actions(dashboard_app: DashboardApp, db: Pool) -> None:
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
async def test_dashboard_command_sends_a_link(dashboard_app: DashboardApp, db: Pool) -> None:
    await add_user(db, ADMIN)
    await open_chat(dashboard_app, ADMIN)
    user = await get_user(db, ADMIN)
    assert user is not None
    app = SimpleNamespace(bots=dashboard_app.messenger.bots, texts=dashboard_app.texts)
    ctx = UserContext(cast("AppContext", app), user, "main", ADMIN, Balance(0, 0))
    await send_dashboard_link(dashboard_app.auth, ctx)
    chat = await dashboard_app.telegram.api.get(f"chat/{ADMIN}")
    message = chat["messages"][-1]
    (button,) = message["keyboard"][0]
    assert button["url"].startswith(f"{PUBLIC_URL}/dashboard/enter/")
    assert "http" not in message["text"]
    assert (await dashboard_app.get(button["url"].removeprefix(PUBLIC_URL))).status == 200

    refusal = f"Bad Request: inline keyboard button URL '{button['url']}' is invalid: Wrong HTTP URL"
    await dashboard_app.telegram.add_fault(method="sendMessage", code=400, description=refusal)
    await send_dashboard_link(dashboard_app.auth, ctx)
    message = (await dashboard_app.telegram.api.get(f"chat/{ADMIN}"))["messages"][-1]
    assert f"{PUBLIC_URL}/dashboard/enter/" in message["text"], "as text, if Telegram refuses the button"
