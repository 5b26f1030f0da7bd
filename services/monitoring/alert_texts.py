"""Builds the texts of alerts."""

import html
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from services.core.i18n import DEFAULT_LANGUAGE, Html, Texts
from services.generation.registry import SERVICES
from services.monitoring.health_checks import incident_started_at
from storage.incidents import Incident

_UNSEEN_AFTER: Final = timedelta(seconds=40)
_LEDGER_UNSEEN_AFTER: Final = timedelta(seconds=80)
"""How long a problem must not be found before the message says so. Longer than the interval between checks."""


class _Translate(Protocol):
    """Looks up a text in one admin's language."""

    def __call__(self, key: str, n: int | None = None, /, **params: str | int) -> str: ...


def incident_text(texts: Texts, language: str, incident: Incident, now: datetime) -> str:
    """Build the message about an incident. It changes only when there is something new to report.

    Args:
        texts: The texts.
        language: The admin's language.
        incident: The incident, open or closed.
        now: The current time. A problem that has not been found for a while is shown as quiet.

    Returns:
        HTML that fits into one message.
    """

    def t(key: str, n: int | None = None, /, **params: str | int) -> str:
        return texts.t(language, key, n, **params)

    since, until = _format_time(incident_started_at(incident)), _format_time(incident.last_seen_at)
    title = Html(t(f"incident.{incident.kind}.title"))
    unseen = now - incident.last_seen_at > (_LEDGER_UNSEEN_AFTER if incident.kind == "ledger" else _UNSEEN_AFTER)
    if incident.closed_at:
        duration = str(
            timedelta(seconds=int((incident.last_seen_at - incident_started_at(incident)).total_seconds()))
        )
        head = t("incident.over", title=title, since=since, until=until, lasted=duration)
    elif unseen:
        head = t("incident.quiet", title=title, since=since, until=until)
    else:
        head = t("incident.open", title=title, since=since)
    build_lines = _LINE_BUILDERS.get(incident.kind)  # none for a kind opened by a newer version of the bot
    ongoing = not (unseen or incident.closed_at)
    return "\n".join([head, *(build_lines(t, incident, ongoing) if build_lines else [])])


def english_text(texts: Texts, incident: Incident, now: datetime) -> str:
    """Build the message in English, for comparing messages in different languages."""
    return incident_text(texts, DEFAULT_LANGUAGE, incident, now)


def strip_html(text: str) -> str:
    """Return a message's text without HTML tags."""
    return html.unescape(re.sub(r"<[^>]+>", "", text))


def _format_time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def _fallback_lines(t: _Translate, incident: Incident, ongoing: bool) -> list[str]:
    facts = incident.facts
    lines = [t("incident.fallback.why", why=facts["why"]), t("incident.fallback.fell_back", facts["fell_back"])]
    if incident.closed_at:
        lines.append(t("incident.fallback.ran", a=facts["ran"]["A"], b=facts["ran"]["B"]))
        return lines if facts["back"] else [*lines, t("incident.fallback.unused")]
    if not ongoing:
        return lines
    if facts["waiting"]:
        lines.append(t("incident.fallback.waiting", facts["waiting"]))
    if facts["auto"]:
        lines.append(t("incident.fallback.auto"))
    return [*lines, t("incident.fallback.a")] if facts["a"] else lines


def _provider_lines(t: _Translate, incident: Incident, ongoing: bool) -> list[str]:
    facts = incident.facts
    lines = [t("incident.provider.facts", failed=facts["failed"], ended=facts["ended"])]
    for service, (failed, ended) in facts["services"].items():
        name = t(f"service.{service}.name") if service in SERVICES else service
        lines.append(t("incident.provider.service", service=name, failed=failed, ended=ended))
    return lines


def _queue_lines(t: _Translate, incident: Incident, ongoing: bool) -> list[str]:
    facts = incident.facts
    lines = [t("incident.queue.facts", facts["waiting"], minutes=facts["minutes"])]
    return [*lines, t("incident.queue.hint")] if ongoing else lines


def _ledger_lines(t: _Translate, incident: Incident, ongoing: bool) -> list[str]:
    facts = incident.facts
    return [
        t(
            "incident.ledger.facts",
            total=facts["total"],
            balances=facts["wrong_balances"],
            jobs=facts["unsettled_jobs"],
            charges=facts.get("uncredited_payments", 0),
            refunds=facts.get("unposted_refunds", 0),
        )
    ]


def _payments_lines(t: _Translate, incident: Incident, ongoing: bool) -> list[str]:
    facts = incident.facts
    return [t("incident.payments.facts", facts["count"], stars=facts["stars"]), t("incident.payments.hint")]


_LINE_BUILDERS: Mapping[str, Callable[[_Translate, Incident, bool], list[str]]] = {
    "fallback": _fallback_lines,
    "provider": _provider_lines,
    "queue": _queue_lines,
    "ledger": _ledger_lines,
    "payments": _payments_lines,
}
