"""What admins read of an incident."""

import html
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from services.core.i18n import DEFAULT_LANGUAGE, Html, Texts
from services.generation.registry import SERVICES
from services.monitoring.health_checks import began
from storage.incidents import Incident

_QUIET_AFTER: Final = timedelta(seconds=40)
_LEDGER_QUIET_AFTER: Final = timedelta(seconds=80)
"""How long trouble is unseen before the message says so: longer than it takes to look again."""


class Say(Protocol):
    """A text by its key, in one admin's language."""

    def __call__(self, key: str, n: int | None = None, /, **params: str | int) -> str: ...


def incident_text(texts: Texts, language: str, incident: Incident, now: datetime) -> str:
    """The whole message as HTML. It changes only when there is something new to say."""

    def t(key: str, n: int | None = None, /, **params: str | int) -> str:
        return texts.t(language, key, n, **params)

    since, until = _at(began(incident)), _at(incident.seen_at)
    title = Html(t(f"incident.{incident.kind}.title"))
    quiet = now - incident.seen_at > (_LEDGER_QUIET_AFTER if incident.kind == "ledger" else _QUIET_AFTER)
    if incident.closed_at:
        lasted = str(timedelta(seconds=int((incident.seen_at - began(incident)).total_seconds())))
        head = t("incident.over", title=title, since=since, until=until, lasted=lasted)
    elif quiet:
        head = t("incident.quiet", title=title, since=since, until=until)
    else:
        head = t("incident.open", title=title, since=since)
    lines = _LINES.get(incident.kind)  # none where a newer version of ours knows more kinds
    lasts = not (quiet or incident.closed_at)
    return "\n".join([head, *(lines(t, incident, lasts) if lines else [])])


def english(texts: Texts, incident: Incident, now: datetime) -> str:
    """By this one message is compared with another, whatever their languages."""
    return incident_text(texts, DEFAULT_LANGUAGE, incident, now)


def plain(text: str) -> str:
    """The same without HTML."""
    return html.unescape(re.sub(r"<[^>]+>", "", text))


def _at(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def _fallback(t: Say, incident: Incident, lasts: bool) -> list[str]:
    facts = incident.facts
    lines = [t("incident.fallback.why", why=facts["why"]), t("incident.fallback.fell_back", facts["fell_back"])]
    if incident.closed_at:
        lines.append(t("incident.fallback.ran", a=facts["ran"]["A"], b=facts["ran"]["B"]))
        return lines if facts["back"] else [*lines, t("incident.fallback.unused")]
    if not lasts:
        return lines
    if facts["waiting"]:
        lines.append(t("incident.fallback.waiting", facts["waiting"]))
    if facts["auto"]:
        lines.append(t("incident.fallback.auto"))
    return [*lines, t("incident.fallback.a")] if facts["a"] else lines


def _provider(t: Say, incident: Incident, lasts: bool) -> list[str]:
    facts = incident.facts
    lines = [t("incident.provider.facts", failed=facts["failed"], ended=facts["ended"])]
    for service, (failed, ended) in facts["services"].items():
        name = t(f"service.{service}.name") if service in SERVICES else service
        lines.append(t("incident.provider.service", service=name, failed=failed, ended=ended))
    return lines


def _queue(t: Say, incident: Incident, lasts: bool) -> list[str]:
    facts = incident.facts
    lines = [t("incident.queue.facts", facts["waiting"], minutes=facts["minutes"])]
    return [*lines, t("incident.queue.hint")] if lasts else lines


def _ledger(t: Say, incident: Incident, lasts: bool) -> list[str]:
    facts = incident.facts
    return [
        t(
            "incident.ledger.facts",
            total=facts["total"],
            balances=facts["wrong_balances"],
            jobs=facts["unsettled_jobs"],
            charges=facts.get("uncredited_charges", 0),
            refunds=facts.get("unposted_refunds", 0),
        )
    ]


def _payments(t: Say, incident: Incident, lasts: bool) -> list[str]:
    facts = incident.facts
    return [t("incident.payments.facts", facts["count"], stars=facts["stars"]), t("incident.payments.hint")]


_LINES: Mapping[str, Callable[[Say, Incident, bool], list[str]]] = {
    "fallback": _fallback,
    "provider": _provider,
    "queue": _queue,
    "ledger": _ledger,
    "payments": _payments,
}
