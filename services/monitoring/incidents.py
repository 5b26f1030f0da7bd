"""Incidents: trouble that admins have to hear of. Every process looks; the database keeps one of each kind.

An incident is closed only when nobody has seen its trouble for the calm time, so trouble that comes and goes
is one incident. Who is told of it, and how, is services/monitoring/alerts.py.
"""

import asyncio
from datetime import datetime, timedelta
from typing import Final

import asyncpg
from loguru import logger

from services.messaging.app_context import AppContext
from services.monitoring.health_checks import Clock, HealthCheck, HealthChecks, utc_now
from storage.incidents import Incident, close_incident, open_incidents, record_incident
from storage.pool import DATABASE_UNAVAILABLE

CALM_PERIOD: Final = timedelta(seconds=120)
_POLL_SECONDS: Final = 2.0


class IncidentMonitor:
    def __init__(self, studio: AppContext, checks: HealthChecks, *, clock: Clock = utc_now) -> None:
        self._db = studio.db
        self._checks = checks
        self._clock = clock
        self._started_at = clock()
        self._checked_at: dict[str, datetime] = {}

    async def watch(self) -> None:
        """Look, for ever."""
        while True:
            try:
                await self.run_due_checks()
            except DATABASE_UNAVAILABLE as error:
                logger.warning("incidents are not looked for, the database is away: {}", error)
            await asyncio.sleep(_POLL_SECONDS)

    async def run_due_checks(self) -> None:
        """Look at what is due, open what has begun, close what is over."""
        now, known = self._clock(), await open_incidents(self._db)
        for check in self._checks.all:
            incident = known.get(check.kind)
            if self._is_due(check, incident, now):
                try:
                    await self._run_check(check, incident, now)
                except asyncpg.PostgresError as error:
                    if isinstance(error, DATABASE_UNAVAILABLE):
                        raise
                    # One look that goes wrong must not blind the others.
                    logger.opt(exception=error).error("incident {} could not be looked for", check.kind)
        for incident in known.values():
            await self._close_if_over(incident, now)

    def _is_due(self, check: HealthCheck, incident: Incident | None, now: datetime) -> bool:
        last = self._checked_at.get(check.kind)
        every = check.open_interval_seconds if incident else check.interval_seconds
        return last is None or now - last >= timedelta(seconds=every)

    async def _run_check(self, check: HealthCheck, incident: Incident | None, now: datetime) -> None:
        self._checked_at[check.kind] = now
        finding = await check.check(now, incident)
        if finding and await record_incident(
            self._db, check.kind, now, initial_facts=finding.initial_facts, facts=finding.facts
        ):
            logger.warning(
                "incident {} begins: {} {}", check.kind, dict(finding.initial_facts), dict(finding.facts)
            )

    async def _close_if_over(self, incident: Incident, now: datetime) -> None:
        """A process that has not looked for the calm time itself cannot know that it was calm."""
        unseen_since = now - CALM_PERIOD
        if incident.last_seen_at > unseen_since or self._started_at > unseen_since:
            return
        facts = await self._checks.closing_facts(incident)
        if await close_incident(self._db, incident.kind, now, unseen_since=unseen_since, facts=facts):
            logger.info("incident {} of {} is over", incident.kind, incident.opened_at.isoformat())
