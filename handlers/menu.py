"""The commands everybody has: start, menu, help, balance, language, cancel."""

from functools import lru_cache

from aiogram import F, Router
from aiogram.filters import Command, CommandObject, CommandStart
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery, InlineKeyboardMarkup, Message

from handlers.context import UserContext, answer_callback
from handlers.onboarding import with_starter_prompts
from services.billing.invitations import InvitationOutcome, accept_invitation
from services.core.i18n import Texts
from services.generation.registry import SERVICES
from services.messaging.buttons import (
    LanguageCallback,
    MenuCallback,
    ServiceCallback,
    button,
    keyboard,
    menu_button,
)
from storage.updates import ClaimedUpdate
from storage.users.users import set_language

router = Router(name="menu")


def menu_keyboard(ctx: UserContext) -> InlineKeyboardMarkup:
    return _build_menu_keyboard(ctx.app.texts, ctx.user.language)


@lru_cache
def _build_menu_keyboard(texts: Texts, language: str) -> InlineKeyboardMarkup:
    """The same for everybody who speaks a language; built once, as it is most of the work of `/start`."""
    services = [
        button(f"{spec.emoji} {texts.t(language, f'service.{spec.id}.name')}", ServiceCallback(service=spec.id))
        for spec in SERVICES.values()
    ]
    services.append(button(texts.t(language, "button.game"), MenuCallback(place="game")))
    rows = [services[i : i + 2] for i in range(0, len(services), 2)]
    rows += [
        [button(texts.t(language, f"button.{place}"), MenuCallback(place=place)) for place in places]
        for places in (("history", "models", "voices"), ("balance", "settings"), ("language", "help"))
    ]
    return keyboard(rows)


def menu_text(ctx: UserContext) -> str:
    return ctx.t("menu.text", balance=ctx.initial_balance.available)


def balance_text(ctx: UserContext) -> str:
    balance = ctx.initial_balance
    lines = [ctx.t("balance.available", balance.available)]
    if balance.held:
        lines.append(ctx.t("balance.held", balance.held))
    if balance.debt:
        lines.append(ctx.t("balance.debt", balance.debt))
    return "\n".join(lines)


def help_text(ctx: UserContext) -> str:
    services = [
        f"{spec.emoji} <b>{ctx.t(f'service.{spec.id}.name')}</b> — {ctx.t(f'service.{spec.id}.about')}"
        for spec in SERVICES.values()
    ]
    lines = [ctx.t("help.intro"), "", *services, "", ctx.t("help.commands")]
    if ctx.support_contact:
        lines += ["", ctx.t("help.contact", contact=ctx.support_contact)]
    return "\n".join(lines)


def language_keyboard(ctx: UserContext) -> InlineKeyboardMarkup:
    t = ctx.app.texts.t
    choices = [
        button(t(language, "language.name"), LanguageCallback(language=language))
        for language in ctx.app.texts.languages
    ]
    return keyboard([choices, [menu_button(ctx.app.texts, ctx.user.language)]])


def balance_keyboard(ctx: UserContext) -> InlineKeyboardMarkup:
    rows = [
        [button(ctx.t(f"button.{place}"), MenuCallback(place=place)) for place in places]
        for places in (("topup", "subscribe"), ("statement", "invite"))
    ]
    return keyboard([*rows, [menu_button(ctx.app.texts, ctx.user.language)]])


def back_to_menu_keyboard(ctx: UserContext) -> InlineKeyboardMarkup:
    return keyboard([[menu_button(ctx.app.texts, ctx.user.language)]])


@router.message(CommandStart())
async def _start(
    message: Message,
    ctx: UserContext,
    state: FSMContext,
    raw_state: str | None,
    command: CommandObject,
    arrival: ClaimedUpdate,
) -> None:
    """Who has never ordered gets prompts to tap; who had left is greeted as somebody we know."""
    if raw_state is not None:
        await state.clear()
    name = ctx.user.first_name
    greeting = ctx.t("start.back", name=name) if arrival.returned else ctx.t("start.greeting", name=name)
    parts, markup = [greeting, menu_text(ctx)], menu_keyboard(ctx)
    if not arrival.has_ordered:
        parts[1] = ctx.t("start.ready", balance=ctx.initial_balance.available)
        markup = with_starter_prompts(ctx, markup)
    invitation = await accept_invitation(ctx.app, ctx.user.id, command.args) if command.args else None
    if invitation in (InvitationOutcome.ACCEPTED, InvitationOutcome.OWN_LINK):
        parts.insert(1, ctx.t(f"invite.{invitation.value}"))
    await ctx.send("\n\n".join(parts), markup)


