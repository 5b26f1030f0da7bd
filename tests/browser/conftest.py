"""A real browser in front of the whole process, as with `scripts/run.sh`."""

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, async_playwright

from tests.support.processes.bot_process import ROOT, BotProcess, ProcessPool

ARTIFACTS = ROOT / "artifacts" / "screenshots"
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def _chromium() -> str:
    names = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    found = next((path for name in names if name and (path := shutil.which(name))), None)
    if found is None:
        pytest.fail("no chromium: scripts/test.sh installs it on Debian as root; else install it, or set CHROMIUM")
    return found


@pytest.fixture
async def sandbox(tmp_path: Path, dsn: str, process_pool: ProcessPool) -> AsyncIterator[BotProcess]:
    """The bot with its sandbox, offline providers and no Inngest."""
    settings = {"DATABASE_URL": dsn, "DATA_DIR": str(tmp_path / "data"), "OFFLINE_SECONDS": "0.5"}
    bot = BotProcess(process_pool, tmp_path, {**settings, "INNGEST_DEV_PORT": "1"})
    await bot.start()
    yield bot
    await bot.kill()


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=_chromium(), args=_FLAGS)
        yield browser
        await browser.close()


@pytest.fixture
async def phone_page(browser: Browser, sandbox: BotProcess) -> AsyncIterator[Page]:
    """A page as wide as a phone. Any error on its console fails the test."""
    page = await browser.new_page(viewport={"width": 390, "height": 844})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    yield page
    await page.close()
    assert errors == []
