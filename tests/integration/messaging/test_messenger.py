"""What a refused message says about a user."""

from typing import Any, cast

from aiogram import Bot
from aiogram.exceptions import TelegramForbiddenError
from aiogram.methods import GetMe

from services.core.i18n import Texts
from services.messaging.bots import Bots
from services.messaging.messenger import Messenger
from storage.pool import Pool
from tests.support.test_data.factories import add_user


class BlockedBot:
    """A bot that the user has blocked."""

    async def send_message(self, *args: Any, **kwargs: Any) -> None:
        raise TelegramForbiddenError(GetMe(), "bot was blocked by the user")


async def is_active_after_a_refusal(db: Pool, bot_name: str) -> bool:
    user_id = await add_user(db)  # who wrote to the bot `main` last
    bot = cast("Bot", BlockedBot())
    messenger = Messenger(db, Bots({"main": bot, "other": bot}), Texts())
    assert await messenger.send_text(user_id, bot_name, "hello") is None
    return bool(await db.fetchval("SELECT active FROM users WHERE id = $1", user_id))


async def test_send_text_refused_by_the_users_bot_makes_the_user_inactive(db: Pool) -> None:
    assert not await is_active_after_a_refusal(db, "main")


async def test_send_text_refused_by_another_bot_keeps_the_user_active(db: Pool) -> None:
    assert await is_active_after_a_refusal(db, "other")
