"""Everything about one order: what happened to it, what it cost, and what its user saw."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from providers.redaction import redact, redacted_json
from services.admin.admin_actions import RelatedOrders, find_job, find_related_orders, refund_key
from services.core.i18n import Texts
from services.durable.step_names import PAUSE_PREFIX, POLL_PREFIX
from services.generation.registry import SERVICES
from storage.jobs.jobs import Job
from storage.pool import Executor
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

_EVENT_TITLES: Final = {
    "accepted": "Accepted",
    "fell_back": "Fell back to Plan B: Inngest is unavailable",
    "started": "Started",
    "taken_over": "Taken over",
    "handed_over": "Handed over: its process stops",
    "cancel_requested": "Cancellation requested",
    "ended": "Ended",
}
_TRANSFER_TITLES: Final = {
    "hold": "set aside",
    "capture": "paid",
    "release": "released",
    "refund_job": "given back by an admin",
}
_FOLD_MIN: Final = 5
"""Minimum number of consecutive provider polls that are folded into one entry."""


@dataclass(frozen=True)
class DetailEntry:
    """Something that happened to an order.

    Attributes:
        kind: `event`, `step`, `move` (of credits) or `polls`; also the name of its CSS class.
        title: What happened.
        at: When it happened or started.
        elapsed: The time since the order was placed.
        plan: The plan that the job was on.
        epoch: The job's epoch, from 1.
        took: How long it took; empty if it has no duration.
        result: Its result, without secrets.
        trouble: Whether it is highlighted as a problem.
        folded: The entries that this one replaces.
    """

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
    """The data of an order's page.

    Attributes:
        job: The order.
        facts: Its user, and the columns that `Job` does not have.
        entries: What happened to it, oldest first.
        transfers: The ledger's transfers for it.
        messages: The messages that its user saw.
        prompts: The prompts that the user wrote.
        inputs: Its inputs as JSON, without secrets.
        related: The order that it repeats, and the orders that repeat it.
    """

    job: Job
    facts: JobExtras
    entries: list[DetailEntry]
    transfers: list[LedgerTransfer]
    messages: list[MessagePreview]
    prompts: list[str]
    inputs: str
    related: RelatedOrders

    @property
    def repeats(self) -> Job | None:
        """The order that this one repeats."""
        return self.related.repeats

    @property
    def repeated_by(self) -> list[Job]:
        """The orders that repeat this one."""
        return self.related.repeated_by

    @property
    def waited(self) -> str:
        """The time from the order to the start of its job."""
        if not self.job.started_at:
            return "–"
        return format_duration((self.job.started_at - self.job.created_at).total_seconds())

    @property
    def took(self) -> str:
        """The time from the start of its job to its end."""
        if not self.job.started_at or not self.job.ended_at:
            return "–"
        return format_duration((self.job.ended_at - self.job.started_at).total_seconds())

    @property
    def refunded(self) -> bool:
        """Whether an admin returned its price."""
        return any(transfer.kind == "refund_job" for transfer in self.transfers)

    @property
    def actions(self) -> list[str]:
        """The admin actions that are possible now."""
        if self.job.internal or self.job.service not in SERVICES:
            return []
        if not self.job.ended:
            return [] if self.job.cancel_requested else ["cancel"]
        if self.job.state == "succeeded":
            return ["refund"] if self.job.price and not self.refunded else []
        return [] if self.related.retried else ["retry"]


async def load_order_detail(db: Executor, texts: Texts, job_id: UUID) -> OrderDetail | None:
    """Load everything about an order or an internal job.

    Args:
        db: The database.
        texts: The texts of the messages that its user saw.
        job_id: The job.

    Returns:
        The data of its page; None if there is no such job.
    """
    job, facts = await find_job(db, job_id), await get_job_extras(db, job_id)
    if job is None or facts is None:
        return None
    steps, events = await job_steps(db, job_id), await job_events(db, job_id)
    transfers = await ledger_transfers(db, [f"hold:{job.id}", f"settle:{job.id}", refund_key(job.id)])
    spec = SERVICES.get(job.service)
    return OrderDetail(
        job,
        facts,
        fold_polls(_entries(job, steps, events, transfers)),
        transfers,
        await preview_messages(db, texts, job, facts, steps, transfers),
        spec.prompts(job.inputs) if spec else [],
        redacted_json(job.inputs),
        await find_related_orders(db, job),
    )


def fold_polls(entries: Sequence[DetailEntry]) -> list[DetailEntry]:
    """Fold the polls of the provider, of which a long job has hundreds.

    Args:
        entries: What happened, oldest first.

    Returns:
        The entries, in which five or more consecutive polls are replaced by one entry and the last of these polls.
    """
    folded: list[DetailEntry] = []
    polls: list[DetailEntry] = []
    for entry in [*entries, None]:
        if entry is not None and _is_poll(entry):
            polls.append(entry)
            continue
        if len(polls) >= _FOLD_MIN:
            first, *_, last = polls
            title = f"{len(polls) - 1} provider polls"
            folded.append(DetailEntry("polls", title, first.at, first.elapsed, folded=tuple(polls[:-1])))
            polls = [last]
        folded.extend(polls)
        polls = []
        if entry is not None:
            folded.append(entry)
    return folded


def _is_poll(entry: DetailEntry) -> bool:
    return entry.kind == "step" and entry.title.startswith((PAUSE_PREFIX, POLL_PREFIX)) and not entry.trouble


def _entries(
    job: Job, steps: Sequence[StepRecord], events: Iterable[JobEvent], transfers: Iterable[LedgerTransfer]
) -> list[DetailEntry]:
    """The entries for events, steps and transfers, oldest first."""
    entries = [_event_entry(job, event) for event in events]
    entries += [_transfer_entry(job, transfer) for transfer in transfers]
    before = job.started_at or job.created_at
    for step in sorted(steps, key=lambda step: step.ended_at or step.started_at):
        entries.append(_step_entry(job, step, before))
        before = step.ended_at or before
    rank = {"event": 0, "step": 1, "move": 2}
    return sorted(entries, key=lambda entry: (entry.at, rank[entry.kind]))


def _event_entry(job: Job, event: JobEvent) -> DetailEntry:
    # The trigger records the clock time, not the time of the transaction; the job's own times match other entries.
    exact = {"accepted": job.created_at, "ended": job.ended_at}.get(event.kind)
    title = _EVENT_TITLES[event.kind]
    if event.detail:
        title += f": {event.detail}" if event.kind == "ended" else f" {event.detail}"
    trouble = event.kind in ("fell_back", "taken_over") or (event.kind == "ended" and "failed" in event.detail)
    return _entry(job, "event", title, exact or event.at, plan=event.plan, epoch=event.epoch, trouble=trouble)


def _step_entry(job: Job, step: StepRecord, before: datetime) -> DetailEntry:
    """The entry for a step. Only the start of steps that must not be repeated is recorded; any other step started
    after the previous one had ended (`before`)."""
    if step.ended_at is None:
        took = "its end was not recorded"
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
    title = f"{format_credits(transfer.credits)} {_TRANSFER_TITLES.get(transfer.kind, transfer.kind)}"
    return _entry(job, "move", title, transfer.at, result=f"{transfer.source} → {transfer.target}")


def _entry(job: Job, kind: str, title: str, at: datetime, **more: Any) -> DetailEntry:
    elapsed = max(0.0, (at - job.created_at).total_seconds())
    return DetailEntry(kind, redact(title), at, f"+{format_duration(elapsed)}", **more)
