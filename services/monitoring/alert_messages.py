"""The one message that an admin gets of an incident: sent once, then edited."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

import aiohttp
from aiogram.exceptions import (
    TelegramAPIError,
    TelegramNetworkError,
    TelegramRetryAfter,
    TelegramServerError,
)
from loguru import logger

from services.core.i18n import DEFAULT_LANGUAGE
from services.messaging.app_context import AppContext
from services.messaging.telegram_errors import is_edit_unnecessary
from services.monitoring.alert_texts import incident_text
from storage.incidents import AdminMessage, Incident, record_send_attempt, save_admin_message
from storage.users.users import get_user

MONEY_KINDS: Final = frozenset({"ledger", "payments"})
"""Kinds that are worth waking somebody for."""
MIN_INTERVAL: Final = timedelta(seconds=15)
"""Between two edits of a message, and between two tries to send it."""
_CALL_TIMEOUT_SECONDS: Final = 20.0


@dataclass(frozen=True)
class QuietHours:
    """From `begin` to `end`, hours of the day in UTC; over midnight where `begin` is the later one."""

    start: int = 0
    end: int = 0

    def contains(self, moment: datetime) -> bool:
        if self.start <= self.end:
            return self.start <= moment.hour < self.end
        return moment.hour >= self.start or moment.hour < self.end


@dataclass(frozen=True)
class AlertMessages:
    studio: AppContext
    quiet_hours: QuietHours = field(default_factory=QuietHours)
    """New messages make no sound then; those about money do."""

    async def notify(self, incident: Incident, admin_id: int, text: str, now: datetime) -> None:
        """Have the admin know `text`, which is what the incident says now in English."""
        db, message = self.studio.db, incident.admin_messages.get(str(admin_id), AdminMessage())
        user = await get_user(db, admin_id)
        html = incident_text(self.studio.texts, user.language if user else DEFAULT_LANGUAGE, incident, now)
        if message.message_id is not None:
            if await self._edit(admin_id, message, html):
                await save_admin_message(db, incident.id, admin_id, replace(message, text=text))
            return
        if message.tried_at and now < datetime.fromisoformat(message.tried_at) + _retry_delay(message.unanswered):
            return
        # A process that dies after Telegram took the message and before its id is stored leaves what nobody can
        # know: whether it arrived. It is sent again then, ever less often: an alert is rather seen twice than
        # never. To die anywhere else neither loses the message nor doubles it.
        bot_name = user.bot_name if user and user.bot_name in self.studio.bots else next(iter(self.studio.bots))
        attempt = AdminMessage(bot_name, unanswered=message.unanswered + 1, tried_at=now.isoformat())
        if await record_send_attempt(db, incident, admin_id, attempt):
            silent = incident.kind not in MONEY_KINDS and self.quiet_hours.contains(now)
            await save_admin_message(
                db, incident.id, admin_id, await self._send(admin_id, attempt, html, text, silent=silent)
            )

    async def _send(
        self, admin_id: int, attempt: AdminMessage, html: str, text: str, *, silent: bool
    ) -> AdminMessage:
        """What is known of the message now."""
        not_sent = replace(attempt, unanswered=attempt.unanswered - 1)
        try:
            async with asyncio.timeout(_CALL_TIMEOUT_SECONDS):
                sent = await self.studio.bots[attempt.bot].send_message(
                    admin_id, html, disable_notification=silent
                )
        except (TelegramNetworkError, TimeoutError) as error:
            logger.warning("admin {}: no answer to an alert: {}", admin_id, type(error).__name__)
            return not_sent if isinstance(error.__cause__, aiohttp.ClientConnectorError) else attempt
        except (TelegramRetryAfter, TelegramServerError) as error:
            logger.warning("admin {} was not alerted yet: {}", admin_id, error.message)
            return not_sent
        except TelegramAPIError as error:
            logger.error("admin {} cannot be alerted: {}", admin_id, error.message)
            return replace(attempt, refused=True)
        return AdminMessage(attempt.bot, sent.message_id, text)

    async def _edit(self, admin_id: int, message: AdminMessage, html: str) -> bool:
        """False where it is worth trying again. A message that the admin has deleted is not sent anew."""
        bot = self.studio.bots.get(message.bot)
        if bot is None:
            return True
        try:
            async with asyncio.timeout(_CALL_TIMEOUT_SECONDS):
                await bot.edit_message_text(html, chat_id=admin_id, message_id=message.message_id)
        except (TelegramNetworkError, TelegramRetryAfter, TelegramServerError, TimeoutError) as error:
            logger.warning("admin {}: an alert was not edited: {}", admin_id, type(error).__name__)
            return False
        except TelegramAPIError as error:
            if not is_edit_unnecessary(error):
                logger.error("admin {}: an alert cannot be edited: {}", admin_id, error.message)
        return True


def _retry_delay(unanswered: int) -> timedelta:
    """Four times as long after each send whose end nobody knows."""
    return MIN_INTERVAL * (1 << 2 * min(max(0, unanswered - 1), 4))
