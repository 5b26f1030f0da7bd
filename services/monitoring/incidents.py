"""Incidents: problems that admins have to know. Every process checks; the database keeps one of each kind.

An incident is closed only when no process has found its problem for the calm period, so a problem that comes and goes
is one incident. Who is notified, and how, is services/monitoring/alerts.py.
"""

from datetime import datetime, timedelta
from typing import Final

import asyncpg
from loguru import logger

from services.monitoring.health_checks import Clock, HealthCheck, HealthChecks, utc_now
from storage.incidents import Incident, close_incident, open_incidents, record_incident
from storage.pool import DATABASE_UNAVAILABLE, Pool

_CALM_PERIOD: Final = timedelta(seconds=120)


class IncidentMonitor:
    """Runs the health checks, and opens and closes incidents by what they find.

    Args:
        db: Where incidents are kept.
        checks: What to look for.
        clock: The time.
    """

    def __init__(self, db: Pool, checks: HealthChecks, *, clock: Clock = utc_now) -> None:
        self._db = db
        self._checks = checks
        self._clock = clock
        self._started_at = clock()
        self._checked_at: dict[str, datetime] = {}

    async def run_due_checks(self) -> None:
        """Run the checks that are due, open what was found, close what is over: one pass, to be made every 2 s.

        A check that fails is logged and does not keep the others from running.

        Raises:
            OSError: Or another of DATABASE_UNAVAILABLE, where the database cannot be reached.
        """
        now, known = self._clock(), await open_incidents(self._db)
        for check in self._checks.all:
            incident = known.get(check.kind)
            if self._is_due(check, incident, now):
                try:
                    await self._run_check(check, incident, now)
                except asyncpg.PostgresError as error:
                    if isinstance(error, DATABASE_UNAVAILABLE):
                        raise
                    logger.opt(exception=error).error("health check failed", kind=check.kind)
        for incident in known.values():
            await self._close_if_over(incident, now)

    def _is_due(self, check: HealthCheck, incident: Incident | None, now: datetime) -> bool:
        last = self._checked_at.get(check.kind)
        interval = check.open_interval_seconds if incident else check.interval_seconds
        return last is None or now - last >= timedelta(seconds=interval)

    async def _run_check(self, check: HealthCheck, incident: Incident | None, now: datetime) -> None:
        self._checked_at[check.kind] = now
        finding = await check.check(now, incident)
        if finding and await record_incident(
            self._db, check.kind, now, initial_facts=finding.initial_facts, facts=finding.facts
        ):
            logger.warning("incident opened", kind=check.kind, facts={**finding.initial_facts, **finding.facts})

    async def _close_if_over(self, incident: Incident, now: datetime) -> None:
        """A process that has not looked for the calm period itself cannot know that it was calm."""
        unseen_since = now - _CALM_PERIOD
        if incident.last_seen_at > unseen_since or self._started_at > unseen_since:
            return
        facts = await self._checks.closing_facts(incident)
        if await close_incident(self._db, incident.kind, now, unseen_since=unseen_since, facts=facts):
            logger.info("incident closed", incident=incident.id, kind=incident.kind, opened_at=incident.opened_at)
