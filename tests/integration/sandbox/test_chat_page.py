"""The chat page in a browser, as a user uses it."""

import asyncio
import io
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from aiogram import Bot, Dispatcher, F
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.types import (
    BotCommand,
    BufferedInputFile,
    CallbackQuery,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    KeyboardButton,
    LabeledPrice,
    Message,
    PreCheckoutQuery,
    ReplyKeyboardMarkup,
)
from PIL import Image
from playwright.async_api import Browser, Page, async_playwright, expect

from sandbox.telegram.server import running_server

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")


def _image() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (320, 200), "teal").save(stream, "PNG")
    return stream.getvalue()


def _bot(dispatcher: Dispatcher) -> None:
    """A small bot that uses everything the page can show."""

    @dispatcher.message(F.text == "/start")
    async def start(message: Message) -> None:
        buttons = [
            InlineKeyboardButton(text=name, callback_data=name) for name in ("edit", "alert", "buy", "keys")
        ]
        markup = InlineKeyboardMarkup(inline_keyboard=[buttons])
        await message.answer("<b>Welcome</b> <script>", parse_mode=None, reply_markup=markup)

    @dispatcher.callback_query()
    async def on_callback(query: CallbackQuery, bot: Bot) -> None:
        assert isinstance(query.message, Message)
        chat = query.message.chat.id
        await query.answer(f"you pressed {query.data}", show_alert=query.data == "alert")
        if query.data == "edit":
            await query.message.edit_text("Changed", reply_markup=query.message.reply_markup)
        if query.data == "buy":
            prices = [LabeledPrice(label="c", amount=100)]
            await bot.send_invoice(chat, "100 credits", "A hundred", "p", "XTR", prices)
        if query.data == "keys":
            keyboard = ReplyKeyboardMarkup(keyboard=[[KeyboardButton(text="A lake")]])
            await bot.send_message(chat, "Choose", reply_markup=keyboard)

    @dispatcher.pre_checkout_query()
    async def checkout(query: PreCheckoutQuery) -> None:
        await query.answer(ok=True)

    @dispatcher.message(F.photo | F.voice | F.document)
    async def file(message: Message) -> None:
        await message.reply("Got a file")

    @dispatcher.message(F.text)
    async def echo(message: Message) -> None:
        image = BufferedInputFile(_image(), "p.png")
        await message.answer_photo(image, caption=f"<i>{message.text}</i>", parse_mode="HTML")


@dataclass
class ChatPageSandbox:
    url: str
    browser: Browser
    console_errors: list[str]

    async def open(self, fragment: str = "", width: int = 390) -> Page:
        context = await self.browser.new_context(viewport={"width": width, "height": 844})
        page = await context.new_page()
        page.on("pageerror", lambda error: self.console_errors.append(str(error)))
        page.on("console", lambda line: self.console_errors.append(line.text) if line.type == "error" else None)
        await page.goto(f"{self.url}/{fragment}")
        return page


@pytest.fixture
async def sandbox() -> AsyncIterator[ChatPageSandbox]:
    async with running_server() as (_, url), async_playwright() as playwright:
        bot = Bot("4242:page-test", session=AiohttpSession(api=TelegramAPIServer.from_base(url)))
        dispatcher = Dispatcher()
        _bot(dispatcher)
        await bot.set_my_name("Diptych")
        await bot.set_my_commands([BotCommand(command="menu", description="Everything")])
        async with asyncio.TaskGroup() as group:
            polling = group.create_task(dispatcher.start_polling(bot, handle_signals=False, polling_timeout=5))
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
            sandbox = ChatPageSandbox(url, browser, [])
            yield sandbox
            await browser.close()
            await dispatcher.stop_polling()
            await polling
        assert sandbox.console_errors == []


async def test_conversation_with_buttons_keyboard_and_payment(sandbox: ChatPageSandbox) -> None:
    page = await sandbox.open()
    await expect(page.locator("#bot-name")).to_have_text("Diptych")
    await page.click("#start")
    welcome = page.locator(".message[data-from=bot] .text").first
    await expect(welcome).to_have_text("<b>Welcome</b> <script>")

    await page.click(".keyboard button:text-is('edit')")
    await expect(welcome).to_have_text("Changed")
    await expect(page.locator(".edited")).to_have_count(1)
    await expect(page.locator("#toast")).to_have_text("you pressed edit")
    await page.click(".keyboard button:text-is('alert')")
    await expect(page.locator("#alert-text")).to_have_text("you pressed alert")
    await page.click("#alert-ok")

    await page.click(".keyboard button:text-is('keys')")
    await page.click(".reply-keyboard button:text-is('A lake')")
    photo = page.locator(".message[data-kind=photo]")
    await expect(photo.locator("i").first).to_have_text("A lake")
    await photo.locator(".image").click()
    await expect(page.locator("#viewer-image")).to_be_visible()
    await page.keyboard.press("Escape")

    await page.click(".keyboard button:text-is('buy')")
    await page.click(".keyboard button[data-pay]")
    await page.click("#pay-confirm")
    await expect(page.locator("[data-kind=successful_payment]")).to_have_text("You paid ⭐ 100")
    await expect(page.locator(".keyboard button:text-is('Receipt')")).to_be_visible()


async def test_commands_messages_files_and_second_user(sandbox: ChatPageSandbox) -> None:
    page = await sandbox.open()
    await page.click("#start")
    await page.click("#commands")
    await expect(page.locator("#command-list")).to_contain_text("/menu")
    await page.keyboard.press("Escape")
    await page.fill("#composer", "hello")
    await page.keyboard.press("Enter")
    await expect(page.locator(".message[data-kind=photo] i").first).to_have_text("hello")

    await page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": _image()})
    await page.fill("#caption", "mine")
    await page.click("#caption-send")
    await expect(page.locator(".message[data-from=bot] .text").last).to_have_text("Got a file")

    await page.click("#person")
    await page.click("#add-person")
    await page.fill("#new-name", "Maria")
    await page.fill("#new-language", "ru")
    await page.click("#person-add")
    await expect(page.locator("#person-name")).to_have_text("Maria")
    await expect(page.locator("#start")).to_be_visible()
    await expect(page.locator(".message")).to_have_count(0)


async def test_calls_panel_shows_calls_and_sets_faults(sandbox: ChatPageSandbox) -> None:
    page = await sandbox.open(width=1280)
    await page.click("#start")
    call = page.locator(".call[data-method=sendMessage]").first
    await call.locator("button").click()
    await expect(call.locator(".more")).to_contain_text("inline_keyboard")
    await page.click("#faults summary")
    await page.click("#fault-form [data-code='403']")
    await expect(page.locator("#fault-state")).to_contain_text("403")
    narrow = await sandbox.open()
    await expect(narrow.locator("#calls")).to_be_hidden()
    await narrow.click("#toggle-calls")
    await expect(narrow.locator("#calls")).to_be_visible()
    width = await narrow.evaluate("document.documentElement.scrollWidth")
    assert width == 390
