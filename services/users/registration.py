"""Registration of new users, who start with welcome credits."""

from dataclasses import dataclass

from loguru import logger

from services.ledger import credits as ledger
from storage.money.ledger import Balance, get_balance
from storage.pool import Pool
from storage.users.users import TelegramProfile, User, get_user, register_user


@dataclass(frozen=True)
class UserRegistration:
    """Registers users.

    Attributes:
        db: The database.
        initial_credits: The welcome credits.
    """

    db: Pool
    initial_credits: int

    async def register(self, profile: TelegramProfile) -> tuple[User, Balance]:
        """Register a new user and give the welcome credits, in one transaction. An existing user is not changed.

        Args:
            profile: The user's Telegram profile.

        Returns:
            The user and their balance, whether or not they are new.
        """
        async with self.db.acquire() as connection, connection.transaction():
            if await register_user(connection, profile):
                await ledger.give_welcome_credits(connection, profile.id, self.initial_credits)
                logger.info("user registered", user=profile.id, credits=self.initial_credits)
        user = await get_user(self.db, profile.id)
        assert user is not None  # noqa: S101 - just registered, and users are never deleted
        return user, await get_balance(self.db, profile.id)
