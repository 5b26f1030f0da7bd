"""What the person saw of an order, in their language: put together again as services/messaging/progress.py and
services/messaging/delivery.py do, from what is written down."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from services.admin.admin_actions import refund_text
from services.generation.registry import SERVICES
from services.generation.result import Result
from services.messaging.app_context import Studio
from services.messaging.progress import headline, queued_text, running_text, shorten
from storage.jobs.jobs import Job
from storage.reports.job_detail import JobFacts, LedgerMove, StepTaken, available_at
from web.dashboard.formatting import counted

_TEXT = 3000
"""As in services/messaging/delivery.py."""


@dataclass(frozen=True)
class Seen:
    """A message in the person's chat. `words` is HTML of Telegram's, made by us and escaped; `media` says what
    stands above them."""

    what: str
    words: Markup
    message_ids: tuple[int, ...] = ()
    media: str = ""


async def what_was_seen(
    studio: Studio, job: Job, facts: JobFacts, steps: Sequence[StepTaken], moves: Sequence[LedgerMove]
) -> list[Seen]:
    if job.service not in SERVICES:
        return []
    seen = [_progress(studio, job, facts)] if job.progress_message_id is not None else []
    outcomes = {step.step: step.result or {} for step in steps if step.ended_at is not None}
    if job.state == "succeeded":
        seen.append(await _result(studio, job, steps, outcomes))
    elif job.state == "failed" and "value" in outcomes.get("tell", {}):
        seen.append(_failure(studio, job, outcomes))
    if any(move.kind == "refund_job" for move in moves):
        seen.append(Seen("Told that the price is back", _html(refund_text(studio, job, facts.language))))
    return seen


def _progress(studio: Studio, job: Job, facts: JobFacts) -> Seen:
    if job.ended:
        state = studio.texts.t(job.language, f"progress.{job.state}", price=job.price)
        text = f"{headline(studio, job)}\n{state}"
    else:
        text = running_text(studio, job, None) if job.state == "running" else queued_text(studio, job, None)
    what = "Progress message" if facts.shown or not job.ended else "Progress message (not brought up to date yet)"
    ids = () if job.progress_message_id is None else (job.progress_message_id,)
    return Seen(what, _html(text), ids)


async def _result(studio: Studio, job: Job, steps: Sequence[StepTaken], outcomes: dict[str, Any]) -> Seen:
    """The words under a result. The balance in them is what it was when the result was sent."""
    t, result = studio.texts.t, Result.model_validate(job.result or {})
    sent_at = next((step.ended_at for step in steps if step.step == "deliver" and step.ended_at), job.ended_at)
    lines = [headline(studio, job)]
    if result.text:
        lines.append(t(job.language, "result.text", text=shorten(result.text, _TEXT)))
    if result.note:
        lines.append(t(job.language, result.note))
    if sent_at is not None:
        balance = await available_at(studio.db, job.user_id, sent_at)
        lines.append(t(job.language, "result.paid", price=job.price, balance=balance))
    if result.offline:
        lines.append(t(job.language, "result.offline"))
    ids = [*(job.result or {}).get("message_ids", ()), *_message_ids(outcomes.get("words"))]
    kinds = [str(media.kind) for media in result.media]
    media = ", ".join(counted(kinds.count(kind), kind, f"{kind}s") for kind in dict.fromkeys(kinds))
    return Seen("Result", _html("\n".join(lines)), tuple(ids), media)


def _failure(studio: Studio, job: Job, outcomes: dict[str, Any]) -> Seen:
    t, key = studio.texts.t, job.failure or "failure.unexpected"
    failures = [outcome["failure"] for outcome in outcomes.values() if "failure" in outcome]
    params: dict[str, Any] = next((failure["params"] for failure in failures if failure["key"] == key), {})
    lines = [headline(studio, job), t(job.language, key, **params)]
    if job.price:
        lines.append(t(job.language, "failure.returned", job.price))
    ids = _message_ids(outcomes.get("tell"))
    return Seen("Why there is no result", _html("\n".join(lines)), tuple(ids))


def _html(text: str) -> Markup:
    """What we send to Telegram is HTML of our own texts, in which what people wrote is escaped. A quotation begins
    and ends a line by itself, here as there."""
    return Markup(text.replace("\n<blockquote>", "<blockquote>").replace("</blockquote>\n", "</blockquote>"))  # noqa: S704


def _message_ids(outcome: dict[str, Any] | None) -> list[int]:
    value = (outcome or {}).get("value")
    return list(value.get("message_ids", ())) if isinstance(value, dict) else []
