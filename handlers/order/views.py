"""What a draft looks like: the question, the options of one input, and the card with the price."""

from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup

from handlers.context import UserContext
from handlers.order.draft import Draft
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
    menu_button,
)
from services.messaging.progress import truncate

View = tuple[str, InlineKeyboardMarkup]
_MAX_PROMPT_CHARS = 700


async def draft_view(ctx: UserContext, draft: Draft) -> View:
    """What the person sees of the draft now."""
    user_options = await ctx.user_options(draft.spec)
    if draft.spec.first_empty_choice(draft.values, user_options):
        return missing_asset_view(ctx, draft)
    return question_view(ctx, draft, user_options) if draft.asking else card_view(ctx, draft, user_options)


def title(ctx: UserContext, draft: Draft) -> str:
    return f"{draft.spec.emoji} <b>{ctx.t(f'service.{draft.service}.name')}</b>"


def cancel_button(ctx: UserContext) -> InlineKeyboardButton:
    return button(ctx.t("button.cancel"), MenuCallback(place="cancel"))


def option_label(ctx: UserContext, choice: ChoiceInput, option: Option, *, note: bool) -> str:
    """An option as people read it: in their language where it has a text of its own."""
    key = f"option.{choice.id}.{option.value}"
    text = ctx.t(key) if ctx.app.texts.has_key(key) else option.label
    return f"{text} · {option.note}" if note and option.note else text


def choice_buttons(
    ctx: UserContext, draft: Draft, user_options: UserOptions, *, before_input: str = ""
) -> list[InlineKeyboardButton]:
    """A button for each choice, showing what is chosen; with `before`, only those before that input."""
    buttons = []
    for each in draft.spec.inputs:
        if each.id == before_input:
            break
        if isinstance(each, ChoiceInput) and (option := each.selected(draft.values, user_options)):
            if len(each.options(draft.values, user_options)) == 1:
                continue
            value = option_label(ctx, each, option, note=bool(before_input))
            text = ctx.t(f"choice.{each.id}", value=value)
            buttons.append(button(text, DraftCallback(draft=draft.id, action="show", input=each.id)))
    return buttons


def missing_asset_view(ctx: UserContext, draft: Draft) -> View:
    """The person has none of what this service needs; this is how to get it."""
    maker_service = draft.spec.created_by
    rows = (
        [[button(ctx.t(f"service.{maker_service}.go_on"), ServiceCallback(service=maker_service))]]
        if maker_service
        else []
    )
    text = f"{title(ctx, draft)}\n\n{ctx.t(f'service.{draft.service}.none')}"
    return text, keyboard([*rows, [menu_button(ctx.app.texts, ctx.user.language)]])


def question_view(ctx: UserContext, draft: Draft, user_options: UserOptions) -> View:
    """Asks for the input the draft is asking for; the choices before it can be changed meanwhile."""
    lines = [
        title(ctx, draft),
        "",
        ctx.t(f"service.{draft.service}.ask.{draft.asking}"),
        "",
        _next_step_hint(ctx, draft),
    ]
    rows = [[each] for each in choice_buttons(ctx, draft, user_options, before_input=draft.asking)]
    if isinstance(draft.current_input, PhotosInput):
        rows.append([button(ctx.t("button.done"), DraftCallback(draft=draft.id, action="done"))])
    if draft.spec.first_missing(draft.values) is None:
        rows.append([button(ctx.t("button.back"), DraftCallback(draft=draft.id, action="card"))])
    return "\n".join(lines), keyboard([*rows, [cancel_button(ctx)]])


def _next_step_hint(ctx: UserContext, draft: Draft) -> str:
    """In one sentence: what comes after the answer."""
    answered = {**draft.values, draft.asking: draft.values.get(draft.asking) or True}
    return ctx.t("wizard.then_price" if draft.spec.first_missing(answered) is None else "wizard.then_more")


def options_view(ctx: UserContext, draft: Draft, choice: ChoiceInput, user_options: UserOptions) -> View:
    chosen = choice.selected(draft.values, user_options)
    buttons = []
    for option in choice.options(draft.values, user_options):
        mark = "✓ " if chosen and option.value == chosen.value else ""
        data = DraftCallback(draft=draft.id, action="set", input=choice.id, value=option.value)
        buttons.append(button(mark + option_label(ctx, choice, option, note=True), data))
    rows = [buttons[i : i + choice.columns] for i in range(0, len(buttons), choice.columns)]
    back = button(ctx.t("button.back"), DraftCallback(draft=draft.id, action="card"))
    return f"{title(ctx, draft)}\n\n{ctx.t(f'choose.{choice.id}')}", keyboard([*rows, [back]])


def card_view(ctx: UserContext, draft: Draft, user_options: UserOptions) -> View:
    """The whole order with its price and the balance, and the button that orders it."""
    price, available = price_of(ctx, draft), ctx.initial_balance.available
    prompts = [
        ctx.t("progress.words", words=truncate(w, _MAX_PROMPT_CHARS)) for w in draft.spec.prompts(draft.values)
    ]
    price_line = ctx.t("order.price", price=price, balance=available)
    lines = [title(ctx, draft), *_file_lines(ctx, draft), *prompts, price_line]
    rows: list[list[InlineKeyboardButton]] = []
    if available >= price:
        confirm = DraftCallback(draft=draft.id, action="confirm", value=str(price))
        rows.append([button(ctx.t("button.confirm", price=price), confirm)])
    else:
        lines += ["", ctx.t("order.missing", price - available)]
        pack = pack_for(price - available)
        rows.append([button(ctx.t("button.topup_for", stars=pack), TopupCallback(stars=pack))])
    choices = choice_buttons(ctx, draft, user_options)
    rows += [choices[:1], choices[1:]] if choices else []
    return "\n".join(lines), keyboard([*rows, _edit_buttons(ctx, draft), [cancel_button(ctx)]])


def price_of(ctx: UserContext, draft: Draft) -> int:
    """Whole Stars, with the person's discount."""
    return discounted(draft.spec.price(draft.values), ctx.user.discount)


def _file_lines(ctx: UserContext, draft: Draft) -> list[str]:
    """What was sent: a line for each file, and the number of photos."""
    lines = []
    for each in draft.spec.inputs:
        value = draft.values.get(each.id)
        if isinstance(each, FileInput) and value and each.needed(draft.values):
            lines.append(ctx.t(f"file.{value['kind']}"))
        elif isinstance(each, PhotosInput) and value:
            lines.append(ctx.t("photos.count", len(value)))
    return lines


def _edit_buttons(ctx: UserContext, draft: Draft) -> list[InlineKeyboardButton]:
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


def menu_button_keyboard(ctx: UserContext) -> InlineKeyboardMarkup:
    return keyboard([[menu_button(ctx.app.texts, ctx.user.language)]])
