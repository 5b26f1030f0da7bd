"""Who writes to the bot: new people are welcomed with credits."""

from dataclasses import dataclass

from aiogram.types import User as TelegramUser
from loguru import logger

from services.ledger import credits as ledger
from services.messaging.app_context import AppContext
from storage.money.ledger import Balance, get_balance
from storage.users.users import TelegramProfile, User, get_user, register_user


@dataclass(frozen=True)
class UserRegistration:
    studio: AppContext
    initial_credits: int
    """Stars a new person starts with."""

    def to_profile(self, telegram_user: TelegramUser, bot_name: str) -> TelegramProfile:
        """What Telegram says of a person, in our words."""
        language = self.studio.texts.language_for(telegram_user.language_code)
        return TelegramProfile(
            telegram_user.id, bot_name, language, telegram_user.username, telegram_user.first_name
        )

    async def register(self, profile: TelegramProfile) -> tuple[User, Balance]:
        """Write a new person down, with what they start with. One transaction, once."""
        async with self.studio.db.acquire() as connection, connection.transaction():
            if await register_user(connection, profile):
                await ledger.give_welcome_credits(connection, profile.id, self.initial_credits)
                logger.info("person {} is new, with {} credits", profile.id, self.initial_credits)
        user = await get_user(self.studio.db, profile.id)
        assert user is not None  # noqa: S101 - just written, and users are never deleted
        return user, await get_balance(self.studio.db, profile.id)
