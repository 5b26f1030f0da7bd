"""Receives updates by webhook."""

import hmac
from collections.abc import Mapping
from functools import partial
from typing import Final

from aiogram import Bot
from aiogram.types import Update
from aiohttp import web
from loguru import logger
from pydantic import ValidationError

from bot.telegram.setup_calls import ALLOWED_UPDATES, until_done
from bot.telegram.update_processor import UpdateProcessor

SECRET_HEADER: Final = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - the header's name
_MAX_CONNECTIONS: Final = 100
"""How many updates Telegram may post at once; the highest value that it allows."""


class Webhook:
    """Serves `/telegram/<bot name>`, where Telegram posts updates. It answers 200 only once an update is done.

    Args:
        bots: The bots by name.
        update_processor: Processes the updates.
        secret: Telegram sends it with each update, as proof that the update comes from Telegram
            (https://core.telegram.org/bots/api#setwebhook).
    """

    def __init__(self, bots: Mapping[str, Bot], update_processor: UpdateProcessor, secret: str) -> None:
        self._bots = bots
        self._update_processor = update_processor
        self._secret = secret

    def add_routes(self, app: web.Application) -> None:
        """Add the route to the web application."""
        app.router.add_post("/telegram/{bot}", self._receive)

    async def set(self, public_url: str) -> None:
        """Set every bot's webhook, retrying until Telegram accepts it.

        Args:
            public_url: The public URL of this process, without a trailing slash.
        """
        for name, bot in self._bots.items():
            url = f"{public_url}/telegram/{name}"
            call = partial(
                bot.set_webhook,
                url,
                secret_token=self._secret,
                allowed_updates=ALLOWED_UPDATES,
                max_connections=_MAX_CONNECTIONS,
            )
            await until_done("setWebhook", call)
            logger.info("webhook set", bot=name, url=url)

    async def _receive(self, request: web.Request) -> web.Response:
        """Process an update from Telegram.

        Answers 404 for an unknown bot, 401 for a wrong secret, 400 for an invalid update, and 503 if Telegram must
        deliver the update again.
        """
        name = request.match_info["bot"]
        bot = self._bots.get(name)
        secret = request.headers.get(SECRET_HEADER, "")
        if bot is None:
            return web.Response(status=404)
        if not hmac.compare_digest(secret.encode(), self._secret.encode()):
            return web.Response(status=401)
        try:
            update = Update.model_validate(await request.json(), context={"bot": bot})
        except (ValueError, RecursionError, ValidationError) as error:
            logger.warning("update not readable", bot=name, error=error)
            return web.Response(status=400)
        try:
            done = await self._update_processor.process(bot, update)
        except Exception as error:  # noqa: BLE001 - answered 503, so that Telegram delivers it again
            logger.opt(exception=error).error("update failed", bot=name, update=update.update_id)
            done = False
        return web.Response(status=200 if done else 503)
