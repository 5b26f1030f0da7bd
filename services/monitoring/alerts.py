"""Reports incidents to admins and to a webhook. Any process does it, one at a time for each incident."""

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
"""Less than the claim: one process has stopped before another may start."""
_NOTIFY_CLOSED_WITHIN: Final = timedelta(days=1)
"""How long an incident that is over is still reported, where Telegram or the webhook could not be reached."""


class Alerts:
    """Reports incidents to admins and to the webhook.

    Args:
        db: Where incidents are kept.
        messenger: Sends the messages.
        admins: Telegram's ids of the admins.
        background: Holds the reports, so that a shutdown lets one that is under way be recorded.
        quiet_hours: When new messages make no sound.
        webhook: Another system to notify, where there is one.
        clock: The time.
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
        """Report once what is new: one pass, to be made every 2 s.

        Raises:
            OSError: Or another of DATABASE_UNAVAILABLE, where the database cannot be reached.
        """
        now = self._clock()
        for incident in await notifiable_incidents(self._db, now, closed_after=now - _NOTIFY_CLOSED_WITHIN):
            if self._has_update(incident, now):
                with logger.contextualize(incident=incident.id, kind=incident.kind):
                    task = self._background.spawn(self._notify(incident.id, now), f"incident-{incident.id}")
                # Not a part of this pass: a shutdown cancels the pass and lets the task record what it has sent.
                await asyncio.wait([task])

    def _has_update(self, incident: Incident, now: datetime) -> bool:
        if self._webhook and self._webhook.next_status(incident, now):
            return True
        return bool(self._admins_to_notify(incident, english_text(self._texts, incident, now)))

    def _admins_to_notify(self, incident: Incident, text: str) -> list[int]:
        """The admins whose message is not this text yet. A new admin gets no message about a closed incident."""
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
        with suppress(TimeoutError):  # what is missing is tried again
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
