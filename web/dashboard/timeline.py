"""The time line: fallbacks, take-overs, changes of mode and incidents, each in a line of plain words."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, TypedDict

from services.core.i18n import DEFAULT_LANGUAGE, Texts
from storage.reports.dashboard import Moment
from storage.settings import Change
from web.dashboard.formatting import Named, counted, lasting
from web.dashboard.redaction import discreet

_MODES = {
    "auto": "auto: A, and B while Inngest is away",
    "a": "A: Inngest alone",
    "b": "B: inline alone",
    None: "as all the others",
}
_NAMED = 3
_FACTS = 4
_LONGEST_FACT = 80


class Line(TypedDict):
    """`at` is in seconds since 1970; `jobs` are the ids of orders to look at."""

    kind: str
    at: float
    title: str
    detail: str
    jobs: list[str]


def tell_moments(
    moments: Iterable[Moment], changes: Iterable[Change], names: Mapping[str, Named], texts: Texts
) -> list[Line]:
    """Newest first."""
    lines = [_moment(moment, names, texts) for moment in moments] + [_change(change, names) for change in changes]
    return sorted(lines, key=lambda line: line["at"], reverse=True)


def _moment(moment: Moment, names: Mapping[str, Named], texts: Texts) -> Line:
    if moment.kind == "fell_back":
        title = f"{counted(moment.count, 'order', 'orders')} fell back to Plan B"
    elif moment.kind == "taken_over":
        title = f"{counted(moment.count, 'job was', 'jobs were')} taken over"
    else:
        return _incident(moment, texts)
    more = [f"and {len(moment.services) - _NAMED} more"] if len(moment.services) > _NAMED else []
    services = ", ".join([_name(service, names) for service in moment.services[:_NAMED]] + more)
    return _line(moment.kind, moment.at, title, services, [str(job_id) for job_id in moment.job_ids])


def _incident(moment: Moment, texts: Texts) -> Line:
    what = moment.kind.removeprefix("incident ")
    key = f"incident.{what}.title"
    name = texts.t(DEFAULT_LANGUAGE, key) if texts.has(key) else what.replace("_", " ")
    if moment.closed_at is None:
        end = "still open"
    else:
        end = f"over after {lasting((moment.closed_at - moment.at).total_seconds())}"
    facts = [_fact(name, value) for name, value in moment.facts.items() if name != "since" and _is_plain(value)]
    kind = "incident" if moment.closed_at is None else "incident over"
    return _line(kind, moment.at, f"Incident: {name}", " · ".join([end, *facts[:_FACTS]]), [])


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool) and value != ""


def _fact(name: str, value: Any) -> str:
    text = discreet(str(value))
    text = text if len(text) <= _LONGEST_FACT else f"{text[:_LONGEST_FACT]}…"
    return text if name == "why" else f"{name.replace('_', ' ')}: {text}"


def _change(change: Change, names: Mapping[str, Named]) -> Line:
    service = change.key.partition(":")[2]
    who = f"set by {change.changed_by}" if change.changed_by else "set without a name"
    mode = _MODES.get(None if change.value is None else str(change.value), "unknown")
    title = f"{_name(service, names) if service else 'All services'}: mode {mode}"
    return _line("mode", change.changed_at, title, who, [])


def _name(service: str, names: Mapping[str, Named]) -> str:
    known = names.get(service)
    return f"{known['emoji']} {known['name']}" if known else service


def _line(kind: str, at: datetime, title: str, detail: str, jobs: list[str]) -> Line:
    return {"kind": kind, "at": at.timestamp(), "title": title, "detail": detail, "jobs": jobs}
