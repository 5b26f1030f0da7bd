"""The views of a draft: the question, the options of one input, and the card with the price."""

from typing import Final

from aiogram.types import InlineKeyboardButton

from handlers.context import UserContext, View
from handlers.order.draft import Draft
from handlers.views import menu_row, service_title
from services.billing.payments import pack_for
from services.generation.inputs import ChoiceInput, FileInput, Option, PhotosInput, UserOptions
from services.ledger.pricing import discounted
from services.messaging.buttons import (
    DraftCallback,
    MenuCallback,
    ServiceCallback,
    TopupCallback,
    button,
    keyboard,
)
from services.messaging.progress import truncate

_MAX_PROMPT_CHARS: Final = 700


async def draft_view(ctx: UserContext, draft: Draft) -> View:
    """The current view of the draft: its card, its question, or what the user has to create first."""
    user_options = await ctx.user_options(draft.spec)
    if draft.spec.first_empty_choice(draft.values, user_options):
        return _missing_asset_view(ctx, draft)
    return question_view(ctx, draft, user_options) if draft.question_id else _card_view(ctx, draft, user_options)


def price_of(ctx: UserContext, draft: Draft) -> int:
    """The price of the draft in credits, with the user's discount."""
    return discounted(draft.spec.price(draft.values), ctx.user.discount)


def _cancel_button(ctx: UserContext) -> InlineKeyboardButton:
    return button(ctx.t("button.cancel"), MenuCallback(place="cancel"))


def _option_label(ctx: UserContext, choice: ChoiceInput, option: Option, *, note: bool) -> str:
    """The label of an option, in the user's language if there is a text for it."""
    key = f"option.{choice.id}.{option.value}"
    text = ctx.t(key) if ctx.texts.has_key(key) else option.label
    return f"{text} · {option.note}" if note and option.note else text


def _choice_buttons(
    ctx: UserContext, draft: Draft, user_options: UserOptions, *, before_input: str = ""
) -> list[InlineKeyboardButton]:
    """A button for each choice that has more than one option. It shows the selected option.

    Args:
        ctx: The user.
        draft: The draft.
        user_options: What only this user can choose.
        before_input: If given, only choices before this input, with the notes of the selected options.
    """
    buttons = []
    for each in draft.spec.inputs:
        if each.id == before_input:
            break
        if isinstance(each, ChoiceInput) and (option := each.selected(draft.values, user_options)):
            if len(each.options(draft.values, user_options)) == 1:
                continue
            value = _option_label(ctx, each, option, note=bool(before_input))
            text = ctx.t(f"choice.{each.id}", value=value)
            buttons.append(button(text, DraftCallback(draft=draft.id, action="show", input=each.id)))
    return buttons


def _missing_asset_view(ctx: UserContext, draft: Draft) -> View:
    """Says that the user lacks the model or voice that this service needs, with a button to create one."""
    maker = draft.spec.created_by
    rows = [[button(ctx.t(f"service.{maker}.go_on"), ServiceCallback(service=maker))]] if maker else []
    text = f"{service_title(ctx, draft.spec)}\n\n{ctx.t(f'service.{draft.service}.none')}"
    return text, keyboard([*rows, menu_row(ctx)])


def question_view(ctx: UserContext, draft: Draft, user_options: UserOptions) -> View:
    """The question about the input that the draft asks for, with buttons to change the choices before it."""
    lines = [
        service_title(ctx, draft.spec),
        "",
        ctx.t(f"service.{draft.service}.ask.{draft.question_id}"),
        "",
        _next_step_hint(ctx, draft),
    ]
    rows = [[each] for each in _choice_buttons(ctx, draft, user_options, before_input=draft.question_id)]
    if isinstance(draft.current_input, PhotosInput):
        rows.append([button(ctx.t("button.done"), DraftCallback(draft=draft.id, action="done"))])
    if draft.spec.first_missing(draft.values) is None:
        rows.append([button(ctx.t("button.back"), DraftCallback(draft=draft.id, action="card"))])
    return "\n".join(lines), keyboard([*rows, [_cancel_button(ctx)]])


