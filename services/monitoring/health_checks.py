"""The health checks: each looks for one kind of problem, and collects the facts about it for admins."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from providers.redaction import redact_line
from services.jobs.routing import PlanRouter
from storage.incidents import Incident
from storage.money.ledger import check_ledger
from storage.money.topups import count_unconfirmed
from storage.pool import Pool
from storage.reports.order_status import (
    count_ended,
    count_failed,
    count_recoveries,
    count_unpublished,
    get_backlog,
)

Clock = Callable[[], datetime]

_PROVIDER_FAILURE_KEYS: Final = ("failure.provider", "failure.timed_out", "failure.busy")
"""The keys of failures caused by a provider rather than by the user or Telegram."""
_WINDOW: Final = timedelta(minutes=10)
_MIN_FAILURES: Final = 5
_MIN_FAILURE_RATE: Final = 0.25
_MAX_WAIT: Final = timedelta(seconds=120)
_MAX_BACKLOG: Final = 100
_UNCONFIRMED_AFTER: Final = timedelta(minutes=5)
_UNCONFIRMED_UNTIL: Final = timedelta(hours=1)
"""Older checkouts are ignored: either the user gave up, or the daily reconciliation finds the payment."""
_STARTUP_GRACE: Final = timedelta(seconds=15)
"""How long a new process may take to connect to Inngest."""


def utc_now() -> datetime:
    """Return the current time. The default clock, which tests replace."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Finding:
    """A problem that exists now.

    Attributes:
        facts: The current facts.
        initial_facts: Facts stored when the incident is opened and not updated afterwards.
    """

    facts: Mapping[str, Any]
    initial_facts: Mapping[str, Any] = field(default_factory=dict)


CheckFunction = Callable[[datetime, Incident | None], Awaitable[Finding | None]]
"""Called with the current time and the open incident, if there is one. Returns None if all is well."""


@dataclass(frozen=True)
class HealthCheck:
    """A check, and how often it runs.

    Attributes:
        kind: The kind of incident opened by a finding.
        check: The check.
        interval_seconds: Seconds between runs while no incident of this kind is open.
        open_interval_seconds: Seconds between runs while one is open. Shorter than the calm period that closes it.
    """

    kind: str
    check: CheckFunction
    interval_seconds: float = 5.0
    open_interval_seconds: float = 5.0


class HealthChecks:
    """All checks.

    Args:
        db: The database.
        router: Tells the modes, and whether Inngest is available.
        per_user_limit: The most orders of one user run at once.
    """

    def __init__(self, db: Pool, router: PlanRouter, *, per_user_limit: int = 2) -> None:
        self._db = db
        self._router = router
        self._per_user_limit = per_user_limit
        self._initial_since = router.plan_a.since
        self.all: Final[Sequence[HealthCheck]] = (
            # Makes no query while Inngest is available.
            HealthCheck("fallback", self._check_fallback, interval_seconds=2, open_interval_seconds=2),
            HealthCheck("provider", self._check_provider, interval_seconds=15, open_interval_seconds=15),
            HealthCheck("queue", self._check_queue),
            # Reads the whole ledger, so it runs rarely, but more often while the ledger is known to be inconsistent.
            HealthCheck("ledger", self._check_ledger, interval_seconds=300, open_interval_seconds=60),
            HealthCheck("payments", self._check_payments, interval_seconds=30, open_interval_seconds=30),
        )

    async def closing_facts(self, incident: Incident) -> Mapping[str, Any]:
        """Return facts that are known only when an incident is over. They replace existing facts of the same name."""
        if incident.kind != "fallback":
            return {}
        since = incident_started_at(incident)
        ended = await count_ended(self._db, since)
        return {
            "fell_back": (await count_recoveries(self._db, since)).fell_back,
            "ran": {plan: ended.get(plan, 0) for plan in ("A", "B")},
            "back": self._router.plan_a.healthy,
        }

    async def _check_fallback(self, now: datetime, open_incident: Incident | None) -> Finding | None:
        """Find whether Inngest is unavailable and some service would use it."""
        plan_a, modes = self._router.plan_a, {self._router.mode(service) for service in self._router.services}
        if plan_a.healthy or modes == {"b"}:
            return None
        since = incident_started_at(open_incident) if open_incident else plan_a.since
        fallback_count = (await count_recoveries(self._db, since)).fell_back
        # If Inngest was never available and nothing falls back, Inngest is not in use.
        was_available = plan_a.since != self._initial_since
        if not (open_incident or was_available or (fallback_count and now - plan_a.since > _STARTUP_GRACE)):
            return None
        facts = {
            "fell_back": fallback_count,
            "waiting": (await count_unpublished(self._db)).orders,
            "auto": "auto" in modes,
            "a": "a" in modes,
        }
        return Finding(facts, {"since": since.isoformat(), "why": redact_line(plan_a.state)})

    async def _check_provider(self, now: datetime, open_incident: Incident | None) -> Finding | None:
        """Find whether many recent orders, of one service or of all, failed because of a provider."""
        ends = await count_failed(self._db, now - _WINDOW, _PROVIDER_FAILURE_KEYS)
        failed, ended = sum(each.failed for each in ends), sum(each.ended for each in ends)
        failing_services = {
            each.service: [each.failed, each.ended] for each in ends if _is_failing(each.failed, each.ended)
        }
        if not failing_services and not _is_failing(failed, ended):
            return None
        return Finding({"failed": failed, "ended": ended, "services": failing_services})

    async def _check_queue(self, now: datetime, open_incident: Incident | None) -> Finding | None:
        """Find whether orders wait too long or too many wait. Orders waiting for Inngest belong to `fallback`."""
        excluded = [service for service in self._router.services if self._router.waits_for_inngest(service)]
        waiting = await get_backlog(self._db, excluded_services=excluded, per_user_limit=self._per_user_limit)
        waited = now - waiting.oldest if waiting.oldest else timedelta()
        if waited <= _MAX_WAIT and waiting.count <= _MAX_BACKLOG:
            return None
        return Finding({"waiting": waiting.count, "minutes": int(waited.total_seconds() // 60)})

    async def _check_ledger(self, now: datetime, open_incident: Incident | None) -> Finding | None:
        check = await check_ledger(self._db)
        return None if check.is_consistent else Finding(vars(check))

    async def _check_payments(self, now: datetime, open_incident: Incident | None) -> Finding | None:
        """Find approved checkouts for which Telegram has not confirmed the payment."""
        found = await count_unconfirmed(self._db, now - _UNCONFIRMED_UNTIL, now - _UNCONFIRMED_AFTER)
        return Finding(vars(found)) if found.count else None


def incident_started_at(incident: Incident) -> datetime:
    """Return when the problem began. If that is not known, when the incident was opened."""
    since = incident.facts.get("since")
    return datetime.fromisoformat(since) if since else incident.opened_at


def _is_failing(failed: int, ended: int) -> bool:
    return failed >= _MIN_FAILURES and failed >= _MIN_FAILURE_RATE * ended
