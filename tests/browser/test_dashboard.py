"""The dashboard in a browser: numbers that move, a plan that is switched, an order in detail, and denied access."""

import re
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from playwright.async_api import Browser, Page, expect

from sandbox.telegram.client import ControlApiClient
from storage.money.ledger import check_ledger
from storage.pool import Pool, create_pool
from tests.browser.conftest import ARTIFACTS
from tests.support.environments.database import new_database
from tests.support.environments.environment import WAIT_SECONDS
from tests.support.processes.bot_process import BotProcess, ProcessPool
from tests.support.test_data.sample_activity import insert_busy_hour

ADMIN = 1001
"""The user that the sandbox's chat page shows first."""
_BROADCAST = """
INSERT INTO broadcasts (id, admin_id, bot_name, state, started_at)
VALUES ('00000000-0000-7000-8000-000000000001', 1001, 'main', 'running', now())"""
_RECIPIENTS = """
INSERT INTO broadcast_recipients (broadcast_id, user_id, version)
SELECT '00000000-0000-7000-8000-000000000001', id, '*' FROM users"""
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
async def dsn(postgres: str) -> AsyncIterator[str]:
    """One database for the one bot of this file."""
    async with new_database(postgres) as dsn:
        yield dsn


@pytest.fixture(scope="module")
async def db(dsn: str) -> AsyncIterator[Pool]:
    """The database, with an hour of activity."""
    pool = await create_pool(dsn, size=3)
    await insert_busy_hour(pool)
    assert (await check_ledger(pool)).is_consistent
    yield pool
    await pool.close()


