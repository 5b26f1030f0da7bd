"""Notices and the internal jobs that send them, even after a long outage of Telegram. Enqueued by notify.py."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Literal
from uuid import UUID

from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup
from loguru import logger
from pydantic import BaseModel, ConfigDict

from services.core.errors import Failure, Unavailable
from services.core.i18n import Html, Texts
from services.core.message_text import truncate_html
from services.durable.step_names import NOTIFY
from services.jobs.internal_jobs import InternalJobContext, InternalJobSpec
from services.messaging.buttons import keyboard, menu_button
from services.messaging.delivery import send_failure
from services.messaging.messenger import Messenger
from storage.jobs.jobs import get_job
from storage.messaging.notifications import Addressee, get_addressee, mark_notification_sent, record_notification
from storage.pool import Pool

_USERS_PER_STEP: Final = 50
"""The number of users notified in one step of a bulk notification."""
_PAUSE_SECONDS: Final = 0.05
"""The pause between two users of a bulk notification. It leaves room for the bot's other messages within Telegram's
limit of 30 per second: https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this"""

NotificationOutcome = Literal["sent", "skipped", "gone", "refused"]
"""`sent`: now or earlier. `skipped`: the user is blocked, unknown or does not want news. `gone`: the user cannot be
reached. `refused`: by Telegram."""


class LocalizedLine(BaseModel):
    """A text stored by its key, to be rendered in the recipient's language.

    Attributes:
        key: The text's key.
        n: Selects the text's plural form.
        params: Values for the text's placeholders.
        html: The names of params that are HTML and must not be escaped.
    """

    model_config = ConfigDict(frozen=True)

    key: str
    n: int | None = None
    params: dict[str, str | int] = {}
    html: tuple[str, ...] = ()

    @staticmethod
    def of(key: str, n: int | None = None, /, **params: str | int) -> "LocalizedLine":
        """Create a line from the arguments of `Texts.t`. It stores which params are Html."""
        html = tuple(name for name, value in params.items() if isinstance(value, Html))
        return LocalizedLine(key=key, n=n, params=params, html=html)

    def render(self, texts: Texts, language: str) -> str:
        """Render the line as HTML."""
        params = {name: Html(value) if name in self.html else value for name, value in self.params.items()}
        return texts.t(language, self.key, self.n, **params)


class LocalizedButton(BaseModel):
    """A button under a notice.

    Attributes:
        key: The key of the button's text.
        data: The packed callback data (services/messaging/buttons.py).
        params: Values for the text's placeholders.
    """

    model_config = ConfigDict(frozen=True)

    key: str
    data: str
    params: dict[str, str | int] = {}


class Notice(BaseModel):
    """A message stored by its text keys, so that it is rendered in the user's language at the time of sending.

    Attributes:
        lines: The lines.
        buttons: The buttons, one per row.
        menu: Whether to add a button that opens the menu.
    """

    model_config = ConfigDict(frozen=True)

    lines: tuple[LocalizedLine, ...]
    buttons: tuple[LocalizedButton, ...] = ()
    menu: bool = True

    def render(self, texts: Texts, language: str) -> str:
        """Render the text as HTML that fits into one message."""
        return truncate_html("\n".join(line.render(texts, language) for line in self.lines))

    def build_keyboard(self, texts: Texts, language: str) -> InlineKeyboardMarkup | None:
        """Render the buttons. Returns None if there are none."""
        rows = [
            [InlineKeyboardButton(text=texts.t(language, each.key, **each.params), callback_data=each.data)]
            for each in self.buttons
        ]
        if self.menu:
            rows.append([menu_button(texts, language)])
        return keyboard(rows) if rows else None


TRAINING_ERROR: Final = InternalJobSpec(
    id="notification_training_error",
    event="notification/training-error.start",
    function_id="notify-training-error",
)
"""A model training failed. Run by `NotificationJobs.run_training_error`."""
SUCCESS: Final = InternalJobSpec(
    id="notification_success", event="notification/success.start", function_id="notify-success", concurrency=10
)
"""Good news for one user. Run by `NotificationJobs.run`."""
GENERIC: Final = InternalJobSpec(
    id="notification_generic", event="notification/generic.start", function_id="notify-generic", concurrency=10
)
"""Any other notice to one user. Run by `NotificationJobs.run`."""
BULK: Final = InternalJobSpec(
    id="notification_bulk", event="notification/bulk.start", function_id="notify-bulk", concurrency=1
)
"""One notice to many users. Run by `NotificationJobs.run_bulk`."""
INTERNAL_JOBS: Final = (TRAINING_ERROR, SUCCESS, GENERIC, BULK)


@dataclass(frozen=True)
class NotificationJobs:
    """Runs the internal jobs that send notices.

    Attributes:
        db: The database.
        messenger: Sends the messages.
    """

    db: Pool
    messenger: Messenger

    async def run(self, context: InternalJobContext) -> dict[str, Any]:
        """Send a notice to one user (`SUCCESS`, `GENERIC`).

        Returns:
            The job's result: `{"outcome": NotificationOutcome}`.

        Raises:
            Failure: Telegram refused the message.
        """
        inputs = context.job.inputs
        notice, key = Notice.model_validate(inputs["notice"]), str(inputs["key"])
        send = partial(self._notify_user, context.job.user_id, key, notice)
        return {"outcome": await context.steps.run(NOTIFY, send, retry_outages=True)}

    async def run_bulk(self, context: InternalJobContext) -> dict[str, Any]:
        """Send a notice to many users (`BULK`), in steps of 50 users.

        If a process dies during a step, users who already got the notice do not get it again.

        Returns:
            The job's result: `{"outcomes": …}`, the number of users by NotificationOutcome.
        """
        inputs, user_ids = context.job.inputs, [int(each) for each in context.job.inputs["user_ids"]]
        notice, key, is_news = Notice.model_validate(inputs["notice"]), str(inputs["key"]), bool(inputs["news"])
        counts: dict[str, int] = {}
        for start in range(0, len(user_ids), _USERS_PER_STEP):
            send = partial(self._notify_batch, user_ids[start : start + _USERS_PER_STEP], key, notice, is_news)
            outcomes = await context.steps.run(f"{NOTIFY}-{start}", send, retry_outages=True)
            for outcome, count in outcomes.items():
                counts[outcome] = counts.get(outcome, 0) + count
        return {"outcomes": counts}

    async def run_training_error(self, context: InternalJobContext) -> dict[str, Any]:
        """Tell a user why a training failed (`TRAINING_ERROR`), with the same text as for any other order.

        Raises:
            Failure: Telegram refused the message.
        """
        await context.steps.run(NOTIFY, partial(self._send_training_error, context.job.inputs), retry_outages=True)
        return {}

    async def _send_training_error(self, inputs: dict[str, Any]) -> None:
        job = await get_job(self.db, UUID(inputs["job"]))
        if job is None:
            logger.error("training failure not delivered, job is unknown", job=inputs["job"])
            return
        await send_failure(self.messenger, job, Failure.from_json(inputs["failure"]))
        await mark_notification_sent(self.db, inputs["key"])

    async def _notify_user(self, user_id: int, key: str, notice: Notice) -> NotificationOutcome:
        addressee = await get_addressee(self.db, user_id, key)
        if addressee is None:
            return "skipped"
        if not addressee.active:
            return "gone"
        return "sent" if addressee.sent_at else await self._send(addressee, key, notice)

    async def _notify_batch(
        self, user_ids: Sequence[int], key: str, notice: Notice, is_news: bool
    ) -> dict[str, int]:
        """Notify users and count them by outcome. Raises Unavailable; other failures affect only one user."""
        counts: dict[str, int] = {}
        for user_id in user_ids:
            outcome = await self._notify_one_of_batch(user_id, f"{key}:{user_id}", notice, is_news)
            counts[outcome] = counts.get(outcome, 0) + 1
        return counts

    async def _notify_one_of_batch(
        self, user_id: int, key: str, notice: Notice, is_news: bool
    ) -> NotificationOutcome:
        addressee = await get_addressee(self.db, user_id, key)
        if addressee is None or addressee.blocked or (is_news and not addressee.wants_news):
            return "skipped"
        if addressee.sent_at:
            return "sent"
        if not addressee.active:
            return "gone"
        await record_notification(self.db, key, user_id)
        try:
            outcome = await self._send(addressee, key, notice)
        except Unavailable:
            raise
        except Failure as failure:
            logger.error("user not notified", user=user_id, notice=key, error=failure)
            outcome = "refused"
        await asyncio.sleep(_PAUSE_SECONDS)
        return outcome

    async def _send(self, addressee: Addressee, key: str, notice: Notice) -> NotificationOutcome:
        """Send one message, silently during the user's quiet hours. Raises Failure."""
        texts = self.messenger.texts
        message_id = await self.messenger.send_text(
            addressee.id,
            addressee.bot_name,
            notice.render(texts, addressee.language),
            notice.build_keyboard(texts, addressee.language),
            silent=addressee.is_quiet(datetime.now(UTC)),
        )
        if message_id is None:
            return "gone"
        await mark_notification_sent(self.db, key)
        return "sent"
