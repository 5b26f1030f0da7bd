"""Opens and closes incidents. Every process runs the checks; the database keeps one open incident of each kind.

An incident is closed only when no process has found its problem for the calm period, so a problem that comes and goes
is one incident. Admins are notified by services/monitoring/alerts.py.
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
    """Runs the health checks, and opens and closes incidents accordingly.

    Args:
        db: The database.
        checks: The health checks.
        clock: Returns the current time.
    """

    def __init__(self, db: Pool, checks: HealthChecks, *, clock: Clock = utc_now) -> None:
        self._db = db
        self._checks = checks
        self._clock = clock
        self._started_at = clock()
        self._checked_at: dict[str, datetime] = {}

    async def run_due_checks(self) -> None:
        """Run the checks that are due, and open and close incidents. To be called every 2 seconds.

        A check that fails in the database is logged, and the others still run.

        Raises:
            OSError: Or another of DATABASE_UNAVAILABLE, if the database cannot be reached.
        """
        now, incidents = self._clock(), await open_incidents(self._db)
        for check in self._checks.all:
            incident = incidents.get(check.kind)
            if self._is_due(check, incident, now):
                try:
                    await self._run_check(check, incident, now)
                except asyncpg.PostgresError as error:
                    if isinstance(error, DATABASE_UNAVAILABLE):
                        raise
                    logger.opt(exception=error).error("health check failed", kind=check.kind)
        for incident in incidents.values():
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
        """Close an incident after the calm period. A process must itself have run for that long."""
        unseen_since = now - _CALM_PERIOD
        if incident.last_seen_at > unseen_since or self._started_at > unseen_since:
            return
        facts = await self._checks.closing_facts(incident)
        if await close_incident(self._db, incident.kind, now, unseen_since=unseen_since, facts=facts):
            logger.info("incident closed", incident=incident.id, kind=incident.kind, opened_at=incident.opened_at)
