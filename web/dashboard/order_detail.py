"""One order's whole story: what happened to it, step by step, what it cost, and what its person saw of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from services.admin.admin_actions import refund_key, retry_key
from services.generation.registry import SERVICES
from services.messaging.app_context import AppContext
from storage.jobs.jobs import Job, get_job, get_job_by_order_key
from storage.reports.job_detail import (
    JobEvent,
    JobExtras,
    LedgerTransfer,
    StepRecord,
    get_job_extras,
    job_events,
    job_steps,
    ledger_transfers,
)
from web.dashboard.formatting import format_credits, format_duration
from web.dashboard.message_preview import MessagePreview, preview_messages
from web.dashboard.redaction import redact, redacted_json

_EVENT_TITLES = {
    "accepted": "Accepted",
    "fell_back": "Fell back to Plan B: Inngest is away",
    "started": "Started",
    "taken_over": "Taken over",
    "handed_over": "Handed over: its process stops",
    "cancel_requested": "Cancellation requested",
    "ended": "Ended",
}
_TRANSFER_TITLES = {
    "hold": "set aside",
    "capture": "paid",
    "release": "released",
    "refund_job": "given back by an admin",
}
_POLL_STEPS = ("pause-", "poll-")
_FOLD_MIN = 5
"""That many looks at the provider in a row, and more, are folded into one line."""


@dataclass(frozen=True)
class DetailEntry:
    """Something that happened. `after` is the time since the order, `took` its length, where it has one; `folded`
    are the lines that it stands for."""

    kind: str
    title: str
    at: datetime
    elapsed: str
    plan: str = ""
    epoch: int | None = None
    took: str = ""
    result: str = ""
    trouble: bool = False
    folded: tuple["DetailEntry", ...] = ()


@dataclass(frozen=True)
class OrderDetail:
    job: Job
    facts: JobExtras
    entries: list[DetailEntry]
    transfers: list[LedgerTransfer]
    messages: list[MessagePreview]
    prompts: list[str]
    inputs: str
    repeats: Job | None = None
    """The order that this one repeats."""
    repeated_by: list[Job] = field(default_factory=list)
    """The orders that repeat this one."""

    @property
    def waited(self) -> str:
        return (
            format_duration((self.job.started_at - self.job.created_at).total_seconds())
            if self.job.started_at
            else "–"
        )

    @property
    def took(self) -> str:
        if not self.job.started_at or not self.job.ended_at:
            return "–"
        return format_duration((self.job.ended_at - self.job.started_at).total_seconds())

    @property
    def refunded(self) -> bool:
        return any(move.kind == "refund_job" for move in self.transfers)

    @property
    def actions(self) -> list[str]:
        """What an admin can do about it now."""
        if self.job.internal or self.job.service not in SERVICES:
            return []
        if not self.job.ended:
            return [] if self.job.cancel_requested else ["cancel"]
        if self.job.state == "succeeded":
            return ["refund"] if self.job.price and not self.refunded else []
        return [] if any(job.order_key == retry_key(self.job.id) for job in self.repeated_by) else ["retry"]


async def load_order_detail(app_context: AppContext, job_id: UUID) -> OrderDetail | None:
    """None where there is no such job."""
    db = app_context.db
    job, facts = await get_job(db, job_id), await get_job_extras(db, job_id)
    if job is None or facts is None:
        return None
    steps, events = await job_steps(db, job_id), await job_events(db, job_id)
    transfers = await ledger_transfers(db, [f"hold:{job.id}", f"settle:{job.id}", refund_key(job.id)])
    repeated_by = [await get_job_by_order_key(db, key) for key in (retry_key(job.id), f"again:{job.id}")]
    spec = SERVICES.get(job.service)
    return OrderDetail(
        job,
        facts,
        fold_polls(_entries(job, steps, events, transfers)),
        transfers,
        await preview_messages(app_context, job, facts, steps, transfers),
        spec.prompts(job.inputs) if spec else [],
        redacted_json(job.inputs),
        repeats=await _repeated_order(app_context, job),
        repeated_by=[each for each in repeated_by if each is not None],
    )


async def _repeated_order(app_context: AppContext, job: Job) -> Job | None:
    what, _, number = job.order_key.partition(":")
    try:
        return await get_job(app_context.db, UUID(number)) if what in ("retry", "again") else None
    except ValueError:
        return None


def _entries(
    job: Job, steps: Sequence[StepRecord], events: Iterable[JobEvent], transfers: Iterable[LedgerTransfer]
) -> list[DetailEntry]:
    """Everything in the order in which it happened."""
    entries = [_event_entry(job, event) for event in events] + [_transfer_entry(job, move) for move in transfers]
    before = job.started_at or job.created_at
    for step in sorted(steps, key=lambda step: step.ended_at or step.started_at):
        entries.append(_step_entry(job, step, before))
        before = step.ended_at or before
    rank = {"event": 0, "step": 1, "move": 2}
    return sorted(entries, key=lambda line: (line.at, rank[line.kind]))


def _event_entry(job: Job, event: JobEvent) -> DetailEntry:
    # The trigger's clock goes on inside a transaction; the row's own times are those of the other lines.
    exact = {"accepted": job.created_at, "ended": job.ended_at}.get(event.kind)
    title = _EVENT_TITLES[event.kind]
    if event.detail:
        title += f": {event.detail}" if event.kind == "ended" else f" {event.detail}"
    trouble = event.kind in ("fell_back", "taken_over") or (event.kind == "ended" and "failed" in event.detail)
    return _entry(job, "event", title, exact or event.at, plan=event.plan, epoch=event.epoch, trouble=trouble)


def _step_entry(job: Job, step: StepRecord, before: datetime) -> DetailEntry:
    """Only a step that must not be asked for twice is written down when it begins; of the others it is known that
    they began after the one before had ended."""
    if step.ended_at is None:
        took = "nobody wrote down its end"
    elif step.started_at < step.ended_at:
        took = format_duration((step.ended_at - step.started_at).total_seconds())
    else:
        took = f"≤ {format_duration((step.ended_at - before).total_seconds())}"
    outcome = step.result if isinstance(step.result, dict) else {}
    failed = "failure" in outcome
    value: Any = outcome.get("failure") if failed else outcome.get("value")
    result = "" if value is None else redacted_json(value)
    at = step.started_at if step.ended_at is None or step.started_at < step.ended_at else step.ended_at
    trouble = failed or step.ended_at is None
    return _entry(
        job, "step", step.step, at, plan=step.plan, epoch=step.epoch, took=took, result=result, trouble=trouble
    )


def _transfer_entry(job: Job, transfer: LedgerTransfer) -> DetailEntry:
    what = _TRANSFER_TITLES.get(transfer.kind, transfer.kind)
    return _entry(
        job,
        "move",
        f"{format_credits(transfer.credits)} {what}",
        transfer.at,
        result=f"{transfer.source} → {transfer.target}",
    )


def _entry(job: Job, kind: str, title: str, at: datetime, **more: Any) -> DetailEntry:
    elapsed = max(0.0, (at - job.created_at).total_seconds())
    return DetailEntry(kind, redact(title), at, f"+{format_duration(elapsed)}", **more)


def fold_polls(entries: Sequence[DetailEntry]) -> list[DetailEntry]:
    """A long work is looked at a hundred times: of many looks in a row the last stays, the others are folded."""
    folded: list[DetailEntry] = []
    polls: list[DetailEntry] = []
    for entry in [*entries, None]:
        if (
            entry is not None
            and entry.kind == "step"
            and entry.title.startswith(_POLL_STEPS)
            and not entry.trouble
        ):
            polls.append(entry)
            continue
        if len(polls) >= _FOLD_MIN:
            first, *_, last = polls
            title = f"{len(polls) - 1} looks at the provider"
            folded.append(DetailEntry("looks", title, first.at, first.elapsed, folded=tuple(polls[:-1])))
            polls = [last]
        folded.extend(polls)
        polls = []
        if entry is not None:
            folded.append(entry)
    return folded
