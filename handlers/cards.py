"""What a draft looks like: the question, the options of one input, and the card with the price."""

from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup

from handlers.context import Desk
from handlers.draft import Draft
from services.buttons import DraftTap, MenuTap, TopupTap, button, keyboard, menu_button
from services.generation.spec import ChoiceInput
from services.payments import pack_for
from services.progress import shorten
from storage.ledger import Balance

View = tuple[str, InlineKeyboardMarkup]
_PROMPT_ON_CARD = 700


def title(desk: Desk, draft: Draft) -> str:
    return f"{draft.spec.emoji} <b>{desk.t(f'service.{draft.service}.name')}</b>"


def cancel_button(desk: Desk) -> InlineKeyboardButton:
    return button(desk.t("button.cancel"), MenuTap(place="cancel"))


def choice_buttons(desk: Desk, draft: Draft, *, before: str = "") -> list[InlineKeyboardButton]:
    """A button for each choice, showing what is chosen; with `before`, only those before that input."""
    buttons = []
    for each in draft.spec.inputs:
        if each.id == before:
            break
        if isinstance(each, ChoiceInput):
            chosen = each.chosen(draft.values)
            value = f"{chosen.label} · {chosen.note}" if before and chosen.note else chosen.label
            text = desk.t(f"choice.{each.id}", value=value)
            buttons.append(button(text, DraftTap(draft=draft.id, action="show", input=each.id)))
    return buttons


def question(desk: Desk, draft: Draft) -> View:
    """Asks for the input the draft is asking for; the choices before it can be changed meanwhile."""
    lines = [title(desk, draft), "", desk.t(f"service.{draft.service}.ask.{draft.asking}")]
    rows = [[each] for each in choice_buttons(desk, draft, before=draft.asking)]
    if draft.spec.missing(draft.values) is None:
        rows.append([button(desk.t("button.back"), DraftTap(draft=draft.id, action="card"))])
    return "\n".join(lines), keyboard([*rows, [cancel_button(desk)]])


def options(desk: Desk, draft: Draft, choice: ChoiceInput) -> View:
    chosen = draft.values.get(choice.id)
    buttons = []
    for option in choice.options(draft.values):
        label = f"{option.label} · {option.note}" if option.note else option.label
        mark = "✓ " if option.value == chosen else ""
        tap = DraftTap(draft=draft.id, action="set", input=choice.id, value=option.value)
        buttons.append(button(mark + label, tap))
    rows = [buttons[i : i + choice.columns] for i in range(0, len(buttons), choice.columns)]
    back = button(desk.t("button.back"), DraftTap(draft=draft.id, action="card"))
    return f"{title(desk, draft)}\n\n{desk.t(f'choose.{choice.id}')}", keyboard([*rows, [back]])


def card(desk: Desk, draft: Draft, balance: Balance) -> View:
    """The whole order with its price and the balance, and the button that orders it."""
    price = draft.spec.price(draft.values)
    words = [desk.t("progress.words", words=shorten(w, _PROMPT_ON_CARD)) for w in draft.spec.words(draft.values)]
    lines = [title(desk, draft), *words, desk.t("order.price", price=price, balance=balance.available)]
    rows: list[list[InlineKeyboardButton]] = []
    if balance.available >= price:
        confirm = DraftTap(draft=draft.id, action="confirm")
        rows.append([button(desk.t("button.confirm", price=price), confirm)])
    else:
        missing = price - balance.available
        lines += ["", desk.t("order.missing", missing)]
        pack = pack_for(missing)
        rows.append([button(desk.t("button.topup_for", stars=pack), TopupTap(stars=pack))])
    choices = choice_buttons(desk, draft)
    rows += [choices[:1], choices[1:]] if choices else []
    texts = [
        button(desk.t(f"edit.{each.id}"), DraftTap(draft=draft.id, action="show", input=each.id))
        for each in draft.spec.inputs
        if not isinstance(each, ChoiceInput)
    ]
    return "\n".join(lines), keyboard([*rows, [*texts, cancel_button(desk)]])


def menu_only(desk: Desk) -> InlineKeyboardMarkup:
    return keyboard([[menu_button(desk.studio.texts, desk.user.language)]])
