"""What a draft looks like: the question, the options of one input, and the card with the price."""

from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup

from handlers.context import Desk
from handlers.order.draft import Draft
from services.billing.payments import pack_for
from services.generation.inputs import ChoiceInput, FileInput, Offers, Option, PhotosInput
from services.ledger.pricing import discounted
from services.messaging.buttons import DraftTap, MenuTap, ServiceTap, TopupTap, button, keyboard, menu_button
from services.messaging.progress import shorten

View = tuple[str, InlineKeyboardMarkup]
_PROMPT_ON_CARD = 700


async def view(desk: Desk, draft: Draft) -> View:
    """What the person sees of the draft now."""
    offers = await desk.offers(draft.spec)
    if draft.spec.nothing_offered(draft.values, offers):
        return nothing_yet(desk, draft)
    return question(desk, draft, offers) if draft.asking else card(desk, draft, offers)


def title(desk: Desk, draft: Draft) -> str:
    return f"{draft.spec.emoji} <b>{desk.t(f'service.{draft.service}.name')}</b>"


def cancel_button(desk: Desk) -> InlineKeyboardButton:
    return button(desk.t("button.cancel"), MenuTap(place="cancel"))


def label(desk: Desk, choice: ChoiceInput, option: Option, *, note: bool) -> str:
    """An option as people read it: in their language where it has a text of its own."""
    key = f"option.{choice.id}.{option.value}"
    text = desk.t(key) if desk.studio.texts.has(key) else option.label
    return f"{text} · {option.note}" if note and option.note else text


def choice_buttons(desk: Desk, draft: Draft, offers: Offers, *, before: str = "") -> list[InlineKeyboardButton]:
    """A button for each choice, showing what is chosen; with `before`, only those before that input."""
    buttons = []
    for each in draft.spec.inputs:
        if each.id == before:
            break
        if isinstance(each, ChoiceInput) and (option := each.chosen(draft.values, offers)):
            if len(each.options(draft.values, offers)) == 1:
                continue
            value = label(desk, each, option, note=bool(before))
            text = desk.t(f"choice.{each.id}", value=value)
            buttons.append(button(text, DraftTap(draft=draft.id, action="show", input=each.id)))
    return buttons


def nothing_yet(desk: Desk, draft: Draft) -> View:
    """The person has none of what this service needs; this is how to get it."""
    maker = draft.spec.made_by
    rows = [[button(desk.t(f"service.{maker}.go_on"), ServiceTap(service=maker))]] if maker else []
    text = f"{title(desk, draft)}\n\n{desk.t(f'service.{draft.service}.none')}"
    return text, keyboard([*rows, [menu_button(desk.studio.texts, desk.user.language)]])


def question(desk: Desk, draft: Draft, offers: Offers) -> View:
    """Asks for the input the draft is asking for; the choices before it can be changed meanwhile."""
    lines = [title(desk, draft), "", desk.t(f"service.{draft.service}.ask.{draft.asking}"), "", _next(desk, draft)]
    rows = [[each] for each in choice_buttons(desk, draft, offers, before=draft.asking)]
    if isinstance(draft.asked, PhotosInput):
        rows.append([button(desk.t("button.done"), DraftTap(draft=draft.id, action="done"))])
    if draft.spec.missing(draft.values) is None:
        rows.append([button(desk.t("button.back"), DraftTap(draft=draft.id, action="card"))])
    return "\n".join(lines), keyboard([*rows, [cancel_button(desk)]])


def _next(desk: Desk, draft: Draft) -> str:
    """In one sentence: what comes after the answer."""
    answered = {**draft.values, draft.asking: draft.values.get(draft.asking) or True}
    return desk.t("wizard.then_price" if draft.spec.missing(answered) is None else "wizard.then_more")


def options(desk: Desk, draft: Draft, choice: ChoiceInput, offers: Offers) -> View:
    chosen = choice.chosen(draft.values, offers)
    buttons = []
    for option in choice.options(draft.values, offers):
        mark = "✓ " if chosen and option.value == chosen.value else ""
        tap = DraftTap(draft=draft.id, action="set", input=choice.id, value=option.value)
        buttons.append(button(mark + label(desk, choice, option, note=True), tap))
    rows = [buttons[i : i + choice.columns] for i in range(0, len(buttons), choice.columns)]
    back = button(desk.t("button.back"), DraftTap(draft=draft.id, action="card"))
    return f"{title(desk, draft)}\n\n{desk.t(f'choose.{choice.id}')}", keyboard([*rows, [back]])


def card(desk: Desk, draft: Draft, offers: Offers) -> View:
    """The whole order with its price and the balance, and the button that orders it."""
    price, available = price_of(desk, draft), desk.balance_on_arrival.available
    words = [desk.t("progress.words", words=shorten(w, _PROMPT_ON_CARD)) for w in draft.spec.words(draft.values)]
    price_line = desk.t("order.price", price=price, balance=available)
    lines = [title(desk, draft), *_files(desk, draft), *words, price_line]
    rows: list[list[InlineKeyboardButton]] = []
    if available >= price:
        confirm = DraftTap(draft=draft.id, action="confirm", value=str(price))
        rows.append([button(desk.t("button.confirm", price=price), confirm)])
    else:
        lines += ["", desk.t("order.missing", price - available)]
        pack = pack_for(price - available)
        rows.append([button(desk.t("button.topup_for", stars=pack), TopupTap(stars=pack))])
    choices = choice_buttons(desk, draft, offers)
    rows += [choices[:1], choices[1:]] if choices else []
    return "\n".join(lines), keyboard([*rows, _edit_buttons(desk, draft), [cancel_button(desk)]])


def price_of(desk: Desk, draft: Draft) -> int:
    """Whole Stars, with the person's discount."""
    return discounted(draft.spec.price(draft.values), desk.user.discount)


def _files(desk: Desk, draft: Draft) -> list[str]:
    """What was sent: a line for each file, and the number of photos."""
    lines = []
    for each in draft.spec.inputs:
        value = draft.values.get(each.id)
        if isinstance(each, FileInput) and value and each.wanted(draft.values):
            lines.append(desk.t(f"file.{value['kind']}"))
        elif isinstance(each, PhotosInput) and value:
            lines.append(desk.t("photos.count", len(value)))
    return lines


def _edit_buttons(desk: Desk, draft: Draft) -> list[InlineKeyboardButton]:
    buttons = []
    for each in draft.spec.inputs:
        if isinstance(each, ChoiceInput) or (isinstance(each, FileInput) and not each.wanted(draft.values)):
            continue
        tap = DraftTap(draft=draft.id, action="show", input=each.id)
        buttons.append(button(desk.t(f"edit.{each.id}"), tap))
    text = draft.spec.text_input
    if text is not None and text.improvable:
        buttons.append(button(desk.t("button.improve"), DraftTap(draft=draft.id, action="improve")))
    return buttons


def menu_only(desk: Desk) -> InlineKeyboardMarkup:
    return keyboard([[menu_button(desk.studio.texts, desk.user.language)]])
