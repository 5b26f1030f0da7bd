"""The inline buttons that users tap, and the data that each carries back.

Telegram takes 1 to 64 bytes of data per button: https://core.telegram.org/bots/api#inlinekeyboardbutton
"""

from collections.abc import Sequence

from aiogram.filters.callback_data import CallbackData
from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup

from services.core.i18n import Texts
from services.generation.registry import SERVICES
from storage.jobs.jobs import Job


class MenuCallback(CallbackData, prefix="m"):
    """Open a place of the menu.

    Attributes:
        place: Where: `menu`, `balance`, `topup`, `subscribe`, `statement`, `invite`, `history`, `models`, `voices`,
            `settings`, `language`, `help`, `game`; `cancel` drops the order that is being put together.
    """

    place: str


class ServiceCallback(CallbackData, prefix="s"):
    """Begin an order of a service, by the service's id."""

    service: str


class UserAssetCallback(CallbackData, prefix="o"):
    """Do something with what the user owns.

    Attributes:
        what: `model` or `voice`.
        id: Its id, as hex digits.
        action: `rename` a model; `delete`, which asks first; `sure`, which deletes.
    """

    what: str
    id: str
    action: str


class HistoryCallback(CallbackData, prefix="h"):
    """Show an earlier order's result again, by the job's id as hex digits."""

    job: str


class TopupCallback(CallbackData, prefix="t"):
    """Buy a pack of credits.

    Attributes:
        stars: What the pack costs in Stars, which is also how many credits it holds.
        agreed: Whether this button was the one that accepts the terms.
    """

    stars: int
    agreed: bool = False


class PlanCallback(CallbackData, prefix="p"):
    """On the card of `/plan`: set a mode, or open a page.

    Attributes:
        mode: A mode to set, or `follow` for that of all services; or a page: `show`, `services`, `pick`, `log`.
        service: The id of the service it is about; empty for all.
    """

    mode: str
    service: str = ""


class LanguageCallback(CallbackData, prefix="l"):
    """Choose a language, by its two-letter code."""

    language: str


class DraftCallback(CallbackData, prefix="d", sep="|"):
    """Do something with an order that is being put together.

    Attributes:
        draft: The draft's id, so that a button of an older card is recognized.
        action: `show` an input's options or question, `set` one, go back to the `card`; `done` with the photos;
            `improve` the prompt, `use` the improved one; `confirm` the order.
        input: The input's id, with `show` and `set`.
        value: The option's value with `set`; the price in credits that the button shows with `confirm`; with `use`
            a random value, which makes the button's data unique.
    """

    draft: str
    action: str
    input: str = ""
    value: str = ""


class ResultCallback(CallbackData, prefix="r"):
    """Continue from an order.

    Attributes:
        job: The job's id, as hex digits.
        action: `again` and `retry` repeat it, `stop` cancels it; a service's id begins an order of that service with
            the result; an input's id opens the same order at that input.
    """

    job: str
    action: str


ButtonRows = Sequence[Sequence[InlineKeyboardButton]]


def button(text: str, data: CallbackData) -> InlineKeyboardButton:
    """A button that carries data. Raises ValueError where the data has more than 64 bytes."""
    return InlineKeyboardButton(text=text, callback_data=data.pack())


def keyboard(rows: ButtonRows) -> InlineKeyboardMarkup:
    """The rows as Telegram takes them."""
    return InlineKeyboardMarkup(inline_keyboard=[list(row) for row in rows])


def menu_button(texts: Texts, language: str) -> InlineKeyboardButton:
    """The button that opens the menu."""
    return button(texts.t(language, "button.menu"), MenuCallback(place="menu"))


def reorder_price(job: Job) -> int:
    """What the same order costs again, in credits: the same, or the full price where it was free of charge."""
    return job.price or SERVICES[job.service].price(job.inputs)


def result_keyboard(texts: Texts, job: Job) -> InlineKeyboardMarkup:
    """What can be done next with a result.

    Args:
        texts: The labels; the button that orders at once shows the price.
        job: The order.

    Returns:
        A button for each of the service's actions, the first in a row of its own, and the way to the menu.
    """
    t, job_id, price = texts.t, job.id.hex, reorder_price(job)
    buttons = []
    for action in SERVICES[job.service].actions:
        name = f"service.{action}.go_on" if action in SERVICES else f"button.{action}"
        buttons.append(button(t(job.language, name, price=price), ResultCallback(job=job_id, action=action)))
    rows = [buttons[:1], *(buttons[i : i + 2] for i in range(1, len(buttons), 2))]
    return keyboard([*rows, [menu_button(texts, job.language)]])


def failure_keyboard(texts: Texts, job: Job) -> InlineKeyboardMarkup:
    """Under the message about a failed order: order the same again at the price on the button, or go to the menu."""
    retry = ResultCallback(job=job.id.hex, action="retry")
    return keyboard(
        [
            [button(texts.t(job.language, "button.retry", price=reorder_price(job)), retry)],
            [menu_button(texts, job.language)],
        ]
    )


def cancel_keyboard(texts: Texts, job: Job) -> InlineKeyboardMarkup:
    """Under the progress message, for as long as the order can still be cancelled."""
    return keyboard(
        [[button(texts.t(job.language, "button.stop"), ResultCallback(job=job.id.hex, action="stop"))]]
    )
