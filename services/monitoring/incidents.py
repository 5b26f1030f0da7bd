"""Incidents: trouble that admins have to hear of. Every process looks; the database keeps one of each kind.

An incident is closed only when nobody has seen its trouble for the calm time, so trouble that comes and goes
is one incident. Who is told of it, and how, is services/monitoring/alerts.py.
"""

import asyncio
from datetime import datetime, timedelta
from typing import Final

import asyncpg
from loguru import logger

from services.messaging.app_context import Studio
from services.monitoring.health_checks import Clock, Condition, Conditions, utc_now
from storage.incidents import Incident, close_incident, open_incidents, see_incident
from storage.pool import DATABASE_AWAY

CALM: Final = timedelta(seconds=120)
_LOOK_EVERY: Final = 2.0


class Incidents:
    def __init__(self, studio: Studio, conditions: Conditions, *, clock: Clock = utc_now) -> None:
        self._db = studio.db
        self._conditions = conditions
        self._clock = clock
        self._begun = clock()
        self._looked: dict[str, datetime] = {}

    async def watch(self) -> None:
        """Look, for ever."""
        while True:
            try:
                await self.look()
            except DATABASE_AWAY as error:
                logger.warning("incidents are not looked for, the database is away: {}", error)
            await asyncio.sleep(_LOOK_EVERY)

    async def look(self) -> None:
        """Look at what is due, open what has begun, close what is over."""
        now, known = self._clock(), await open_incidents(self._db)
        for condition in self._conditions.all:
            incident = known.get(condition.kind)
            if self._is_due(condition, incident, now):
                try:
                    await self._check(condition, incident, now)
                except asyncpg.PostgresError as error:
                    if isinstance(error, DATABASE_AWAY):
                        raise
                    # One look that goes wrong must not blind the others.
                    logger.opt(exception=error).error("incident {} could not be looked for", condition.kind)
        for incident in known.values():
            await self._close_if_over(incident, now)

    def _is_due(self, condition: Condition, incident: Incident | None, now: datetime) -> bool:
        last = self._looked.get(condition.kind)
        every = condition.while_open if incident else condition.every
        return last is None or now - last >= timedelta(seconds=every)

    async def _check(self, condition: Condition, incident: Incident | None, now: datetime) -> None:
        self._looked[condition.kind] = now
        seen = await condition.check(now, incident)
        if seen and await see_incident(self._db, condition.kind, now, first=seen.first, facts=seen.facts):
            logger.warning("incident {} begins: {} {}", condition.kind, dict(seen.first), dict(seen.facts))

    async def _close_if_over(self, incident: Incident, now: datetime) -> None:
        """A process that has not looked for the calm time itself cannot know that it was calm."""
        unseen_since = now - CALM
        if incident.seen_at > unseen_since or self._begun > unseen_since:
            return
        facts = await self._conditions.after(incident)
        if await close_incident(self._db, incident.kind, now, unseen_since=unseen_since, facts=facts):
            logger.info("incident {} of {} is over", incident.kind, incident.opened_at.isoformat())