def _next_step_hint(ctx: UserContext, draft: Draft) -> str:
    """One sentence that says what comes after the answer."""
    answered = {**draft.values, draft.question_id: draft.values.get(draft.question_id) or True}
    return ctx.t("wizard.then_price" if draft.spec.first_missing(answered) is None else "wizard.then_more")


def options_view(ctx: UserContext, draft: Draft, choice: ChoiceInput, user_options: UserOptions) -> View:
    """All options of one choice, with a mark at the selected one."""
    chosen = choice.selected(draft.values, user_options)
    buttons = []
    for option in choice.options(draft.values, user_options):
        mark = "✓ " if chosen and option.value == chosen.value else ""
        data = DraftCallback(draft=draft.id, action="set", input=choice.id, value=option.value)
        buttons.append(button(mark + _option_label(ctx, choice, option, note=True), data))
    rows = [buttons[i : i + choice.columns] for i in range(0, len(buttons), choice.columns)]
    back = button(ctx.t("button.back"), DraftCallback(draft=draft.id, action="card"))
    return f"{service_title(ctx, draft.spec)}\n\n{ctx.t(f'choose.{choice.id}')}", keyboard([*rows, [back]])


def _card_view(ctx: UserContext, draft: Draft, user_options: UserOptions) -> View:
    """The whole order with its price and the balance, and a button to confirm it or to buy the missing credits."""
    price, available = price_of(ctx, draft), ctx.balance_on_arrival.available
    prompts = [
        ctx.t("progress.words", words=truncate(prompt, _MAX_PROMPT_CHARS))
        for prompt in draft.spec.prompts(draft.values)
    ]
    price_line = ctx.t("order.price", price=price, balance=available)
    lines = [service_title(ctx, draft.spec), *_file_lines(ctx, draft), *prompts, price_line]
    rows: list[list[InlineKeyboardButton]] = []
    if available >= price:
        confirm = DraftCallback(draft=draft.id, action="confirm", value=str(price))
        rows.append([button(ctx.t("button.confirm", price=price), confirm)])
    else:
        lines += ["", ctx.t("order.missing", price - available)]
        pack = pack_for(price - available)
        rows.append([button(ctx.t("button.topup_for", stars=pack), TopupCallback(stars=pack))])
    choices = _choice_buttons(ctx, draft, user_options)
    rows += [choices[:1], choices[1:]] if choices else []
    return "\n".join(lines), keyboard([*rows, _edit_buttons(ctx, draft), [_cancel_button(ctx)]])


def _file_lines(ctx: UserContext, draft: Draft) -> list[str]:
    """A line for each file that was sent, and one with the number of photos."""
    lines = []
    for each in draft.spec.inputs:
        value = draft.values.get(each.id)
        if isinstance(each, FileInput) and value and each.needed(draft.values):
            lines.append(ctx.t(f"file.{value['kind']}"))
        elif isinstance(each, PhotosInput) and value:
            lines.append(ctx.t("photos.count", len(value)))
    return lines


def _edit_buttons(ctx: UserContext, draft: Draft) -> list[InlineKeyboardButton]:
    """A button for each input that is typed or sent, and one to improve the prompt."""
    buttons = []
    for each in draft.spec.inputs:
        if isinstance(each, ChoiceInput) or (isinstance(each, FileInput) and not each.needed(draft.values)):
            continue
        data = DraftCallback(draft=draft.id, action="show", input=each.id)
        buttons.append(button(ctx.t(f"edit.{each.id}"), data))
    text = draft.spec.text_input
    if text is not None and text.improvable:
        buttons.append(button(ctx.t("button.improve"), DraftCallback(draft=draft.id, action="improve")))
    return buttons
