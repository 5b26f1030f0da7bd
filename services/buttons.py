"""The inline buttons people tap, and what each carries back (64 bytes at most)."""

from collections.abc import Sequence

from aiogram.filters.callback_data import CallbackData
from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup

from services.generation.spec import ServiceSpec
from services.i18n import Texts
from storage.jobs import Job


class MenuTap(CallbackData, prefix="m"):
    """A place to go to: `menu`, `balance`, `help`, `language`, `cancel`."""

    place: str


class ServiceTap(CallbackData, prefix="s"):
    """Begin an order of this service."""

    service: str


class TopupTap(CallbackData, prefix="t"):
    """Buy a pack of credits."""

    stars: int


class LanguageTap(CallbackData, prefix="l"):
    language: str


class DraftTap(CallbackData, prefix="d", sep="|"):
    """Something on the order card: `show` an input's options, `set` one, `card`, `confirm`.

    `draft` names the order, so that a button of an older card is known as such.
    """

    draft: str
    action: str
    input: str = ""
    value: str = ""


class ResultTap(CallbackData, prefix="r"):
    """Go on from a result: `again`, `retry`, or the id of the input to change."""

    job: str
    action: str


Rows = Sequence[Sequence[InlineKeyboardButton]]


def button(text: str, data: CallbackData) -> InlineKeyboardButton:
    return InlineKeyboardButton(text=text, callback_data=data.pack())


def keyboard(rows: Rows) -> InlineKeyboardMarkup:
    return InlineKeyboardMarkup(inline_keyboard=[list(row) for row in rows])


def menu_button(texts: Texts, language: str) -> InlineKeyboardButton:
    return button(texts.t(language, "button.menu"), MenuTap(place="menu"))


def result_keyboard(texts: Texts, spec: ServiceSpec, job: Job) -> InlineKeyboardMarkup:
    """What can be done next with a result; the price stands on the button that orders at once."""
    again, *others = (
        button(
            texts.t(job.language, f"button.{action}", price=job.price), ResultTap(job=job.id.hex, action=action)
        )
        for action in spec.actions
    )
    return keyboard([[again], others, [menu_button(texts, job.language)]])


def failure_keyboard(texts: Texts, job: Job) -> InlineKeyboardMarkup:
    retry = button(
        texts.t(job.language, "button.retry", price=job.price), ResultTap(job=job.id.hex, action="retry")
    )
    return keyboard([[retry], [menu_button(texts, job.language)]])
