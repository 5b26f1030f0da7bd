"""Tells of incidents: admins in their chats, and the webhook. Any process does, one at a time of each incident."""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

from loguru import logger

from services.messaging.app_context import AppContext
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
from storage.pool import DATABASE_UNAVAILABLE

_POLL_SECONDS: Final = 2.0
_CLAIM_DURATION: Final = timedelta(seconds=45)
_NOTIFY_TIMEOUT_SECONDS: Final = 40.0
"""Within the claim: whoever tells has stopped before another may begin."""
_NOTIFY_CLOSED_WITHIN: Final = timedelta(days=1)
"""For how long an incident that is over is still told of, where Telegram or the webhook could not be reached."""


class Alerts:
    def __init__(
        self,
        studio: AppContext,
        *,
        quiet: QuietHours | None = None,
        webhook: AlertWebhook | None = None,
        clock: Clock = utc_now,
    ) -> None:
        self._studio = studio
        self._db = studio.db
        self._messages = AlertMessages(studio, quiet or QuietHours())
        self._webhook = webhook
        self._clock = clock

    async def run(self) -> None:
        """Tell what there is to tell, for ever."""
        while True:
            try:
                await self.notify()
            except DATABASE_UNAVAILABLE as error:
                logger.warning("nobody is told of incidents, the database is away: {}", error)
            await asyncio.sleep(_POLL_SECONDS)

    async def notify(self) -> None:
        """Tell once what is new."""
        now = self._clock()
        for incident in await notifiable_incidents(self._db, now, closed_after=now - _NOTIFY_CLOSED_WITHIN):
            if self._has_update(incident, now):
                task = self._studio.background.spawn(self._notify(incident.id, now), f"incident-{incident.id}")
                # Not a part of this loop, so that a stop lets a message that is on its way be written down.
                await asyncio.wait([task])

    def _has_update(self, incident: Incident, now: datetime) -> bool:
        if self._webhook and self._webhook.next_status(incident, now):
            return True
        return bool(self._admins_to_notify(incident, english_text(self._studio.texts, incident, now)))

    def _admins_to_notify(self, incident: Incident, text: str) -> list[int]:
        """The admins who do not know it yet. One who is new does not hear of what is over."""
        late = incident.closed_at is not None and bool(incident.admin_messages)
        known = ((admin, incident.admin_messages.get(str(admin))) for admin in sorted(self._studio.admins))
        return [
            admin
            for admin, told in known
            if (not late if told is None else not told.refused and told.text != text)
        ]

    async def _notify(self, incident_id: int, now: datetime) -> None:
        incident = await claim_notification(self._db, incident_id, now, now + _CLAIM_DURATION)
        if incident is None:
            return
        text = english_text(self._studio.texts, incident, now)
        notifications: list[Awaitable[None]] = [
            self._messages.notify(incident, admin, text, now) for admin in self._admins_to_notify(incident, text)
        ]
        with suppress(TimeoutError):  # what was not told is tried again
            async with asyncio.timeout(_NOTIFY_TIMEOUT_SECONDS):
                ends = await asyncio.gather(self._post(incident, now), *notifications, return_exceptions=True)
                for error in (end for end in ends if isinstance(end, BaseException)):
                    logger.opt(exception=error).error("incident {} was not told to all", incident_id)
        done = self._clock()
        await release_notification(self._db, incident, text=text, at=done, until=done + MIN_INTERVAL)

    async def _post(self, incident: Incident, now: datetime) -> None:
        if self._webhook is None or (status := self._webhook.next_status(incident, now)) is None:
            return
        if await self._webhook.post(incident, status, now):
            await set_webhook_state(self._db, incident, status)