@router.message(Command("menu"))
async def _menu(message: Message, ctx: UserContext, state: FSMContext, raw_state: str | None) -> None:
    if raw_state is not None:
        await state.clear()
    await ctx.send(menu_text(ctx), menu_keyboard(ctx))


@router.message(Command("help"))
async def _help(message: Message, ctx: UserContext) -> None:
    await ctx.send(help_text(ctx), back_to_menu_keyboard(ctx))


@router.message(Command("support", "paysupport"))
async def _support(message: Message, ctx: UserContext) -> None:
    key = "support.contact" if ctx.support_contact else "support.here"
    await ctx.send(ctx.t(key, contact=ctx.support_contact), back_to_menu_keyboard(ctx))


@router.message(Command("terms"))
async def _terms(message: Message, ctx: UserContext) -> None:
    state = ctx.t("terms.accepted" if ctx.user.terms_accepted else "terms.later")
    await ctx.send(f"{ctx.t('terms.text')}\n\n{state}", back_to_menu_keyboard(ctx))


@router.message(Command("balance"))
async def _balance(message: Message, ctx: UserContext) -> None:
    await ctx.send(balance_text(ctx), balance_keyboard(ctx))


@router.message(Command("language"))
async def _language(message: Message, ctx: UserContext) -> None:
    await ctx.send(ctx.t("language.ask"), language_keyboard(ctx))


@router.message(Command("cancel"))
async def _cancel(message: Message, ctx: UserContext, state: FSMContext, raw_state: str | None) -> None:
    if raw_state is None:
        await ctx.send(ctx.t("cancel.nothing"), menu_keyboard(ctx))
        return
    await state.clear()
    await ctx.send(ctx.t("cancel.done"), menu_keyboard(ctx))


@router.callback_query(LanguageCallback.filter())
async def _choose_language(callback: CallbackQuery, callback_data: LanguageCallback, ctx: UserContext) -> None:
    if callback_data.language not in ctx.app.texts.languages:
        await answer_callback(callback, ctx.t("stale.button"), alert=True)
        return
    await set_language(ctx.app.db, ctx.user.id, callback_data.language)
    t = ctx.app.texts.t
    await answer_callback(callback)
    rows = [[menu_button(ctx.app.texts, callback_data.language)]]
    await ctx.edit_or_send(callback, t(callback_data.language, "language.chosen"), keyboard(rows))


@router.callback_query(MenuCallback.filter(F.place == "menu"))
async def _open_menu(callback: CallbackQuery, ctx: UserContext, state: FSMContext, raw_state: str | None) -> None:
    await answer_callback(callback)
    if raw_state is not None:
        await state.clear()
    await ctx.edit_or_send(callback, menu_text(ctx), menu_keyboard(ctx))


@router.callback_query(MenuCallback.filter(F.place == "cancel"))
async def _cancel_button(callback: CallbackQuery, ctx: UserContext, state: FSMContext) -> None:
    await answer_callback(callback, ctx.t("cancel.toast"))
    await state.clear()
    await ctx.edit_or_send(callback, menu_text(ctx), menu_keyboard(ctx))


@router.callback_query(MenuCallback.filter(F.place == "balance"))
async def _open_balance(callback: CallbackQuery, ctx: UserContext) -> None:
    await answer_callback(callback)
    await ctx.edit_or_send(callback, balance_text(ctx), balance_keyboard(ctx))


@router.callback_query(MenuCallback.filter(F.place == "help"))
async def _open_help(callback: CallbackQuery, ctx: UserContext) -> None:
    await answer_callback(callback)
    await ctx.edit_or_send(callback, help_text(ctx), back_to_menu_keyboard(ctx))


@router.callback_query(MenuCallback.filter(F.place == "language"))
async def _open_language(callback: CallbackQuery, ctx: UserContext) -> None:
    await answer_callback(callback)
    await ctx.edit_or_send(callback, ctx.t("language.ask"), language_keyboard(ctx))
