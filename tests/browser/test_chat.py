"""The first minute of a new user: one page, a few taps, an image."""

import time

from playwright.async_api import Page, expect

from storage.money.ledger import Balance, get_balance
from storage.pool import Pool
from tests.browser.conftest import ARTIFACTS
from tests.support.processes.bot_process import BotProcess


async def test_chat_from_the_landing_page_to_an_image(phone_page: Page, sandbox: BotProcess, db: Pool) -> None:
    await phone_page.goto(sandbox.url)
    await expect(phone_page.get_by_role("heading", name="Diptych")).to_be_visible()
    await phone_page.screenshot(path=ARTIFACTS / "1-landing.png", animations="disabled")
    await phone_page.get_by_role("link", name="Chat").click()
    await phone_page.locator("#start").click()
    await expect(phone_page.get_by_role("button", name="Text to image")).to_be_visible()
    await phone_page.screenshot(path=ARTIFACTS / "2-menu.png", animations="disabled")

    await phone_page.get_by_role("button", name="Text to image").click()
    await expect(phone_page.locator(".message").get_by_text("What do you want to see?")).to_be_visible()
    await phone_page.locator("#composer").fill("a lighthouse above a stormy sea at sunset")
    await phone_page.keyboard.press("Enter")
    await expect(phone_page.locator(".message").get_by_text("Price: 1 ⭐ · you have 1000 ⭐")).to_be_visible()
    await phone_page.screenshot(path=ARTIFACTS / "3-card.png", animations="disabled")
    await phone_page.get_by_role("button", name="Create · 1 ⭐").click()

    image = phone_page.locator(".message img").last
    await expect(image).to_be_visible(timeout=15_000)
    await expect(phone_page.locator(".message").get_by_text("balance 999 ⭐")).to_be_visible()
    await expect(phone_page.locator(".message").get_by_text("Made offline")).to_be_visible()
    width = await image.evaluate("image => image.decode().then(() => image.naturalWidth)")
    assert width >= 1024
    await expect(phone_page.get_by_role("button", name="Again · 1 ⭐")).to_be_visible()
    await phone_page.screenshot(path=ARTIFACTS / "4-image.png", animations="disabled")
    assert await get_balance(db, 1001) == Balance(999, 0)


async def test_chat_in_russian_on_a_wide_dark_screen_shows_the_menu(phone_page: Page, sandbox: BotProcess) -> None:
    await phone_page.emulate_media(color_scheme="dark")
    await phone_page.set_viewport_size({"width": 1280, "height": 900})
    await phone_page.goto(f"{sandbox.url}/sandbox/")
    await phone_page.locator("#start").click()
    await phone_page.get_by_role("button", name="Language").click()
    await phone_page.get_by_role("button", name="Русский").click()
    await phone_page.get_by_role("button", name="Меню").click()
    await expect(phone_page.locator(".message").get_by_text("Что создадим?")).to_be_visible()
    await expect(phone_page.locator(".call[data-method=editMessageText]").first).to_be_visible()
    await phone_page.screenshot(path=ARTIFACTS / "5-wide-dark-russian.png", animations="disabled")


async def test_chat_of_a_new_user_shows_an_image_after_four_taps_and_within_a_minute(
    phone_page: Page, sandbox: BotProcess
) -> None:
    """The image itself takes half a second here."""
    new_user = {"id": 2001, "first_name": "Nina"}
    await phone_page.request.post(f"{sandbox.url}/sandbox/sim/people", data=new_user)
    await phone_page.goto(f"{sandbox.url}/sandbox/#2001")
    started_at = time.monotonic()
    taps = [
        phone_page.locator("#start"),
        phone_page.get_by_role("button", name="Storm"),
        phone_page.get_by_role("button", name="Create · 1 ⭐"),
    ]
    for tap in taps:
        await tap.click()
    image = phone_page.locator(".message img").last
    await expect(image).to_be_visible(timeout=30_000)
    assert await image.evaluate("image => image.decode().then(() => image.naturalWidth)") >= 1024
    assert time.monotonic() - started_at < 60
    assert len(taps) <= 4
    await phone_page.screenshot(path=ARTIFACTS / "6-first-minute.png", animations="disabled")
