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
from services.messaging.app_context import Studio
from services.messaging.telegram_errors import nothing_to_edit
from services.monitoring.alert_texts import incident_text
from storage.incidents import Incident, Told, begin_to_tell, note_told
from storage.users.users import get_user

MONEY: Final = frozenset({"ledger", "payments"})
"""Kinds that are worth waking somebody for."""
BETWEEN: Final = timedelta(seconds=15)
"""Between two edits of a message, and between two tries to send it."""
_CALL_SECONDS: Final = 20.0


@dataclass(frozen=True)
class QuietHours:
    """From `begin` to `end`, hours of the day in UTC; over midnight where `begin` is the later one."""

    begin: int = 0
    end: int = 0

    def hold(self, moment: datetime) -> bool:
        if self.begin <= self.end:
            return self.begin <= moment.hour < self.end
        return moment.hour >= self.begin or moment.hour < self.end


@dataclass(frozen=True)
class AlertMessages:
    studio: Studio
    quiet: QuietHours = field(default_factory=QuietHours)
    """New messages make no sound then; those about money do."""

    async def tell(self, incident: Incident, admin: int, text: str, now: datetime) -> None:
        """Have the admin know `text`, which is what the incident says now in English."""
        db, told = self.studio.db, incident.told.get(str(admin), Told())
        user = await get_user(db, admin)
        words = incident_text(self.studio.texts, user.language if user else DEFAULT_LANGUAGE, incident, now)
        if told.message_id is not None:
            if await self._edit(admin, told, words):
                await note_told(db, incident.id, admin, replace(told, text=text))
            return
        if told.tried_at and now < datetime.fromisoformat(told.tried_at) + _pause(told.unanswered):
            return
        # A process that dies after Telegram took the message and before its id is stored leaves what nobody can
        # know: whether it arrived. It is sent again then, ever less often: an alert is rather seen twice than
        # never. To die anywhere else neither loses the message nor doubles it.
        bot_name = user.bot_name if user and user.bot_name in self.studio.bots else next(iter(self.studio.bots))
        trying = Told(bot_name, unanswered=told.unanswered + 1, tried_at=now.isoformat())
        if await begin_to_tell(db, incident, admin, trying):
            silent = incident.kind not in MONEY and self.quiet.hold(now)
            await note_told(db, incident.id, admin, await self._send(admin, trying, words, text, silent=silent))

    async def _send(self, admin: int, trying: Told, words: str, text: str, *, silent: bool) -> Told:
        """What is known of the message now."""
        not_sent = replace(trying, unanswered=trying.unanswered - 1)
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                sent = await self.studio.bots[trying.bot].send_message(admin, words, disable_notification=silent)
        except (TelegramNetworkError, TimeoutError) as error:
            logger.warning("admin {}: no answer to an alert: {}", admin, type(error).__name__)
            return not_sent if isinstance(error.__cause__, aiohttp.ClientConnectorError) else trying
        except (TelegramRetryAfter, TelegramServerError) as error:
            logger.warning("admin {} was not alerted yet: {}", admin, error.message)
            return not_sent
        except TelegramAPIError as error:
            logger.error("admin {} cannot be alerted: {}", admin, error.message)
            return replace(trying, refused=True)
        return Told(trying.bot, sent.message_id, text)

    async def _edit(self, admin: int, told: Told, words: str) -> bool:
        """False where it is worth trying again. A message that the admin has deleted is not sent anew."""
        bot = self.studio.bots.get(told.bot)
        if bot is None:
            return True
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                await bot.edit_message_text(words, chat_id=admin, message_id=told.message_id)
        except (TelegramNetworkError, TelegramRetryAfter, TelegramServerError, TimeoutError) as error:
            logger.warning("admin {}: an alert was not edited: {}", admin, type(error).__name__)
            return False
        except TelegramAPIError as error:
            if not nothing_to_edit(error):
                logger.error("admin {}: an alert cannot be edited: {}", admin, error.message)
        return True


def _pause(unanswered: int) -> timedelta:
    """Four times as long after each send whose end nobody knows."""
    return BETWEEN * (1 << 2 * min(max(0, unanswered - 1), 4))
