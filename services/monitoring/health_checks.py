"""What is looked for: each condition says whether it holds now, and the facts that admins are told of it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from providers.errors import clean
from services.jobs.routing import Plans
from services.messaging.app_context import Studio
from storage.incidents import Incident
from storage.money.ledger import check_ledger
from storage.money.topups import count_unconfirmed
from storage.reports.incident_facts import count_ended, count_failed, count_fell_back, count_unsent, count_waiting

Clock = Callable[[], datetime]

PROVIDER_FAILURES: Final = ("failure.provider", "failure.timed_out", "failure.busy")
"""Keys that say that a provider, and not the person or Telegram, kept an order from succeeding."""
_WINDOW: Final = timedelta(minutes=10)
_FAILED_AT_LEAST: Final = 5
_FAILED_SHARE: Final = 0.25
_LONGEST_WAIT: Final = timedelta(seconds=120)
_DEEPEST: Final = 100
_UNCONFIRMED_AFTER: Final = timedelta(minutes=5)
_UNCONFIRMED_UNTIL: Final = timedelta(hours=1)
"""After that long the person gave up, or the daily comparison with Telegram's own list has to find it."""
_START: Final = timedelta(seconds=15)
"""How long a process that has just begun may take to find Inngest."""


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Seen:
    """A condition holds. `first` are the facts that stay as they were when it was first seen."""

    facts: Mapping[str, Any]
    first: Mapping[str, Any] = field(default_factory=dict)


Check = Callable[[datetime, Incident | None], Awaitable[Seen | None]]
"""Given the time and the incident that is open, if there is one."""


@dataclass(frozen=True)
class Condition:
    """`every` is the seconds between looks, `while_open` those while its incident is open: under the calm time."""

    kind: str
    check: Check
    every: float = 5.0
    while_open: float = 5.0


class Conditions:
    """`per_person` is how many jobs of one person run at once."""

    def __init__(self, studio: Studio, plans: Plans, *, per_person: int = 2) -> None:
        self._studio = studio
        self._db = studio.db
        self._plans = plans
        self._per_person = per_person
        self._at_first = plans.plan_a.since

    @property
    def all(self) -> Sequence[Condition]:
        return (
            Condition("fallback", self._fallback, every=2, while_open=2),  # asks nobody while Inngest is there
            Condition("provider", self._provider, every=15, while_open=15),
            Condition("queue", self._queue),
            # Reads the whole ledger, so it is asked for seldom; by every process while it is known to be wrong.
            Condition("ledger", self._ledger, every=300, while_open=60),
            Condition("payments", self._payments, every=30, while_open=30),
        )

    async def _fallback(self, now: datetime, open_: Incident | None) -> Seen | None:
        """Inngest is away, and some service would use it."""
        plan_a, modes = self._plans.plan_a, {self._plans.mode(service) for service in self._plans.services}
        if plan_a.healthy or modes == {"b"}:
            return None
        since = began(open_) if open_ else plan_a.since
        fell_back = await count_fell_back(self._db, since)
        # Where Inngest was never seen, and nothing falls back, nobody misses it.
        was_there = plan_a.since != self._at_first
        if not (open_ or was_there or (fell_back and now - plan_a.since > _START)):
            return None
        facts = {
            "fell_back": fell_back,
            "waiting": await count_unsent(self._db),
            "auto": "auto" in modes,
            "a": "a" in modes,
        }
        return Seen(facts, {"since": since.isoformat(), "why": clean(plan_a.state)})

    async def _provider(self, now: datetime, open_: Incident | None) -> Seen | None:
        """Many of the orders that ended lately, of a service or of all, failed at a provider."""
        ends = await count_failed(self._db, now - _WINDOW, PROVIDER_FAILURES)
        failed, ended = sum(each.failed for each in ends), sum(each.ended for each in ends)
        bad = {each.service: [each.failed, each.ended] for each in ends if _too_many(each.failed, each.ended)}
        if not bad and not _too_many(failed, ended):
            return None
        return Seen({"failed": failed, "ended": ended, "services": bad})

    async def _queue(self, now: datetime, open_: Incident | None) -> Seen | None:
        """Orders wait too long, or too many do. Those that wait for Inngest are the other incident's."""
        without = [service for service in self._plans.services if self._plans.waits(service)]
        waiting = await count_waiting(self._db, without=without, per_person=self._per_person)
        waited = now - waiting.oldest if waiting.oldest else timedelta()
        if waited <= _LONGEST_WAIT and waiting.count <= _DEEPEST:
            return None
        return Seen({"waiting": waiting.count, "minutes": int(waited.total_seconds() // 60)})

    async def _ledger(self, now: datetime, open_: Incident | None) -> Seen | None:
        check = await check_ledger(self._db)
        return None if check.right else Seen(vars(check))

    async def _payments(self, now: datetime, open_: Incident | None) -> Seen | None:
        """We agreed to a payment, and Telegram has not said that it was made."""
        found = await count_unconfirmed(self._db, now - _UNCONFIRMED_UNTIL, now - _UNCONFIRMED_AFTER)
        return Seen(vars(found)) if found.count else None

    async def after(self, incident: Incident) -> Mapping[str, Any]:
        """What there is to say when it is over."""
        if incident.kind != "fallback":
            return {}
        since = began(incident)
        ended = await count_ended(self._db, since)
        return {
            "fell_back": await count_fell_back(self._db, since),
            "ran": {plan: ended.get(plan, 0) for plan in ("A", "B")},
            "back": self._plans.plan_a.healthy,
        }


def began(incident: Incident) -> datetime:
    """When the trouble began: before it was noticed, where that is known."""
    since = incident.facts.get("since")
    return datetime.fromisoformat(since) if since else incident.opened_at


def _too_many(failed: int, ended: int) -> bool:
    return failed >= _FAILED_AT_LEAST and failed >= _FAILED_SHARE * ended
