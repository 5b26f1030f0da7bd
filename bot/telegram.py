"""Telegram: the bots, how their updates come in, and how their calls keep Telegram's limits."""

import asyncio
import hmac
from collections.abc import Mapping
from functools import partial
from typing import Any

from aiogram import Bot
from aiogram.client.default import DefaultBotProperties
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.session.middlewares.base import BaseRequestMiddleware, NextRequestMiddlewareType
from aiogram.client.telegram import PRODUCTION, TelegramAPIServer
from aiogram.enums import ParseMode
from aiogram.exceptions import TelegramAPIError, TelegramRetryAfter
from aiogram.methods import AnswerPreCheckoutQuery, GetUpdates, Response, TelegramMethod
from aiogram.methods.base import TelegramType
from aiogram.types import LinkPreviewOptions, Message, Update
from aiohttp import web
from loguru import logger
from pydantic import ValidationError

from bot.call_counts import CountCalls
from bot.intake import Intake
from services.admin.command_menu import described
from services.core.background import Background
from services.core.i18n import DEFAULT_LANGUAGE, Texts

SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - the header's name
ALLOWED_UPDATES = ["message", "callback_query", "pre_checkout_query", "my_chat_member"]
_ANSWERS = (Response[Message], Response[bool], Response[Message | bool])
"""Held for ever: pydantic forgets a generic model that nobody holds, and aiogram would have it built again."""
_POLL_SECONDS = 25
_UPDATE_SECONDS = 30.0
_SLOW_SECONDS = 0.3
"""How long the next updates wait for those before."""
_RETRY_SECONDS = 2.0
_LONGEST_WAIT = 30


_UNHURT = (GetUpdates, AnswerPreCheckoutQuery)
"""What no 429 of another call holds up: it sends nothing to a chat, and a payment waits for 10 s at most."""


class ObeyRetryAfter(BaseRequestMiddleware):
    """When Telegram answers 429, every call of this bot waits as long as it said, then the call is made again."""

    def __init__(self) -> None:
        self._until = 0.0

    async def __call__(
        self, make_request: NextRequestMiddlewareType[TelegramType], bot: Bot, method: TelegramMethod[TelegramType]
    ) -> Response[TelegramType]:
        loop = asyncio.get_running_loop()
        if (wait := self._until - loop.time()) > 0 and not isinstance(method, _UNHURT):
            await asyncio.sleep(wait)
        try:
            return await make_request(bot, method)
        except TelegramRetryAfter as error:
            self._until = max(self._until, loop.time() + error.retry_after)
            logger.warning("{}: Telegram asks to wait {} s", type(method).__name__, error.retry_after)
            if error.retry_after > _LONGEST_WAIT:
                raise
            await asyncio.sleep(error.retry_after)
            return await make_request(bot, method)


def create_bots(tokens: Mapping[str, str], api_url: str) -> dict[str, Bot]:
    """A bot for each token, by name. `api_url` is another Bot API server's, or empty for Telegram's own."""
    server = TelegramAPIServer.from_base(api_url) if api_url else PRODUCTION
    bots = {}
    for name, token in tokens.items():
        session = AiohttpSession(api=server, timeout=60)
        session.middleware(ObeyRetryAfter())
        session.middleware(CountCalls())
        properties = DefaultBotProperties(
            parse_mode=ParseMode.HTML, link_preview=LinkPreviewOptions(is_disabled=True)
        )
        bots[name] = Bot(token, session=session, default=properties)
    return bots


