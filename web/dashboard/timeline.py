"""The timeline: fallbacks, takeovers, changes of mode and incidents, each as a line of text."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, TypedDict

from providers.redaction import redact
from services.core.i18n import DEFAULT_LANGUAGE, Texts
from storage.reports.dashboard import TimelineEvent
from storage.settings import SettingChange
from web.dashboard.formatting import ServiceName, format_duration, pluralize

_MODE_TITLES: Final = {
    "auto": "auto: A, and B while Inngest is unavailable",
    "a": "A: Inngest alone",
    "b": "B: inline alone",
    None: "as all the others",
}
_MAX_SERVICES: Final = 3
_MAX_FACTS: Final = 4
_MAX_FACT_CHARS: Final = 80


class TimelineEntry(TypedDict):
    """A line of the timeline.

    Attributes:
        kind: `fell_back`, `taken_over`, `mode`, `incident` or `incident over`; also its CSS classes.
        at: When it happened, in Unix time.
        title: What happened.
        detail: Details.
        jobs: The ids of some of the orders.
    """

    kind: str
    at: float
    title: str
    detail: str
    jobs: list[str]


def timeline_entries(
    events: Iterable[TimelineEvent],
    changes: Iterable[SettingChange],
    names: Mapping[str, ServiceName],
    texts: Texts,
) -> list[TimelineEntry]:
    """The lines of the timeline, newest first.

    Args:
        events: Fallbacks, takeovers and incidents.
        changes: Changes of mode.
        names: The names of services, by their ids.
        texts: The names of incidents.
    """
    entries = [_event_entry(event, names, texts) for event in events]
    entries += [_mode_change_entry(change, names) for change in changes]
    return sorted(entries, key=lambda entry: entry["at"], reverse=True)


def _event_entry(event: TimelineEvent, names: Mapping[str, ServiceName], texts: Texts) -> TimelineEntry:
    if event.kind == "fell_back":
        title = f"{pluralize(event.count, 'order', 'orders')} fell back to Plan B"
    elif event.kind == "taken_over":
        title = f"{pluralize(event.count, 'job was', 'jobs were')} taken over"
    else:
        return _incident_entry(event, texts)
    more = [f"and {len(event.services) - _MAX_SERVICES} more"] if len(event.services) > _MAX_SERVICES else []
    services = ", ".join([_service_label(service, names) for service in event.services[:_MAX_SERVICES]] + more)
    return _entry(event.kind, event.at, title, services, [str(job_id) for job_id in event.job_ids])


def _incident_entry(event: TimelineEvent, texts: Texts) -> TimelineEntry:
    incident_kind = event.kind.removeprefix("incident ")
    key = f"incident.{incident_kind}.title"
    name = texts.t(DEFAULT_LANGUAGE, key) if texts.has_key(key) else incident_kind.replace("_", " ")
    if event.closed_at is None:
        end = "still open"
    else:
        end = f"over after {format_duration((event.closed_at - event.at).total_seconds())}"
    facts = [
        _format_fact(name, value) for name, value in event.facts.items() if name != "since" and _is_plain(value)
    ]
    kind = "incident" if event.closed_at is None else "incident over"
    return _entry(kind, event.at, f"Incident: {name}", " · ".join([end, *facts[:_MAX_FACTS]]), [])


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool) and value != ""


def _format_fact(name: str, value: Any) -> str:
    text = redact(str(value))
    text = text if len(text) <= _MAX_FACT_CHARS else f"{text[:_MAX_FACT_CHARS]}…"
    return text if name == "why" else f"{name.replace('_', ' ')}: {text}"


def _mode_change_entry(change: SettingChange, names: Mapping[str, ServiceName]) -> TimelineEntry:
    service = change.key.partition(":")[2]
    author = f"set by {change.changed_by}" if change.changed_by else "set without a name"
    mode = _MODE_TITLES.get(None if change.value is None else str(change.value), "unknown")
    title = f"{_service_label(service, names) if service else 'All services'}: mode {mode}"
    return _entry("mode", change.changed_at, title, author, [])


def _service_label(service: str, names: Mapping[str, ServiceName]) -> str:
    known = names.get(service)
    return f"{known['emoji']} {known['name']}" if known else service


def _entry(kind: str, at: datetime, title: str, detail: str, jobs: list[str]) -> TimelineEntry:
    return {"kind": kind, "at": at.timestamp(), "title": title, "detail": detail, "jobs": jobs}
