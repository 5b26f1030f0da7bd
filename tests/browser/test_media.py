"""Results as a user sees them: videos and voice messages that play, photos sent from the phone."""

import io
from pathlib import Path

import pytest
from PIL import Image
from playwright.async_api import Locator, Page, expect

from tests.browser.conftest import ARTIFACTS
from tests.support.processes.bot_process import BotProcess

_RESULT_MS = 25_000


async def _order(page: Page, service: str, *texts: str) -> None:
    await page.locator("#composer").fill("/menu")
    await page.keyboard.press("Enter")
    await page.locator(".keyboard").last.get_by_role("button", name=service, exact=False).first.click()
    for text in texts:
        await expect(page.get_by_role("button", name="Cancel").last).to_be_visible()
        await page.locator("#composer").fill(text)
        await page.keyboard.press("Enter")
    await page.get_by_role("button", name="Create").last.click()


async def _plays(media: Locator) -> float:
    """The length in seconds of what the browser could decode."""
    await expect(media).to_be_attached(timeout=_RESULT_MS)
    seconds: float = await media.evaluate(
        """async media => {
            media.muted = true;
            await media.play();
            await new Promise(done => media.currentTime > 0 ? done() : media.addEventListener('timeupdate', done));
            media.pause();
            return media.duration;
        }"""
    )
    return seconds


@pytest.mark.long
async def test_chat_plays_a_video_and_a_voice_message(phone_page: Page, sandbox: BotProcess) -> None:
    await phone_page.goto(f"{sandbox.url}/sandbox/")
    await phone_page.locator("#start").click()
    await _order(phone_page, "Text to video", "waves at night under the moon")
    assert await _plays(phone_page.locator(".message video").last) >= 4
    await expect(phone_page.locator(".message").get_by_text("balance 960 ⭐")).to_be_visible()
    await phone_page.screenshot(path=ARTIFACTS / "video.png", animations="disabled")

    await _order(phone_page, "Text to speech", "Good evening. This is Diptych, and I read your words aloud.")
    await expect(phone_page.locator(".message").get_by_text("balance 952 ⭐")).to_be_visible(timeout=_RESULT_MS)
    voice = phone_page.locator(".message .voice").last
    await voice.locator(".play").click()
    await expect(voice.locator(".wave i.done").nth(5)).to_be_attached(timeout=10_000)
    await phone_page.screenshot(path=ARTIFACTS / "voice.png", animations="disabled")


@pytest.mark.long
async def test_training_with_ten_photos_gives_a_model_that_makes_images(
    phone_page: Page, sandbox: BotProcess, tmp_path: Path
) -> None:
    photos = []
    for number in range(10):
        file = tmp_path / f"me-{number}.jpg"
        photo = io.BytesIO()
        Image.linear_gradient("L").resize((480, 640)).rotate(number * 9).convert("RGB").save(photo, "JPEG")
        file.write_bytes(photo.getvalue())
        photos.append(file)
    await phone_page.goto(f"{sandbox.url}/sandbox/")
    await phone_page.locator("#start").click()
    await phone_page.get_by_role("button", name="Train your model").click()
    await expect(phone_page.locator(".message").get_by_text("Send 10 to 50 photos").first).to_be_visible()
    for file in photos:
        await phone_page.locator("#file").set_input_files(file)
        await phone_page.locator("#caption-send").click()
    await expect(phone_page.locator(".message").get_by_text("10 photos ✓").first).to_be_visible(timeout=10_000)
    await phone_page.get_by_role("button", name="Done").last.click()
    await expect(phone_page.locator(".message").get_by_text("What shall the model be called?")).to_be_visible()
    await phone_page.locator("#composer").fill("Me")
    await phone_page.keyboard.press("Enter")
    await phone_page.get_by_role("button", name="Create · 250 ⭐").click()
    await phone_page.get_by_role("button", name="Picture me").last.click(timeout=_RESULT_MS)
    await phone_page.locator("#composer").fill("on the moon, under the stars")
    await phone_page.keyboard.press("Enter")
    await phone_page.get_by_role("button", name="Create · 8 ⭐").last.click()
    await expect(phone_page.locator(".message").get_by_text("balance 742 ⭐")).to_be_visible(timeout=_RESULT_MS)
    await phone_page.locator(".message img").last.evaluate("image => image.decode()")
    await expect(phone_page.get_by_role("button", name="Again · 8 ⭐")).to_be_visible()
    await phone_page.screenshot(path=ARTIFACTS / "model.png", animations="disabled")
