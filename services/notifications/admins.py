"""Notifications for admins, in each admin's language, through the bot they last wrote to."""

from dataclasses import dataclass

from loguru import logger

from services.core.errors import Failure
from services.core.i18n import DEFAULT_LANGUAGE
from services.core.message_text import truncate_html
from services.messaging.messenger import Messenger
from services.notifications.notify import notify
from storage.pool import Pool
from storage.users.users import get_user


@dataclass(frozen=True)
class AdminNotifier:
    """Notifies all admins.

    Attributes:
        db: The database.
        messenger: Sends to admins who are not in the database because they have never written to a bot.
        admins: The admins' Telegram user ids.
    """

    db: Pool
    messenger: Messenger
    admins: frozenset[int]

    async def notify(
        self, key: str, n: int | None = None, /, *, dedup_key: str | int = "", **params: str | int
    ) -> int:
        """Notify all admins, as soon as Telegram can be reached.

        Args:
            key: The text's key.
            n: Selects the text's plural form.
            dedup_key: A key for which each admin is notified only once; empty to notify every time.
            **params: Values for the text's placeholders.

        Returns:
            The number of notifications that were enqueued or sent.
        """
        notified = 0
        for admin_id in sorted(self.admins):
            async with self.db.acquire() as connection, connection.transaction():
                known = await get_user(connection, admin_id) is not None
                enqueued = known and await notify(
                    connection,
                    user_id=admin_id,
                    key=key,
                    n=n,
                    params=params,
                    with_menu_button=False,
                    dedup_key=f"{dedup_key}:admin:{admin_id}" if dedup_key else "",
                )
            notified += enqueued or (not known and await self._send_directly(admin_id, key, n, params))
        return notified

    async def _send_directly(self, admin_id: int, key: str, n: int | None, params: dict[str, str | int]) -> bool:
        """Try once to send to an admin who is not in the database, which rarely succeeds."""
        text = truncate_html(self.messenger.texts.t(DEFAULT_LANGUAGE, key, n, **params))
        first_bot = next(iter(self.messenger.bots.by_name))
        try:
            message_id = await self.messenger.send_text(admin_id, first_bot, text)
        except Failure as failure:
            logger.warning("admin not notified", admin=admin_id, notice=key, bot=first_bot, error=failure)
            return False
        if message_id is None:
            logger.warning("admin not notified, unreachable", admin=admin_id, notice=key, bot=first_bot)
        return message_id is not None