async def poll(bot: Bot, intake: Intake, background: Background) -> None:
    """Fetch the bot's updates and take them in, for ever.

    Telegram is told that an update is done only when all before it are, too: a process that dies in between gets
    them again. One that takes long holds nobody up: until it is done, what came after it is asked for again and
    again. At a stop, what was begun goes on in the background.
    """
    await _until_done("deleteWebhook", lambda: bot.delete_webhook(drop_pending_updates=False))
    begun: dict[int, asyncio.Task[bool]] = {}
    offset: int | None = None
    while True:
        try:
            updates = await bot.get_updates(
                offset=offset,
                timeout=0 if begun else _POLL_SECONDS,
                allowed_updates=ALLOWED_UPDATES,
                request_timeout=60,
            )
        except TelegramAPIError as error:
            logger.warning("getUpdates: {}", error.message)
            await asyncio.sleep(_RETRY_SECONDS)
            continue
        for update in updates:
            if update.update_id not in begun:
                begun[update.update_id] = background.spawn(_take(bot, intake, update), "update")
        if begun:
            await asyncio.wait(begun.values(), timeout=_SLOW_SECONDS)
        offset, again = _confirm(begun, offset)
        if again:
            await asyncio.sleep(_RETRY_SECONDS)


def _confirm(begun: dict[int, asyncio.Task[bool]], offset: int | None) -> tuple[int | None, bool]:
    """Drop what is done, up to the first that is not. What to ask for next, and whether one has to come again."""
    for update_id in sorted(begun):
        if not begun[update_id].done():
            break
        if not begun.pop(update_id).result():
            return update_id, True
        offset = update_id + 1
    return offset, False


async def _take(bot: Bot, intake: Intake, update: Update) -> bool:
    try:
        async with asyncio.timeout(_UPDATE_SECONDS):
            return await intake.take(bot, update, alone=True)
    except TimeoutError:
        logger.error("update {} was not handled within {} s", update.update_id, _UPDATE_SECONDS)
        return True
    except Exception as error:  # noqa: BLE001 - one update must not stop the polling
        logger.opt(exception=error).error("update {} failed", update.update_id)
        return True


async def announce_commands(bots: Mapping[str, Bot], texts: Texts) -> None:
    """Put the commands into Telegram's menu, in every language; English for people of any other."""
    for bot in bots.values():
        for language in texts.languages:
            commands = described(texts, language)
            codes = [language] if language != DEFAULT_LANGUAGE else [language, None]
            for code in codes:
                await _until_done("setMyCommands", partial(bot.set_my_commands, commands, language_code=code))


class Webhook:
    """Where Telegram posts updates: `/telegram/<bot name>`. 200 only when the update's work is done."""

    def __init__(self, bots: Mapping[str, Bot], intake: Intake, secret: str) -> None:
        self._bots = bots
        self._intake = intake
        self._secret = secret

    def add_routes(self, app: web.Application) -> None:
        app.router.add_post("/telegram/{bot}", self._receive)

    async def set(self, public_url: str) -> None:
        """Tell Telegram where to post, as long as it takes."""
        for name, bot in self._bots.items():
            url = f"{public_url}/telegram/{name}"
            await _until_done(
                "setWebhook",
                lambda bot=bot, url=url: bot.set_webhook(
                    url, secret_token=self._secret, allowed_updates=ALLOWED_UPDATES, max_connections=100
                ),
            )
            logger.info("bot {} has its webhook at {}", name, url)

    async def _receive(self, request: web.Request) -> web.Response:
        bot = self._bots.get(request.match_info["bot"])
        given = request.headers.get(SECRET_HEADER, "")
        if bot is None:
            return web.Response(status=404)
        if not hmac.compare_digest(given.encode(), self._secret.encode()):
            return web.Response(status=401)
        try:
            update = Update.model_validate(await request.json(), context={"bot": bot})
        except (ValueError, RecursionError, ValidationError) as error:
            logger.warning("an update could not be read: {}", error)
            return web.Response(status=400)
        try:
            done = await self._intake.take(bot, update)
        except Exception as error:  # noqa: BLE001 - answered 503, so that Telegram brings it again
            logger.opt(exception=error).error("update {} failed", update.update_id)
            done = False
        return web.Response(status=200 if done else 503)


async def _until_done(what: str, call: Any) -> None:
    while True:
        try:
            await call()
        except TelegramAPIError as error:
            logger.warning("{}: {}", what, error.message)
            await asyncio.sleep(_RETRY_SECONDS)
        else:
            return
