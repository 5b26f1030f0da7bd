"""Who writes to the bot: new people are welcomed with credits."""

from dataclasses import dataclass

from aiogram.types import User as TelegramUser
from loguru import logger

from services.ledger import credits as ledger
from services.messaging.app_context import Studio
from storage.money.ledger import Balance, get_balance
from storage.users.users import Profile, User, get_user, register_user


@dataclass(frozen=True)
class People:
    studio: Studio
    welcome_credits: int
    """Stars a new person starts with."""

    def profile(self, person: TelegramUser, bot_name: str) -> Profile:
        """What Telegram says of a person, in our words."""
        language = self.studio.texts.language_for(person.language_code)
        return Profile(person.id, bot_name, language, person.username, person.first_name)

    async def welcome(self, profile: Profile) -> tuple[User, Balance]:
        """Write a new person down, with what they start with. One transaction, once."""
        async with self.studio.db.acquire() as connection, connection.transaction():
            if await register_user(connection, profile):
                await ledger.welcome(connection, profile.id, self.welcome_credits)
                logger.info("person {} is new, with {} credits", profile.id, self.welcome_credits)
        user = await get_user(self.studio.db, profile.id)
        assert user is not None  # noqa: S101 - just written, and users are never deleted
        return user, await get_balance(self.studio.db, profile.id)