@pytest.fixture(scope="module")
async def bot(
    dsn: str, db: Pool, process_pool: ProcessPool, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[BotProcess]:
    folder = tmp_path_factory.mktemp("dashboard")
    settings = {
        "DATABASE_URL": dsn,
        "DATA_DIR": str(folder / "data"),
        "OFFLINE_SECONDS": "0.3",
        "INNGEST_DEV_PORT": "1",
    }
    bot = BotProcess(process_pool, folder, settings)
    await bot.start()
    yield bot
    await bot.kill()


@pytest.fixture
async def page(browser: Browser, bot: BotProcess) -> AsyncIterator[Page]:
    """A page. Any error on its console fails the test, including violations of our content security policy."""
    page = await browser.new_page(viewport=WIDE)  # type: ignore[arg-type]
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    yield page
    await page.close()
    assert [error for error in errors if "status of 403" not in error] == []


@pytest.fixture
async def admin(bot: BotProcess) -> AsyncIterator[ControlApiClient]:
    """The admin in the sandbox's chat."""
    async with ControlApiClient(f"{bot.url}/sandbox", ADMIN) as admin:
        yield admin


async def wait_for_chat_text(admin: ControlApiClient, text: str, *, after: int = 0) -> dict[str, Any]:
    def find(chat: dict[str, Any]) -> dict[str, Any] | None:
        for message in chat["messages"]:
            buttons = " ".join(button["text"] for row in message.get("keyboard") or [] for button in row)
            content = f"{message.get('text')} {message.get('caption')} {buttons}"
            is_shown = message["from"] == "bot" and not message["deleted"]
            if is_shown and message["message_id"] > after and text in content:
                found: dict[str, Any] = message
                return found
        return None

    chat = await admin.wait_for_chat(lambda chat: find(chat) is not None, seconds=WAIT_SECONDS)
    return find(chat) or {}


async def send_text(admin: ControlApiClient, text: str) -> int:
    sent = await admin.message(text, first_name="Ann")
    return int(sent["message"]["message_id"])


async def order(admin: ControlApiClient, prompt: str) -> dict[str, Any]:
    """Order an image. Returns the message with the result."""
    after = await send_text(admin, prompt)
    card = await wait_for_chat_text(admin, "Create · 1 ⭐", after=after)
    await admin.tap("Create · 1 ⭐", message_id=card["message_id"])
    return await wait_for_chat_text(admin, "−1 ⭐ · balance", after=after)


async def is_live(page: Page) -> None:
    await expect(page.locator("#live")).to_have_text("Live")
    await expect(page.locator("#health li").first).to_have_attribute("data-state", "ok")


def succeeded_count(page: Page, plan: str) -> Any:
    return page.locator(f"[data-row=succeeded] .{plan} b")


async def test_live_numbers_change_with_an_order(page: Page, bot: BotProcess, admin: ControlApiClient) -> None:
    await page.goto(f"{bot.url}/dashboard")
    await is_live(page)
    before = int((await succeeded_count(page, "b").inner_text()).split()[0])
    place = await page.locator(".services").bounding_box()
    result = await order(admin, "a lighthouse that the dashboard sees")
    await expect(succeeded_count(page, "b")).to_have_text(re.compile(rf"^{before + 1}\b"))
    newest = page.locator("#latest li").first
    await expect(newest).to_contain_text("succeeded")
    await expect(newest).to_contain_text(f"user {ADMIN}")
    await expect(page.locator("#timeline li", has_text="fell back to Plan B").first).to_be_visible()
    assert await page.locator(".services").bounding_box() == place, "nothing jumped"

    await newest.locator("a").click()
    await expect(page.get_by_role("heading", name="What happened")).to_be_visible()
    for step in ("moderate", "start-1", "poll-1", "deliver"):
        await expect(page.locator(".entry.step b", has_text=re.compile(f"^{step}$"))).to_be_visible()
    for event in ("Accepted", "Fell back to Plan B: Inngest is unavailable", "Ended: succeeded"):
        await expect(page.locator(".entry.event b", has_text=event)).to_be_visible()
    preview = page.locator(".message", has_text="Result")
    preview_text = (await preview.locator(".message-text").inner_text()).split()
    assert preview_text == result["caption"].split(), "the order page shows what the chat shows"
    await expect(preview.locator("figcaption")).to_contain_text(f"message {result['message_id']}")
    await page.screenshot(path=ARTIFACTS / "dashboard-order-wide-light.png", full_page=True)

    await page.get_by_text("Give the price back…").click()
    await page.get_by_role("button", name="Give back 1 ⭐").click()
    await expect(page.get_by_role("status")).to_have_text("Given back, and the user was notified.")
    await expect(page.locator(".entry.move", has_text="given back by an admin")).to_be_visible()
    await wait_for_chat_text(admin, "We have given you back 1 Star", after=result["message_id"])
    await page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    await page.emulate_media(color_scheme="dark")
    assert await fits(page)
    await page.screenshot(path=ARTIFACTS / "dashboard-order-phone-dark.png", full_page=True)


async def test_plan_switch_for_all_services_and_for_one_applies(page: Page, bot: BotProcess) -> None:
    await page.goto(f"{bot.url}/dashboard")
    await is_live(page)
    await page.locator(".modes").get_by_role("button", name="Plan B").click()
    await expect(page.locator("#toast")).to_have_text("Switched, in every process")
    await expect(page.locator(".modes").get_by_role("button", name="Plan B")).to_have_attribute(
        "aria-pressed", "true"
    )
    await page.get_by_role("button", name="Text to speech: Plan A alone").click()
    speech = page.locator("[data-service=speech]")
    await expect(speech.locator("[data-cell=goes_to]")).to_have_text("A")
    await expect(page.locator("#timeline")).to_contain_text("Text to speech: mode A: Inngest alone")
    await expect(page.locator("#timeline")).to_contain_text("All services: mode B: inline alone")
    async with aiohttp.ClientSession() as session, session.get(f"{bot.url}/health") as response:
        plan = (await response.json())["plan"]
    assert (plan["speech"], plan["text_to_image"]) == ("A", "B")
    await page.get_by_role("button", name="Text to speech: follows the mode of all").click()
    await expect(speech.locator("[data-cell=goes_to]")).to_have_text("B")
    await page.locator(".modes").get_by_role("button", name="Auto").click()
    await expect(page.locator("#timeline")).to_contain_text("All services: mode auto")


async def test_order_search_finds_by_user_and_state(page: Page, bot: BotProcess) -> None:
    await page.goto(f"{bot.url}/dashboard")
    await page.get_by_role("link", name="Orders", exact=True).click()
    await expect(page.locator(".orders tbody tr")).to_have_count(25)
    await page.screenshot(path=ARTIFACTS / "dashboard-orders-wide-light.png")
    await page.get_by_role("link", name="Older ›").click()
    await expect(page.get_by_role("link", name="‹ Newest")).to_be_visible()
    await page.get_by_label("Job id or user id").fill("1004")
    await page.get_by_label("State").select_option("failed")
    await page.get_by_role("button", name="Search").click()
    await expect(page.locator(".orders .state").first).to_have_text("failed")
    assert set(await page.locator("[data-label=User]").all_inner_texts()) == {"1004"}
    await page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    assert await fits(page)
    await page.screenshot(path=ARTIFACTS / "dashboard-orders-phone-light.png", full_page=True)
    await page.get_by_label("Job id or user id").fill("no such thing")
    await page.get_by_role("button", name="Search").click()
    await expect(page.get_by_text("No order is called that.")).to_be_visible()


async def test_invalid_links_and_actions_without_a_token_are_denied(
    page: Page, bot: BotProcess, admin: ControlApiClient
) -> None:
    after = await send_text(admin, "/dashboard")
    message = await wait_for_chat_text(admin, "The dashboard. This link opens once", after=after)
    link = message["keyboard"][0][0]["url"]
    forged = await page.goto(f"{link[:-1]}{'a' if link[-1] != 'a' else 'b'}")
    assert forged is not None
    assert forged.status == 403
    await expect(page.get_by_role("heading", name="Access denied")).to_be_visible()

    await page.goto(link)
    await page.screenshot(path=ARTIFACTS / "dashboard-login.png")
    await page.get_by_role("button", name="Open the dashboard").click()
    await is_live(page)
    (cookie,) = await page.context.cookies(f"{bot.url}/dashboard")
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")
    used = await page.goto(link)
    assert used is not None
    assert used.status == 403
    await expect(page.get_by_text("This link has been used.")).to_be_visible()

    for path in ("mode", f"jobs/{'0' * 32}/refund"):
        body = "new URLSearchParams({mode: 'b'})"
        status = await page.evaluate(
            f"fetch('/dashboard/{path}', {{method: 'POST', body: {body}}}).then(a => a.status)"
        )
        assert status == 403, path
    async with aiohttp.ClientSession() as session, session.get(f"{bot.url}/health") as response:
        assert (await response.json())["status"] == "ok"


@pytest.mark.parametrize("colours", ["light", "dark"])
async def test_dashboard_fits_a_phone_and_a_wide_screen(page: Page, bot: BotProcess, colours: Any) -> None:
    await page.emulate_media(color_scheme=colours, reduced_motion="reduce")
    await page.goto(f"{bot.url}/dashboard")
    await is_live(page)
    await page.screenshot(path=ARTIFACTS / f"dashboard-wide-{colours}.png", full_page=True)
    assert await fits(page)
    await page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    await page.locator("#chart").focus()
    await page.keyboard.press("ArrowLeft")
    await expect(page.locator("#readout")).to_contain_text("A: ")
    assert await fits(page)
    await page.evaluate("scrollTo(0, 0)")
    await page.screenshot(path=ARTIFACTS / f"dashboard-phone-{colours}.png", full_page=True)


async def fits(page: Page) -> bool:
    """Nothing is wider than the screen."""
    width = await page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    return bool(width[0] <= width[1])


async def test_running_broadcast_is_shown_until_it_ends(page: Page, bot: BotProcess, db: Pool) -> None:
    await page.goto(f"{bot.url}/dashboard")
    await is_live(page)
    card = page.locator("#broadcast")
    await expect(card).to_be_hidden()

    def number(name: str) -> Any:
        return card.locator(f"[data-broadcast={name}] b")

    await db.execute(_BROADCAST)
    await db.execute(_RECIPIENTS)
    await expect(card).to_be_visible(timeout=10_000)
    await expect(card.locator("h2")).to_have_text("Broadcast runs")
    recipients = await db.fetchval("SELECT count(*) FROM broadcast_recipients")
    await expect(number("done")).to_have_text(f"0 of {recipients}")
    mark_recipients = (
        "UPDATE broadcast_recipients SET state = $1, updated_at = now() WHERE user_id IN (SELECT user_id FROM"
    )
    mark_recipients += " broadcast_recipients WHERE state = 'waiting' LIMIT $2)"
    await db.execute(mark_recipients, "sent", recipients // 2)
    await db.execute(mark_recipients, "blocked", 1)
    await expect(number("done")).to_have_text(f"{recipients // 2} of {recipients}", timeout=10_000)
    await expect(number("blocked")).to_have_text("1")
    await expect(number("left")).to_have_text(str(recipients - recipients // 2 - 1))
    await expect(number("rate")).not_to_have_text("–")
    await page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    await card.scroll_into_view_if_needed()
    await page.screenshot(path=ARTIFACTS / "dashboard-broadcast.png", animations="disabled")
    await db.execute(mark_recipients, "sent", recipients)
    await db.execute("UPDATE broadcasts SET state = 'done', ended_at = now()")
    await expect(card.locator("h2")).to_contain_text("Broadcast done", timeout=10_000)
    await expect(number("left")).to_have_text("0")
    await db.execute("TRUNCATE broadcasts CASCADE")
