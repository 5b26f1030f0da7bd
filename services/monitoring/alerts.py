"""Reports incidents to admins and to a webhook. Any process may do this, but only one at a time per incident."""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

from loguru import logger

from services.core.background import BackgroundTasks
from services.messaging.messenger import Messenger
from services.monitoring.alert_messages import MIN_INTERVAL, AlertMessages, QuietHours
from services.monitoring.alert_texts import english_text
from services.monitoring.alert_webhook import AlertWebhook
from services.monitoring.health_checks import Clock, utc_now
from storage.incidents import (
    Incident,
    claim_notification,
    notifiable_incidents,
    release_notification,
    set_webhook_state,
)
from storage.pool import Pool

_CLAIM_DURATION: Final = timedelta(seconds=45)
_NOTIFY_TIMEOUT_SECONDS: Final = 40.0
"""Shorter than a claim, so that one process has stopped before another may start."""
_NOTIFY_CLOSED_WITHIN: Final = timedelta(days=1)
"""How long to keep trying to report a closed incident if Telegram or the webhook cannot be reached."""


class Alerts:
    """Reports incidents to admins and to the webhook.

    Args:
        db: The database.
        messenger: Sends the messages.
        admins: The admins' Telegram ids.
        background: Runs the reports, so that one in progress is recorded before a shutdown.
        quiet_hours: The hours in which new messages are silent.
        webhook: Another system to notify, if there is one.
        clock: Returns the current time.
    """

    def __init__(
        self,
        db: Pool,
        messenger: Messenger,
        admins: frozenset[int],
        background: BackgroundTasks,
        *,
        quiet_hours: QuietHours | None = None,
        webhook: AlertWebhook | None = None,
        clock: Clock = utc_now,
    ) -> None:
        self._db = db
        self._texts = messenger.texts
        self._admins = admins
        self._background = background
        self._messages = AlertMessages(db, messenger, quiet_hours or QuietHours())
        self._webhook = webhook
        self._clock = clock

    async def notify(self) -> None:
        """Report incidents that have news. To be called every 2 seconds.

        Raises:
            OSError: Or another of DATABASE_UNAVAILABLE, if the database cannot be reached.
        """
        now = self._clock()
        for incident in await notifiable_incidents(self._db, now, closed_after=now - _NOTIFY_CLOSED_WITHIN):
            if self._has_update(incident, now):
                with logger.contextualize(incident=incident.id, kind=incident.kind):
                    task = self._background.spawn(self._notify(incident.id, now), f"incident-{incident.id}")
                # A separate task, because a shutdown cancels this pass but lets the task record what it has sent.
                await asyncio.wait([task])

    def _has_update(self, incident: Incident, now: datetime) -> bool:
        if self._webhook and self._webhook.next_status(incident, now):
            return True
        return bool(self._admins_to_notify(incident, english_text(self._texts, incident, now)))

    def _admins_to_notify(self, incident: Incident, text: str) -> list[int]:
        """List the admins whose message differs. New admins get no message about a closed incident."""
        late = incident.closed_at is not None and bool(incident.admin_messages)
        messages = ((admin, incident.admin_messages.get(str(admin))) for admin in sorted(self._admins))
        return [
            admin
            for admin, message in messages
            if (not late if message is None else not message.refused and message.text != text)
        ]

    async def _notify(self, incident_id: int, now: datetime) -> None:
        incident = await claim_notification(self._db, incident_id, now, now + _CLAIM_DURATION)
        if incident is None:
            return
        text = english_text(self._texts, incident, now)
        notifications: list[Awaitable[None]] = [
            self._messages.notify(incident, admin, text, now) for admin in self._admins_to_notify(incident, text)
        ]
        with suppress(TimeoutError):  # the next pass retries the rest
            async with asyncio.timeout(_NOTIFY_TIMEOUT_SECONDS):
                results = await asyncio.gather(self._post(incident, now), *notifications, return_exceptions=True)
                for error in (result for result in results if isinstance(result, BaseException)):
                    logger.opt(exception=error).error("alert failed")
        done = self._clock()
        await release_notification(self._db, incident, text=text, at=done, until=done + MIN_INTERVAL)

    async def _post(self, incident: Incident, now: datetime) -> None:
        if self._webhook is None or (status := self._webhook.next_status(incident, now)) is None:
            return
        if await self._webhook.post(incident, status, now):
            await set_webhook_state(self._db, incident, status)
