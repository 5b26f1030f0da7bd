"""The inline buttons people tap, and what each carries back (64 bytes at most)."""

from collections.abc import Sequence

from aiogram.filters.callback_data import CallbackData
from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup

from services.core.i18n import Texts
from services.generation.registry import SERVICES
from storage.jobs.jobs import Job


class MenuCallback(CallbackData, prefix="m"):
    """A place to go to, such as `menu`, `balance` or `cancel`."""

    place: str


class ServiceCallback(CallbackData, prefix="s"):
    """Begin an order of this service."""

    service: str


class UserAssetCallback(CallbackData, prefix="o"):
    """Something the person owns: `model` or `voice`; `show`, `rename`, `delete`, `sure`."""

    what: str
    id: str
    action: str


class HistoryCallback(CallbackData, prefix="h"):
    """Show an earlier order's result again."""

    job: str


class TopupCallback(CallbackData, prefix="t"):
    """Buy a pack of credits; `agreed` with the terms just now."""

    stars: int
    agreed: bool = False


class PlanCallback(CallbackData, prefix="p"):
    """On the card of `/plan`: a mode to set, for `service` or for all, or a page: show, services, pick, log."""

    mode: str
    service: str = ""


class LanguageCallback(CallbackData, prefix="l"):
    language: str


class DraftCallback(CallbackData, prefix="d", sep="|"):
    """Something on the order card: `show` an input's options, `set` one, `card`, `confirm`.

    `draft` names the order, so that a button of an older card is known as such.
    """

    draft: str
    action: str
    input: str = ""
    value: str = ""


class ResultCallback(CallbackData, prefix="r"):
    """Go on from an order: `again`, `retry`, `stop`, an input to change, or a service that goes on."""

    job: str
    action: str


ButtonRows = Sequence[Sequence[InlineKeyboardButton]]


def button(text: str, data: CallbackData) -> InlineKeyboardButton:
    return InlineKeyboardButton(text=text, callback_data=data.pack())


def keyboard(rows: ButtonRows) -> InlineKeyboardMarkup:
    return InlineKeyboardMarkup(inline_keyboard=[list(row) for row in rows])


def menu_button(texts: Texts, language: str) -> InlineKeyboardButton:
    return button(texts.t(language, "button.menu"), MenuCallback(place="menu"))


def reorder_price(job: Job) -> int:
    """What the same order costs again: the same; its full price where it was on the house."""
    return job.price or SERVICES[job.service].price(job.inputs)


def result_keyboard(texts: Texts, job: Job) -> InlineKeyboardMarkup:
    """What can be done next with a result; the price stands on the button that orders at once."""
    t, job_id, price = texts.t, job.id.hex, reorder_price(job)
    buttons = []
    for action in SERVICES[job.service].actions:
        name = f"service.{action}.go_on" if action in SERVICES else f"button.{action}"
        buttons.append(button(t(job.language, name, price=price), ResultCallback(job=job_id, action=action)))
    rows = [buttons[:1], *(buttons[i : i + 2] for i in range(1, len(buttons), 2))]
    return keyboard([*rows, [menu_button(texts, job.language)]])


def failure_keyboard(texts: Texts, job: Job) -> InlineKeyboardMarkup:
    retry = ResultCallback(job=job.id.hex, action="retry")
    return keyboard(
        [
            [button(texts.t(job.language, "button.retry", price=reorder_price(job)), retry)],
            [menu_button(texts, job.language)],
        ]
    )


def cancel_keyboard(texts: Texts, job: Job) -> InlineKeyboardMarkup:
    """Under the progress message, for as long as the order can still be stopped."""
    return keyboard(
        [[button(texts.t(job.language, "button.stop"), ResultCallback(job=job.id.hex, action="stop"))]]
    )
