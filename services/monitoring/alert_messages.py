"""The one message that an admin gets about an incident: sent once, then edited."""

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
"""Between two edits of a message, and between two attempts to send it."""
_MONEY_KINDS: Final = frozenset({"ledger", "payments"})
"""Kinds of incident that are worth waking an admin for."""
_CALL_TIMEOUT_SECONDS: Final = 20.0


@dataclass(frozen=True)
class QuietHours:
    """Hours in which new alerts make no sound.

    Attributes:
        start: The hour of the day, in UTC, at which they start.
        end: The hour at which they end; before `start` where they go over midnight. The same hour: there are none.
    """

    start: int = 0
    end: int = 0

    def contains(self, moment: datetime) -> bool:
        """Whether it is quiet at a moment, which must be in UTC."""
        if self.start <= self.end:
            return self.start <= moment.hour < self.end
        return moment.hour >= self.start or moment.hour < self.end


@dataclass(frozen=True)
class AlertMessages:
    """Sends and edits alerts.

    Attributes:
        db: Where the messages are recorded, so that any process can edit them.
        messenger: Sends them.
        quiet_hours: When new messages make no sound; those about money always do.
    """

    db: Pool
    messenger: Messenger
    quiet_hours: QuietHours = field(default_factory=QuietHours)

    async def notify(self, incident: Incident, admin_id: int, text: str, now: datetime) -> None:
        """Update an admin's message: send it where there is none, else edit it.

        A process that dies after Telegram took the message and before its id was stored leaves it unknown whether the
        message arrived. It is sent again then, at growing intervals: an alert that comes twice is better than one
        that never comes. A process that dies at any other point neither loses the message nor doubles it.

        Args:
            incident: The incident, which this process has claimed.
            admin_id: The admin.
            text: What the message has to say now, in English: messages are compared by their English texts.
            now: The time.
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
        """What is known of the message after an attempt to send it."""
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
        """False where another attempt may help. A message that the admin has deleted is not sent again."""
        if message.bot not in self.messenger.bots.by_name:
            return True  # a message's id is its bot's own
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
    """Four times as long after each send whose outcome is unknown."""
    return MIN_INTERVAL * (1 << 2 * min(max(0, unanswered - 1), 4))
