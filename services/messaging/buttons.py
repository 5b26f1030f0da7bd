"""Inline buttons and their callback data.

Telegram allows 1 to 64 bytes of data per button: https://core.telegram.org/bots/api#inlinekeyboardbutton
"""

from collections.abc import Sequence

from aiogram.filters.callback_data import CallbackData
from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup

from services.core.i18n import Texts
from services.generation.registry import SERVICES
from storage.jobs.jobs import Job


class MenuCallback(CallbackData, prefix="m"):
    """Open a page of the menu.

    Attributes:
        place: The page: `menu`, `balance`, `topup`, `subscribe`, `statement`, `invite`, `history`, `models`, `voices`,
            `settings`, `language`, `help` or `game`. `cancel` discards the draft.
    """

    place: str


class ServiceCallback(CallbackData, prefix="s"):
    """Open a draft of a service, by the service's id."""

    service: str


class UserAssetCallback(CallbackData, prefix="o"):
    """Act on a user model or user voice.

    Attributes:
        what: `model` or `voice`.
        id: The id of the model or voice, in hex.
        action: `rename` (models only), `delete` (asks for confirmation) or `sure` (deletes).
    """

    what: str
    id: str
    action: str


class HistoryCallback(CallbackData, prefix="h"):
    """Show the result of an earlier order again, by the job's id in hex."""

    job: str


class TopupCallback(CallbackData, prefix="t"):
    """Buy a pack of credits.

    Attributes:
        stars: The price of the pack in Stars, which is also its number of credits.
        agreed: Whether this is the button that accepts the terms.
    """

    stars: int
    agreed: bool = False


class PlanCallback(CallbackData, prefix="p"):
    """Set a mode or open a page, on the card of `/plan`.

    Attributes:
        mode: A mode to set; `follow` to use the mode of all services; or a page: `show`, `services`, `pick`, `log`.
        service: The service's id; empty for all services.
    """

    mode: str
    service: str = ""


class LanguageCallback(CallbackData, prefix="l"):
    """Choose a language, by its two-letter code."""

    language: str


class DraftCallback(CallbackData, prefix="d", sep="|"):
    """Act on a draft.

    Attributes:
        draft: The draft's id, to detect buttons of older cards.
        action: `show` (an input's options or question), `set` (an option), `card` (back to the card), `done` (with
            the photos), `improve` (the prompt), `use` (the improved prompt) or `confirm` (the order).
        input: The input's id, for `show` and `set`.
        value: For `set`, the option's value. For `confirm`, the price in credits shown on the button. For `use`, a
            random value that makes the callback data unique.
    """

    draft: str
    action: str
    input: str = ""
    value: str = ""


class ResultCallback(CallbackData, prefix="r"):
    """Act on an order.

    Attributes:
        job: The job's id, in hex.
        action: `again` and `retry` repeat the order, and `stop` cancels it. A service's id opens a draft of that
            service with the result. An input's id opens the same order as a draft, at that input.
    """

    job: str
    action: str


ButtonRows = Sequence[Sequence[InlineKeyboardButton]]


def button(text: str, data: CallbackData) -> InlineKeyboardButton:
    """Create a button with callback data. Raises ValueError if the data exceeds 64 bytes."""
    return InlineKeyboardButton(text=text, callback_data=data.pack())


def keyboard(rows: ButtonRows) -> InlineKeyboardMarkup:
    """Create an inline keyboard from rows of buttons."""
    return InlineKeyboardMarkup(inline_keyboard=[list(row) for row in rows])


def menu_button(texts: Texts, language: str) -> InlineKeyboardButton:
    """Create the button that opens the menu."""
    return button(texts.t(language, "button.menu"), MenuCallback(place="menu"))


def reorder_price(job: Job) -> int:
    """Return the price of repeating an order, in credits: its price, or the full price if it was free of charge."""
    return job.price or SERVICES[job.service].price(job.inputs)


def result_keyboard(texts: Texts, job: Job) -> InlineKeyboardMarkup:
    """Create the buttons under a result.

    Args:
        texts: The texts of the labels. The button that orders at once shows the price.
        job: The order.

    Returns:
        A button for each of the service's actions, the first in a separate row, and one for the menu.
    """
    t, job_id, price = texts.t, job.id.hex, reorder_price(job)
    buttons = []
    for action in SERVICES[job.service].actions:
        name = f"service.{action}.go_on" if action in SERVICES else f"button.{action}"
        buttons.append(button(t(job.language, name, price=price), ResultCallback(job=job_id, action=action)))
    rows = [buttons[:1], *(buttons[i : i + 2] for i in range(1, len(buttons), 2))]
    return keyboard([*rows, [menu_button(texts, job.language)]])


def failure_keyboard(texts: Texts, job: Job) -> InlineKeyboardMarkup:
    """Create the buttons under the message about a failed order: retry it at the price shown, or open the menu."""
    retry = ResultCallback(job=job.id.hex, action="retry")
    return keyboard(
        [
            [button(texts.t(job.language, "button.retry", price=reorder_price(job)), retry)],
            [menu_button(texts, job.language)],
        ]
    )


def cancel_keyboard(texts: Texts, job: Job) -> InlineKeyboardMarkup:
    """Create the cancel button under the progress message, shown while the order can be cancelled."""
    return keyboard(
        [[button(texts.t(job.language, "button.stop"), ResultCallback(job=job.id.hex, action="stop"))]]
    )
