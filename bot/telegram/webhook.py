"""Updates by webhook."""

import hmac
from collections.abc import Mapping

from aiogram import Bot
from aiogram.types import Update
from aiohttp import web
from loguru import logger
from pydantic import ValidationError

from bot.telegram.setup_calls import ALLOWED_UPDATES, until_done
from bot.telegram.update_processor import UpdateProcessor

SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - the header's name


class Webhook:
    """Where Telegram posts updates: `/telegram/<bot name>`. 200 only when the update's work is done."""

    def __init__(self, bots: Mapping[str, Bot], update_processor: UpdateProcessor, secret: str) -> None:
        self._bots = bots
        self._update_processor = update_processor
        self._secret = secret

    def add_routes(self, app: web.Application) -> None:
        app.router.add_post("/telegram/{bot}", self._receive)

    async def set(self, public_url: str) -> None:
        """Tell Telegram where to post, as long as it takes."""
        for name, bot in self._bots.items():
            url = f"{public_url}/telegram/{name}"
            await until_done(
                "setWebhook",
                lambda bot=bot, url=url: bot.set_webhook(
                    url, secret_token=self._secret, allowed_updates=ALLOWED_UPDATES, max_connections=100
                ),
            )
            logger.info("bot {} has its webhook at {}", name, url)

    async def _receive(self, request: web.Request) -> web.Response:
        bot = self._bots.get(request.match_info["bot"])
        secret = request.headers.get(SECRET_HEADER, "")
        if bot is None:
            return web.Response(status=404)
        if not hmac.compare_digest(secret.encode(), self._secret.encode()):
            return web.Response(status=401)
        try:
            update = Update.model_validate(await request.json(), context={"bot": bot})
        except (ValueError, RecursionError, ValidationError) as error:
            logger.warning("an update could not be read: {}", error)
            return web.Response(status=400)
        try:
            done = await self._update_processor.process(bot, update)
        except Exception as error:  # noqa: BLE001 - answered 503, so that Telegram brings it again
            logger.opt(exception=error).error("update {} failed", update.update_id)
            done = False
        return web.Response(status=200 if done else 503)
