"""The alert that an admin gets about an incident: one message, sent once and then edited."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from loguru import logger

from services.core.errors import PermanentFailure, Unavailable
from services.core.i18n import DEFAULT_LANGUAGE
from services.messaging.messenger import Messenger
from services.monitoring.alert_texts import incident_text
from storage.incidents import AdminMessage, Incident, record_send_attempt, save_admin_message
from storage.pool import Pool
from storage.users.users import get_user

MIN_INTERVAL: Final = timedelta(seconds=15)
"""The minimum time between two edits of a message, and between two attempts to send it."""
_MONEY_KINDS: Final = frozenset({"ledger", "payments"})
"""Kinds of incident whose alerts make a sound even in quiet hours."""
_CALL_TIMEOUT_SECONDS: Final = 20.0


@dataclass(frozen=True)
class QuietHours:
    """Hours in which new alerts are silent.

    Attributes:
        start: The hour of the day (UTC) at which they start.
        end: The hour (UTC) at which they end. It is before `start` if they span midnight. If equal to `start`, there
            are no quiet hours.
    """

    start: int = 0
    end: int = 0

    def contains(self, moment: datetime) -> bool:
        """Whether a time, which must be in UTC, is within the quiet hours."""
        if self.start <= self.end:
            return self.start <= moment.hour < self.end
        return moment.hour >= self.start or moment.hour < self.end


@dataclass(frozen=True)
class AlertMessages:
    """Sends and edits alerts.

    Attributes:
        db: The database, which records the messages so that any process can edit them.
        messenger: Sends and edits the messages.
        quiet_hours: The hours in which new messages are silent, except those about money.
    """

    db: Pool
    messenger: Messenger
    quiet_hours: QuietHours = field(default_factory=QuietHours)

    async def notify(self, incident: Incident, admin_id: int, text: str, now: datetime) -> None:
        """Update an admin's message: send it if there is none yet, otherwise edit it.

        If the process dies after Telegram accepted the message and before its id was stored, nobody knows whether the
        message arrived. It is then sent again, at growing intervals: an alert that arrives twice is better than one
        that never arrives. If the process dies at any other point, the message is neither lost nor duplicated.

        Args:
            incident: The incident, claimed by this process.
            admin_id: The admin.
            text: The message's new text in English. Messages are compared by their English texts.
            now: The current time.
        """
        message = incident.admin_messages.get(str(admin_id), AdminMessage())
        user = await get_user(self.db, admin_id)
        html = incident_text(self.messenger.texts, user.language if user else DEFAULT_LANGUAGE, incident, now)
        if message.message_id is not None:
            if await self._edit(admin_id, message, message.message_id, html):
                await save_admin_message(self.db, incident.id, admin_id, replace(message, text=text))
            return
        if message.tried_at and now < datetime.fromisoformat(message.tried_at) + _retry_delay(message.unanswered):
            return
        bots = self.messenger.bots.by_name
        bot_name = user.bot_name if user and user.bot_name in bots else next(iter(bots))
        attempt = AdminMessage(bot_name, unanswered=message.unanswered + 1, tried_at=now.isoformat())
        if await record_send_attempt(self.db, incident, admin_id, attempt):
            silent = incident.kind not in _MONEY_KINDS and self.quiet_hours.contains(now)
            await save_admin_message(
                self.db, incident.id, admin_id, await self._send(admin_id, attempt, html, text, silent=silent)
            )

    async def _send(
        self, admin_id: int, attempt: AdminMessage, html: str, text: str, *, silent: bool
    ) -> AdminMessage:
        """Try to send the message, and return what is known about it afterwards."""
        try:
            async with asyncio.timeout(_CALL_TIMEOUT_SECONDS):
                message_id = await self.messenger.send_text(admin_id, attempt.bot, html, silent=silent)
        except TimeoutError:
            logger.warning("alert timed out", admin=admin_id, bot=attempt.bot, seconds=_CALL_TIMEOUT_SECONDS)
            return attempt
        except Unavailable as error:
            logger.warning("alert not sent", admin=admin_id, bot=attempt.bot, error=error)
            return attempt if error.delivery_unknown else replace(attempt, unanswered=attempt.unanswered - 1)
        except PermanentFailure as error:
            logger.error("alert refused", admin=admin_id, bot=attempt.bot, error=error)
            return replace(attempt, refused=True)
        if message_id is None:
            logger.error("alert refused, admin is unreachable", admin=admin_id, bot=attempt.bot)
            return replace(attempt, refused=True)
        return AdminMessage(attempt.bot, message_id, text)

    async def _edit(self, admin_id: int, message: AdminMessage, message_id: int, html: str) -> bool:
        """Edit a message. Returns False if a retry may help. A message that the admin has deleted is not sent again."""
        if message.bot not in self.messenger.bots.by_name:
            return True  # only the bot that sent a message can edit it
        try:
            async with asyncio.timeout(_CALL_TIMEOUT_SECONDS):
                await self.messenger.call(
                    admin_id,
                    message.bot,
                    lambda bot: bot.edit_message_text(html, chat_id=admin_id, message_id=message_id),
                )
        except (Unavailable, TimeoutError) as error:
            logger.warning("alert not edited", admin=admin_id, bot=message.bot, error=error)
            return False
        except PermanentFailure as error:
            logger.info("alert cannot be edited", admin=admin_id, bot=message.bot, error=error)
        return True


def _retry_delay(unanswered: int) -> timedelta:
    """The delay before the next attempt: four times longer after each send with unknown outcome."""
    return MIN_INTERVAL * (1 << 2 * min(max(0, unanswered - 1), 4))
