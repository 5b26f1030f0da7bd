"""Tells of incidents: admins in their chats, and the webhook. Any process does, one at a time of each incident."""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

from loguru import logger

from services.messaging.app_context import Studio
from services.monitoring.alert_messages import BETWEEN, AlertMessages, QuietHours
from services.monitoring.alert_texts import english
from services.monitoring.alert_webhook import AlertWebhook
from services.monitoring.health_checks import Clock, utc_now
from storage.incidents import Incident, claim_telling, note_posted, release_telling, tellable_incidents
from storage.pool import DATABASE_AWAY

_LOOK_EVERY: Final = 2.0
_CLAIM: Final = timedelta(seconds=45)
_TELLING_SECONDS: Final = 40.0
"""Within the claim: whoever tells has stopped before another may begin."""
_TOLD_LATE: Final = timedelta(days=1)
"""For how long an incident that is over is still told of, where Telegram or the webhook could not be reached."""


class Alerts:
    def __init__(
        self,
        studio: Studio,
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
                await self.tell()
            except DATABASE_AWAY as error:
                logger.warning("nobody is told of incidents, the database is away: {}", error)
            await asyncio.sleep(_LOOK_EVERY)

    async def tell(self) -> None:
        """Tell once what is new."""
        now = self._clock()
        for incident in await tellable_incidents(self._db, now, closed_after=now - _TOLD_LATE):
            if self._is_news(incident, now):
                telling = self._studio.background.spawn(self._tell(incident.id, now), f"incident-{incident.id}")
                # Not a part of this loop, so that a stop lets a message that is on its way be written down.
                await asyncio.wait([telling])

    def _is_news(self, incident: Incident, now: datetime) -> bool:
        if self._webhook and self._webhook.next_word(incident, now):
            return True
        return bool(self._uninformed(incident, english(self._studio.texts, incident, now)))

    def _uninformed(self, incident: Incident, text: str) -> list[int]:
        """The admins who do not know it yet. One who is new does not hear of what is over."""
        late = incident.closed_at is not None and bool(incident.told)
        known = ((admin, incident.told.get(str(admin))) for admin in sorted(self._studio.admins))
        return [
            admin
            for admin, told in known
            if (not late if told is None else not told.refused and told.text != text)
        ]

    async def _tell(self, incident_id: int, now: datetime) -> None:
        incident = await claim_telling(self._db, incident_id, now, now + _CLAIM)
        if incident is None:
            return
        text = english(self._studio.texts, incident, now)
        telling: list[Awaitable[None]] = [
            self._messages.tell(incident, admin, text, now) for admin in self._uninformed(incident, text)
        ]
        with suppress(TimeoutError):  # what was not told is tried again
            async with asyncio.timeout(_TELLING_SECONDS):
                ends = await asyncio.gather(self._post(incident, now), *telling, return_exceptions=True)
                for error in (end for end in ends if isinstance(end, BaseException)):
                    logger.opt(exception=error).error("incident {} was not told to all", incident_id)
        done = self._clock()
        await release_telling(self._db, incident, text=text, at=done, until=done + BETWEEN)

    async def _post(self, incident: Incident, now: datetime) -> None:
        if self._webhook is None or (word := self._webhook.next_word(incident, now)) is None:
            return
        if await self._webhook.post(incident, word, now):
            await note_posted(self._db, incident, word)
