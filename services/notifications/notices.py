"""Telling people things: what notify.py noted reaches them, however long Telegram is away."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Literal
from uuid import UUID

from aiogram.exceptions import TelegramAPIError
from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup
from loguru import logger
from pydantic import BaseModel, ConfigDict

from services.core.errors import Failure, Unavailable
from services.core.i18n import Html, Texts
from services.core.message_text import truncate_html
from services.jobs.internal_jobs import InternalJobContext, InternalJobSpec
from services.messaging.app_context import AppContext
from services.messaging.buttons import keyboard, menu_button
from services.messaging.delivery import send_failure
from services.messaging.telegram_errors import is_user_unreachable, to_delivery_failure
from storage.jobs.jobs import get_job
from storage.messaging.notifications import Addressee, get_addressee, mark_notification_sent, record_notification
from storage.users.users import set_inactive

_USERS_PER_STEP: Final = 50
"""People of a bulk notification who are told in one step."""
_PAUSE_SECONDS: Final = 0.05
"""Between two of them: with what else the bot says it stays below Telegram's 30 a second.
https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this"""

NotificationOutcome = Literal["sent", "skipped", "gone", "refused"]


class LocalizedLine(BaseModel):
    """A text by key, in the language of whoever reads it. `n` chooses its plural; the params named in `html` are
    HTML already."""

    model_config = ConfigDict(frozen=True)

    key: str
    n: int | None = None
    params: dict[str, str | int] = {}
    html: tuple[str, ...] = ()

    @staticmethod
    def of(key: str, n: int | None = None, /, **params: str | int) -> "LocalizedLine":
        """As one calls Texts.t. An Html among the params stays one."""
        html = tuple(name for name, value in params.items() if isinstance(value, Html))
        return LocalizedLine(key=key, n=n, params=params, html=html)

    def render(self, texts: Texts, language: str) -> str:
        params = {name: Html(value) if name in self.html else value for name, value in self.params.items()}
        return texts.t(language, self.key, self.n, **params)


class LocalizedButton(BaseModel):
    """A button under it: the key of its text, and what a tap carries (services/messaging/buttons.py)."""

    model_config = ConfigDict(frozen=True)

    key: str
    data: str
    params: dict[str, str | int] = {}


class Notice(BaseModel):
    """What somebody is told. `menu` puts the way to the menu under it."""

    model_config = ConfigDict(frozen=True)

    lines: tuple[LocalizedLine, ...]
    buttons: tuple[LocalizedButton, ...] = ()
    menu: bool = True

    def render(self, texts: Texts, language: str) -> str:
        """As HTML that fits into one message."""
        return truncate_html("\n".join(line.render(texts, language) for line in self.lines))

    def build_keyboard(self, texts: Texts, language: str) -> InlineKeyboardMarkup | None:
        rows = [
            [InlineKeyboardButton(text=texts.t(language, each.key, **each.params), callback_data=each.data)]
            for each in self.buttons
        ]
        if self.menu:
            rows.append([menu_button(texts, language)])
        return keyboard(rows) if rows else None


async def run(context: InternalJobContext) -> dict[str, Any]:
    """Tell one person."""
    inputs = context.job.inputs
    notice, key = Notice.model_validate(inputs["notice"]), str(inputs["key"])
    notify = partial(_notify_user, context.studio, context.job.user_id, key, notice)
    return {"told": await context.steps.run("notify", notify, retry_outages=True)}


async def run_bulk(context: InternalJobContext) -> dict[str, Any]:
    """Tell many people, a step for some of them at a time. Who was told before a death in the middle of a step is
    not told again."""
    inputs, user_ids = context.job.inputs, [int(each) for each in context.job.inputs["user_ids"]]
    notice, is_news = Notice.model_validate(inputs["notice"]), bool(inputs["news"])
    counts: dict[str, int] = {}
    for start in range(0, len(user_ids), _USERS_PER_STEP):
        notify_batch = partial(
            _notify_batch,
            context.studio,
            user_ids[start : start + _USERS_PER_STEP],
            str(inputs["key"]),
            notice,
            is_news,
        )
        outcomes = await context.steps.run(f"notify-{start}", notify_batch, retry_outages=True)
        for outcome, count in outcomes.items():
            counts[outcome] = counts.get(outcome, 0) + count
    return {"told": counts}


async def run_training_error(context: InternalJobContext) -> dict[str, Any]:
    """Say why a training failed, as the end of any other order is said."""
    inputs, studio = context.job.inputs, context.studio

    async def notify() -> None:
        job = await get_job(studio.db, UUID(inputs["job"]))
        if job is None:
            logger.error("a training's failure cannot be told: job {} is unknown", inputs["job"])
            return
        await send_failure(studio, job, Failure.from_json(inputs["failure"]))
        await mark_notification_sent(studio.db, inputs["key"])

    await context.steps.run("notify", notify, retry_outages=True)
    return {}


async def _notify_user(studio: AppContext, user_id: int, key: str, notice: Notice) -> NotificationOutcome:
    """Raises Failure."""
    addressee = await get_addressee(studio.db, user_id, key)
    if addressee is None:
        return "skipped"
    if not addressee.active:
        return "gone"
    return "sent" if addressee.sent_at else await _send(studio, addressee, key, notice)


async def _notify_batch(
    studio: AppContext, user_ids: Sequence[int], key: str, notice: Notice, is_news: bool
) -> dict[str, int]:
    """How many were told, or not. Raises Away; whoever Telegram refuses for another reason holds nobody up."""
    counts: dict[str, int] = {}
    for user_id in user_ids:
        outcome = await _notify_one_of_batch(studio, user_id, f"{key}:{user_id}", notice, is_news)
        counts[outcome] = counts.get(outcome, 0) + 1
    return counts


async def _notify_one_of_batch(
    studio: AppContext, user_id: int, key: str, notice: Notice, is_news: bool
) -> NotificationOutcome:
    addressee = await get_addressee(studio.db, user_id, key)
    if addressee is None or addressee.blocked or (is_news and not addressee.wants_news):
        return "skipped"
    if addressee.sent_at:
        return "sent"
    if not addressee.active:
        return "gone"
    await record_notification(studio.db, key, user_id)
    try:
        outcome = await _send(studio, addressee, key, notice)
    except Unavailable:
        raise
    except Failure as failure:
        logger.error("person {} was not told {}: {}", user_id, key, failure)
        outcome = "refused"
    await asyncio.sleep(_PAUSE_SECONDS)
    return outcome


async def _send(studio: AppContext, addressee: Addressee, key: str, notice: Notice) -> NotificationOutcome:
    """One message, without a sound in the person's quiet hours. Raises Failure."""
    text, markup = (
        notice.render(studio.texts, addressee.language),
        notice.build_keyboard(studio.texts, addressee.language),
    )
    silent = addressee.is_quiet(datetime.now(UTC))
    try:
        await studio.bot_or_default(addressee.bot_name).send_message(
            addressee.id, text, reply_markup=markup, disable_notification=silent or None
        )
    except TelegramAPIError as error:
        if not is_user_unreachable(error):
            raise to_delivery_failure(error) from error
        logger.info("person {} is gone and not told {}: {}", addressee.id, key, error.message)
        await set_inactive(studio.db, addressee.id)
        return "gone"
    await mark_notification_sent(studio.db, key)
    return "sent"


TRAINING_ERROR = InternalJobSpec(
    id="notification_training_error",
    event="notification/training-error.start",
    function_id="notify-training-error",
    run=run_training_error,
)
SUCCESS = InternalJobSpec(
    id="notification_success",
    event="notification/success.start",
    function_id="notify-success",
    run=run,
    concurrency=10,
)
GENERIC = InternalJobSpec(
    id="notification_generic",
    event="notification/generic.start",
    function_id="notify-generic",
    run=run,
    concurrency=10,
)
BULK = InternalJobSpec(
    id="notification_bulk",
    event="notification/bulk.start",
    function_id="notify-bulk",
    run=run_bulk,
    concurrency=1,
)
INTERNAL_JOBS = (TRAINING_ERROR, SUCCESS, GENERIC, BULK)
