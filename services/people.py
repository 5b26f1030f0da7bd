"""Who writes to the bot: new people are welcomed with credits, known ones kept up to date."""

from dataclasses import dataclass

from aiogram.types import User as TelegramUser
from loguru import logger

from services import ledger
from services.studio import Studio
from storage.users import Profile, User, register_user, touch_user


@dataclass(frozen=True)
class People:
    studio: Studio
    welcome_credits: int
    """Stars a new person starts with."""

    async def meet(self, person: TelegramUser, bot_name: str) -> User:
        """The person as we know them, written down if they are new."""
        profile = Profile(
            id=person.id,
            bot_name=bot_name,
            language=self.studio.texts.language_for(person.language_code),
            username=person.username,
            first_name=person.first_name,
        )
        user = await touch_user(self.studio.db, profile)
        if user is None:
            await self._welcome(profile)
            user = await touch_user(self.studio.db, profile)
            assert user is not None  # noqa: S101 - just written, and users are never deleted
        return user

    async def _welcome(self, profile: Profile) -> None:
        async with self.studio.db.acquire() as connection, connection.transaction():
            if await register_user(connection, profile):
                await ledger.welcome(connection, profile.id, self.welcome_credits)
                logger.info("person {} is new, with {} credits", profile.id, self.welcome_credits)
