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

from services.core.errors import Away, Failure
from services.core.i18n import Html, Texts
from services.core.message_text import fit_message
from services.jobs.internal_jobs import Errand, ErrandSpec
from services.messaging.app_context import Studio
from services.messaging.buttons import keyboard, menu_button
from services.messaging.delivery import tell_failure
from services.messaging.telegram_errors import delivery_failure, person_is_gone
from storage.jobs.jobs import get_job
from storage.messaging.notifications import Addressee, get_addressee, mark_notification_sent, note_notification
from storage.users.users import set_inactive

_A_STEP: Final = 50
"""People of a bulk notification who are told in one step."""
_PAUSE_SECONDS: Final = 0.05
"""Between two of them: with what else the bot says it stays below Telegram's 30 a second.
https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this"""

Told = Literal["sent", "skipped", "gone", "refused"]


class Line(BaseModel):
    """A text by key, in the language of whoever reads it. `n` chooses its plural; the params named in `html` are
    HTML already."""

    model_config = ConfigDict(frozen=True)

    key: str
    n: int | None = None
    params: dict[str, str | int] = {}
    html: tuple[str, ...] = ()

    @staticmethod
    def of(key: str, n: int | None = None, /, **params: str | int) -> "Line":
        """As one calls Texts.t. An Html among the params stays one."""
        html = tuple(name for name, value in params.items() if isinstance(value, Html))
        return Line(key=key, n=n, params=params, html=html)

    def text(self, texts: Texts, language: str) -> str:
        marked = {name: Html(value) if name in self.html else value for name, value in self.params.items()}
        return texts.t(language, self.key, self.n, **marked)


class TextButton(BaseModel):
    """A button under it: the key of its text, and what a tap carries (services/messaging/buttons.py)."""

    model_config = ConfigDict(frozen=True)

    key: str
    data: str
    params: dict[str, str | int] = {}


class Notice(BaseModel):
    """What somebody is told. `menu` puts the way to the menu under it."""

    model_config = ConfigDict(frozen=True)

    lines: tuple[Line, ...]
    buttons: tuple[TextButton, ...] = ()
    menu: bool = True

    def text(self, texts: Texts, language: str) -> str:
        """As HTML that fits into one message."""
        return fit_message("\n".join(line.text(texts, language) for line in self.lines))

    def markup(self, texts: Texts, language: str) -> InlineKeyboardMarkup | None:
        rows = [
            [InlineKeyboardButton(text=texts.t(language, each.key, **each.params), callback_data=each.data)]
            for each in self.buttons
        ]
        if self.menu:
            rows.append([menu_button(texts, language)])
        return keyboard(rows) if rows else None


async def run(errand: Errand) -> dict[str, Any]:
    """Tell one person."""
    inputs = errand.job.inputs
    notice, key = Notice.model_validate(inputs["notice"]), str(inputs["key"])
    tell = partial(_tell, errand.studio, errand.job.user_id, key, notice)
    return {"told": await errand.steps.run("tell", tell, patient=True)}


async def run_bulk(errand: Errand) -> dict[str, Any]:
    """Tell many people, a step for some of them at a time. Who was told before a death in the middle of a step is
    not told again."""
    inputs, user_ids = errand.job.inputs, [int(each) for each in errand.job.inputs["user_ids"]]
    notice, news = Notice.model_validate(inputs["notice"]), bool(inputs["news"])
    told: dict[str, int] = {}
    for begin in range(0, len(user_ids), _A_STEP):
        some = partial(
            _tell_some, errand.studio, user_ids[begin : begin + _A_STEP], str(inputs["key"]), notice, news
        )
        for how, count in (await errand.steps.run(f"tell-{begin}", some, patient=True)).items():
            told[how] = told.get(how, 0) + count
    return {"told": told}


async def run_training_error(errand: Errand) -> dict[str, Any]:
    """Say why a training failed, as the end of any other order is said."""
    inputs, studio = errand.job.inputs, errand.studio

    async def tell() -> None:
        job = await get_job(studio.db, UUID(inputs["job"]))
        if job is None:
            logger.error("a training's failure cannot be told: job {} is unknown", inputs["job"])
            return
        await tell_failure(studio, job, Failure.from_json(inputs["failure"]))
        await mark_notification_sent(studio.db, inputs["key"])

    await errand.steps.run("tell", tell, patient=True)
    return {}


async def _tell(studio: Studio, user_id: int, key: str, notice: Notice) -> Told:
    """Raises Failure."""
    who = await get_addressee(studio.db, user_id, key)
    if who is None:
        return "skipped"
    if not who.active:
        return "gone"
    return "sent" if who.sent_at else await _send(studio, who, key, notice)


async def _tell_some(
    studio: Studio, user_ids: Sequence[int], key: str, notice: Notice, news: bool
) -> dict[str, int]:
    """How many were told, or not. Raises Away; whoever Telegram refuses for another reason holds nobody up."""
    told: dict[str, int] = {}
    for user_id in user_ids:
        how = await _tell_one_of_many(studio, user_id, f"{key}:{user_id}", notice, news)
        told[how] = told.get(how, 0) + 1
    return told


async def _tell_one_of_many(studio: Studio, user_id: int, key: str, notice: Notice, news: bool) -> Told:
    who = await get_addressee(studio.db, user_id, key)
    if who is None or who.blocked or (news and not who.news):
        return "skipped"
    if who.sent_at:
        return "sent"
    if not who.active:
        return "gone"
    await note_notification(studio.db, key, user_id)
    try:
        told = await _send(studio, who, key, notice)
    except Away:
        raise
    except Failure as failure:
        logger.error("person {} was not told {}: {}", user_id, key, failure)
        told = "refused"
    await asyncio.sleep(_PAUSE_SECONDS)
    return told


async def _send(studio: Studio, who: Addressee, key: str, notice: Notice) -> Told:
    """One message, without a sound in the person's quiet hours. Raises Failure."""
    text, markup = notice.text(studio.texts, who.language), notice.markup(studio.texts, who.language)
    silent = who.is_quiet(datetime.now(UTC))
    try:
        await studio.bot(who.bot_name).send_message(
            who.id, text, reply_markup=markup, disable_notification=silent or None
        )
    except TelegramAPIError as error:
        if not person_is_gone(error):
            raise delivery_failure(error) from error
        logger.info("person {} is gone and not told {}: {}", who.id, key, error.message)
        await set_inactive(studio.db, who.id)
        return "gone"
    await mark_notification_sent(studio.db, key)
    return "sent"


TRAINING_ERROR = ErrandSpec(
    id="notification_training_error",
    event="notification/training-error.start",
    function_id="notify-training-error",
    run=run_training_error,
)
SUCCESS = ErrandSpec(
    id="notification_success",
    event="notification/success.start",
    function_id="notify-success",
    run=run,
    concurrency=10,
)
GENERIC = ErrandSpec(
    id="notification_generic",
    event="notification/generic.start",
    function_id="notify-generic",
    run=run,
    concurrency=10,
)
BULK = ErrandSpec(
    id="notification_bulk",
    event="notification/bulk.start",
    function_id="notify-bulk",
    run=run_bulk,
    concurrency=1,
)
ERRANDS = (TRAINING_ERROR, SUCCESS, GENERIC, BULK)
