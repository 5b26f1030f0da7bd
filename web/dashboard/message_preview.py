"""The messages about an order that its user saw, in their language.

They are rebuilt from stored data, in the same way as services/messaging/progress.py and delivery.py build them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from services.admin.admin_actions import refund_text
from services.core.i18n import Texts
from services.durable.step_names import DELIVER, DELIVER_CAPTION, NOTIFY
from services.generation.registry import SERVICES
from services.generation.result import JobResult
from services.messaging.delivery import caption_text, failure_text
from services.messaging.progress import headline, queued_text, running_text
from storage.jobs.jobs import Job
from storage.pool import Executor
from storage.reports.job_detail import JobExtras, LedgerTransfer, StepRecord, balance_at
from web.dashboard.formatting import pluralize


@dataclass(frozen=True)
class MessagePreview:
    """A message in the user's chat.

    Attributes:
        title: What the message is about.
        html: Its text as Telegram's HTML, in which users' text is escaped.
        message_ids: Its message ids; several for an album and its caption.
        media: The media above the text, such as `2 photos`.
    """

    title: str
    html: Markup
    message_ids: tuple[int, ...] = ()
    media: str = ""


async def preview_messages(
    db: Executor,
    texts: Texts,
    job: Job,
    facts: JobExtras,
    steps: Sequence[StepRecord],
    transfers: Sequence[LedgerTransfer],
) -> list[MessagePreview]:
    """Rebuild the messages about an order, oldest first.

    Args:
        db: The database.
        texts: The texts of the messages.
        job: The order.
        facts: Whether its progress message is up to date, and the user's language.
        steps: Its journal.
        transfers: The ledger's transfers for it.

    Returns:
        The messages; none for an internal job.
    """
    if job.service not in SERVICES:
        return []
    previews = [_progress_preview(texts, job, facts)] if job.progress_message_id is not None else []
    outcomes = {step.step: step.result or {} for step in steps if step.ended_at is not None}
    if job.state == "succeeded":
        previews.append(await _result_preview(db, texts, job, steps, outcomes))
    elif job.state == "failed" and "value" in outcomes.get(NOTIFY, {}):
        previews.append(_failure_preview(texts, job, outcomes))
    if any(transfer.kind == "refund_job" for transfer in transfers):
        text = refund_text(texts, job, facts.language)
        previews.append(MessagePreview("Notice that the price was given back", _html(text)))
    return previews


def _progress_preview(texts: Texts, job: Job, facts: JobExtras) -> MessagePreview:
    if job.ended:
        state = texts.t(job.language, f"progress.{job.state}", price=job.price)
        text = f"{headline(texts, job)}\n{state}"
    else:
        text = running_text(texts, job, None) if job.state == "running" else queued_text(texts, job, None)
    up_to_date = facts.finalized or not job.ended
    title = "Progress message" if up_to_date else "Progress message (not brought up to date yet)"
    ids = () if job.progress_message_id is None else (job.progress_message_id,)
    return MessagePreview(title, _html(text), ids)


async def _result_preview(
    db: Executor, texts: Texts, job: Job, steps: Sequence[StepRecord], outcomes: dict[str, Any]
) -> MessagePreview:
    """The caption of a result, with the balance at the time when the result was sent."""
    result = JobResult.model_validate(job.result or {})
    sent_at = next((step.ended_at for step in steps if step.step == DELIVER and step.ended_at), job.ended_at)
    balance = None if sent_at is None else await balance_at(db, job.user_id, sent_at)
    ids = [*(job.result or {}).get("message_ids", ()), *_message_ids(outcomes.get(DELIVER_CAPTION))]
    kinds = [str(media.kind) for media in result.media]
    media = ", ".join(pluralize(kinds.count(kind), kind, f"{kind}s") for kind in dict.fromkeys(kinds))
    return MessagePreview("Result", _html(caption_text(texts, job, result, balance)), tuple(ids), media)


def _failure_preview(texts: Texts, job: Job, outcomes: dict[str, Any]) -> MessagePreview:
    key = job.failure or "failure.unexpected"
    failures = [outcome["failure"] for outcome in outcomes.values() if "failure" in outcome]
    params: dict[str, Any] = next((failure["params"] for failure in failures if failure["key"] == key), {})
    ids = _message_ids(outcomes.get(NOTIFY))
    return MessagePreview("Why there is no result", _html(failure_text(texts, job, key, params)), tuple(ids))


def _html(text: str) -> Markup:
    """Mark our own text, in which users' text is escaped, as HTML. A quotation is a block, as in Telegram, so the line
    breaks around it are removed."""
    return Markup(text.replace("\n<blockquote>", "<blockquote>").replace("</blockquote>\n", "</blockquote>"))  # noqa: S704


def _message_ids(outcome: dict[str, Any] | None) -> list[int]:
    value = (outcome or {}).get("value")
    return list(value.get("message_ids", ())) if isinstance(value, dict) else []
