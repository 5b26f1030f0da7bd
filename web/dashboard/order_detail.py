"""One order's whole story: what happened to it, step by step, what it cost, and what its person saw of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from services.admin.admin_actions import refund_key, retry_key
from services.generation.registry import SERVICES
from services.messaging.app_context import Studio
from storage.jobs.jobs import Job, get_job, get_job_by_order
from storage.reports.job_detail import (
    JobEvent,
    JobFacts,
    LedgerMove,
    StepTaken,
    job_events,
    job_facts,
    ledger_moves,
    steps_taken,
)
from web.dashboard.formatting import lasting, stars
from web.dashboard.message_preview import Seen, what_was_seen
from web.dashboard.redaction import discreet, shown

_EVENTS = {
    "accepted": "Accepted",
    "fell_back": "Fell back to Plan B: Inngest is away",
    "begun": "Begun",
    "taken_over": "Taken over",
    "handed_over": "Handed over: its process stops",
    "stopped": "Stopped",
    "ended": "Ended",
}
_MOVES = {
    "hold": "set aside",
    "capture": "paid",
    "release": "released",
    "refund_job": "given back by an admin",
}
_LOOKS = ("pause-", "poll-")
_FOLDED_FROM = 5
"""That many looks at the provider in a row, and more, are folded into one line."""


@dataclass(frozen=True)
class Line:
    """Something that happened. `after` is the time since the order, `took` its length, where it has one; `folded`
    are the lines that it stands for."""

    kind: str
    title: str
    at: datetime
    after: str
    plan: str = ""
    epoch: int | None = None
    took: str = ""
    result: str = ""
    trouble: bool = False
    folded: tuple["Line", ...] = ()


@dataclass(frozen=True)
class Story:
    job: Job
    facts: JobFacts
    lines: list[Line]
    moves: list[LedgerMove]
    seen: list[Seen]
    words: list[str]
    inputs: str
    older: Job | None = None
    """The order that this one repeats."""
    newer: list[Job] = field(default_factory=list)
    """The orders that repeat this one."""

    @property
    def waited(self) -> str:
        return lasting((self.job.started_at - self.job.created_at).total_seconds()) if self.job.started_at else "–"

    @property
    def took(self) -> str:
        if not self.job.started_at or not self.job.ended_at:
            return "–"
        return lasting((self.job.ended_at - self.job.started_at).total_seconds())

    @property
    def refunded(self) -> bool:
        return any(move.kind == "refund_job" for move in self.moves)

    @property
    def actions(self) -> list[str]:
        """What an admin can do about it now."""
        if self.job.errand or self.job.service not in SERVICES:
            return []
        if not self.job.ended:
            return [] if self.job.cancel_requested else ["cancel"]
        if self.job.state == "succeeded":
            return ["refund"] if self.job.price and not self.refunded else []
        return [] if any(job.order_key == retry_key(self.job.id) for job in self.newer) else ["retry"]


async def read_story(studio: Studio, job_id: UUID) -> Story | None:
    """None where there is no such job."""
    db = studio.db
    job, facts = await get_job(db, job_id), await job_facts(db, job_id)
    if job is None or facts is None:
        return None
    steps, events = await steps_taken(db, job_id), await job_events(db, job_id)
    moves = await ledger_moves(db, [f"hold:{job.id}", f"settle:{job.id}", refund_key(job.id)])
    newer = [await get_job_by_order(db, key) for key in (retry_key(job.id), f"again:{job.id}")]
    spec = SERVICES.get(job.service)
    return Story(
        job,
        facts,
        fold(_lines(job, steps, events, moves)),
        moves,
        await what_was_seen(studio, job, facts, steps, moves),
        spec.words(job.inputs) if spec else [],
        shown(job.inputs),
        older=await _older(studio, job),
        newer=[each for each in newer if each is not None],
    )


async def _older(studio: Studio, job: Job) -> Job | None:
    what, _, number = job.order_key.partition(":")
    try:
        return await get_job(studio.db, UUID(number)) if what in ("retry", "again") else None
    except ValueError:
        return None


def _lines(
    job: Job, steps: Sequence[StepTaken], events: Iterable[JobEvent], moves: Iterable[LedgerMove]
) -> list[Line]:
    """Everything in the order in which it happened."""
    lines = [_event(job, event) for event in events] + [_move(job, move) for move in moves]
    before = job.started_at or job.created_at
    for step in sorted(steps, key=lambda step: step.ended_at or step.begun_at):
        lines.append(_step(job, step, before))
        before = step.ended_at or before
    rank = {"event": 0, "step": 1, "move": 2}
    return sorted(lines, key=lambda line: (line.at, rank[line.kind]))


def _event(job: Job, event: JobEvent) -> Line:
    # The trigger's clock goes on inside a transaction; the row's own times are those of the other lines.
    exact = {"accepted": job.created_at, "ended": job.ended_at}.get(event.kind)
    title = _EVENTS[event.kind]
    if event.detail:
        title += f": {event.detail}" if event.kind == "ended" else f" {event.detail}"
    trouble = event.kind in ("fell_back", "taken_over") or (event.kind == "ended" and "failed" in event.detail)
    return _line(job, "event", title, exact or event.at, plan=event.plan, epoch=event.epoch, trouble=trouble)


def _step(job: Job, step: StepTaken, before: datetime) -> Line:
    """Only a step that must not be asked for twice is written down when it begins; of the others it is known that
    they began after the one before had ended."""
    if step.ended_at is None:
        took = "nobody wrote down its end"
    elif step.begun_at < step.ended_at:
        took = lasting((step.ended_at - step.begun_at).total_seconds())
    else:
        took = f"≤ {lasting((step.ended_at - before).total_seconds())}"
    outcome = step.result if isinstance(step.result, dict) else {}
    failed = "failure" in outcome
    value: Any = outcome.get("failure") if failed else outcome.get("value")
    result = "" if value is None else shown(value)
    at = step.begun_at if step.ended_at is None or step.begun_at < step.ended_at else step.ended_at
    trouble = failed or step.ended_at is None
    return _line(
        job, "step", step.step, at, plan=step.plan, epoch=step.epoch, took=took, result=result, trouble=trouble
    )


def _move(job: Job, move: LedgerMove) -> Line:
    what = _MOVES.get(move.kind, move.kind)
    return _line(job, "move", f"{stars(move.stars)} {what}", move.at, result=f"{move.source} → {move.target}")


def _line(job: Job, kind: str, title: str, at: datetime, **more: Any) -> Line:
    after = max(0.0, (at - job.created_at).total_seconds())
    return Line(kind, discreet(title), at, f"+{lasting(after)}", **more)


def fold(lines: Sequence[Line]) -> list[Line]:
    """A long work is looked at a hundred times: of many looks in a row the last stays, the others are folded."""
    told: list[Line] = []
    looks: list[Line] = []
    for line in [*lines, None]:
        if line is not None and line.kind == "step" and line.title.startswith(_LOOKS) and not line.trouble:
            looks.append(line)
            continue
        if len(looks) >= _FOLDED_FROM:
            first, *_, last = looks
            title = f"{len(looks) - 1} looks at the provider"
            told.append(Line("looks", title, first.at, first.after, folded=tuple(looks[:-1])))
            looks = [last]
        told.extend(looks)
        looks = []
        if line is not None:
            told.append(line)
    return told
