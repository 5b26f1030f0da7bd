"""What the person saw of an order, in their language: put together again as services/messaging/progress.py and
services/messaging/delivery.py do, from what is written down."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from services.admin.admin_actions import refund_text
from services.generation.registry import SERVICES
from services.generation.result import JobResult
from services.messaging.app_context import AppContext
from services.messaging.progress import headline, queued_text, running_text, truncate
from storage.jobs.jobs import Job
from storage.reports.job_detail import JobExtras, LedgerTransfer, StepRecord, balance_at
from web.dashboard.formatting import pluralize

_MAX_TEXT_CHARS = 3000
"""As in services/messaging/delivery.py."""


@dataclass(frozen=True)
class MessagePreview:
    """A message in the person's chat. `words` is HTML of Telegram's, made by us and escaped; `media` says what
    stands above them."""

    title: str
    html: Markup
    message_ids: tuple[int, ...] = ()
    media: str = ""


async def preview_messages(
    app_context: AppContext,
    job: Job,
    facts: JobExtras,
    steps: Sequence[StepRecord],
    transfers: Sequence[LedgerTransfer],
) -> list[MessagePreview]:
    if job.service not in SERVICES:
        return []
    previews = [_progress_preview(app_context, job, facts)] if job.progress_message_id is not None else []
    outcomes = {step.step: step.result or {} for step in steps if step.ended_at is not None}
    if job.state == "succeeded":
        previews.append(await _result_preview(app_context, job, steps, outcomes))
    elif job.state == "failed" and "value" in outcomes.get("notify", {}):
        previews.append(_failure_preview(app_context, job, outcomes))
    if any(move.kind == "refund_job" for move in transfers):
        previews.append(
            MessagePreview("Told that the price is back", _html(refund_text(app_context, job, facts.language)))
        )
    return previews


def _progress_preview(app_context: AppContext, job: Job, facts: JobExtras) -> MessagePreview:
    if job.ended:
        state = app_context.texts.t(job.language, f"progress.{job.state}", price=job.price)
        text = f"{headline(app_context, job)}\n{state}"
    else:
        text = (
            running_text(app_context, job, None) if job.state == "running" else queued_text(app_context, job, None)
        )
    title = (
        "Progress message" if facts.finalized or not job.ended else "Progress message (not brought up to date yet)"
    )
    ids = () if job.progress_message_id is None else (job.progress_message_id,)
    return MessagePreview(title, _html(text), ids)


async def _result_preview(
    app_context: AppContext, job: Job, steps: Sequence[StepRecord], outcomes: dict[str, Any]
) -> MessagePreview:
    """The words under a result. The balance in them is what it was when the result was sent."""
    t, result = app_context.texts.t, JobResult.model_validate(job.result or {})
    sent_at = next((step.ended_at for step in steps if step.step == "deliver" and step.ended_at), job.ended_at)
    lines = [headline(app_context, job)]
    if result.text:
        lines.append(t(job.language, "result.text", text=truncate(result.text, _MAX_TEXT_CHARS)))
    if result.note:
        lines.append(t(job.language, result.note))
    if sent_at is not None:
        balance = await balance_at(app_context.db, job.user_id, sent_at)
        lines.append(t(job.language, "result.paid", price=job.price, balance=balance))
    if result.offline:
        lines.append(t(job.language, "result.offline"))
    ids = [*(job.result or {}).get("message_ids", ()), *_message_ids(outcomes.get("words"))]
    kinds = [str(media.kind) for media in result.media]
    media = ", ".join(pluralize(kinds.count(kind), kind, f"{kind}s") for kind in dict.fromkeys(kinds))
    return MessagePreview("Result", _html("\n".join(lines)), tuple(ids), media)


def _failure_preview(app_context: AppContext, job: Job, outcomes: dict[str, Any]) -> MessagePreview:
    t, key = app_context.texts.t, job.failure or "failure.unexpected"
    failures = [outcome["failure"] for outcome in outcomes.values() if "failure" in outcome]
    params: dict[str, Any] = next((failure["params"] for failure in failures if failure["key"] == key), {})
    lines = [headline(app_context, job), t(job.language, key, **params)]
    if job.price:
        lines.append(t(job.language, "failure.returned", job.price))
    ids = _message_ids(outcomes.get("notify"))
    return MessagePreview("Why there is no result", _html("\n".join(lines)), tuple(ids))


def _html(text: str) -> Markup:
    """What we send to Telegram is HTML of our own texts, in which what people wrote is escaped. A quotation begins
    and ends a line by itself, here as there."""
    return Markup(text.replace("\n<blockquote>", "<blockquote>").replace("</blockquote>\n", "</blockquote>"))  # noqa: S704


def _message_ids(outcome: dict[str, Any] | None) -> list[int]:
    value = (outcome or {}).get("value")
    return list(value.get("message_ids", ())) if isinstance(value, dict) else []
