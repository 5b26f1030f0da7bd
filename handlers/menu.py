"""The commands for all users: start, menu, help, support, terms, balance, language, cancel."""

from functools import lru_cache

from aiogram import F, Router
from aiogram.filters import Command, CommandObject, CommandStart
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery, InlineKeyboardMarkup, Message

from handlers.context import UserContext, answer_callback, answer_stale
from handlers.onboarding import with_starter_prompts
from handlers.views import balance_lines, menu_button_keyboard, menu_row, service_title
from services.billing.referrals import InvitationOutcome, accept_invitation
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
from services.users.profile import choose_language
from storage.updates import ClaimedUpdate

router = Router(name="menu")


def menu_keyboard(ctx: UserContext) -> InlineKeyboardMarkup:
    """The menu's buttons: all services, the game, and the other pages."""
    return _build_menu_keyboard(ctx.texts, ctx.language)


@lru_cache
def _build_menu_keyboard(texts: Texts, language: str) -> InlineKeyboardMarkup:
    """Build the menu once per language, because building it is most of the work of `/start`."""
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


def _menu_text(ctx: UserContext) -> str:
    return ctx.t("menu.text", balance=ctx.balance_on_arrival.available)


def _balance_text(ctx: UserContext) -> str:
    return "\n".join(balance_lines(ctx))


def _balance_keyboard(ctx: UserContext) -> InlineKeyboardMarkup:
    rows = [
        [button(ctx.t(f"button.{place}"), MenuCallback(place=place)) for place in places]
        for places in (("topup", "subscribe"), ("statement", "invite"))
    ]
    return keyboard([*rows, menu_row(ctx)])


def _help_text(ctx: UserContext) -> str:
    services = [f"{service_title(ctx, spec)} — {ctx.t(f'service.{spec.id}.about')}" for spec in SERVICES.values()]
    lines = [ctx.t("help.intro"), "", *services, "", ctx.t("help.commands")]
    if ctx.support_contact:
        lines += ["", ctx.t("help.contact", contact=ctx.support_contact)]
    return "\n".join(lines)


def _language_keyboard(ctx: UserContext) -> InlineKeyboardMarkup:
    choices = [
        button(ctx.texts.t(language, "language.name"), LanguageCallback(language=language))
        for language in ctx.texts.languages
    ]
    return keyboard([choices, menu_row(ctx)])


@router.message(CommandStart())
async def _start(
    message: Message,
    ctx: UserContext,
    state: FSMContext,
    raw_state: str | None,
    command: CommandObject,
    arrival: ClaimedUpdate,
) -> None:
    """Greet the user, and accept the invitation if they followed an invitation link.

    Users who have never ordered get starter prompts. Users who had blocked the bot are welcomed back.
    """
    if raw_state is not None:
        await state.clear()
    name = ctx.user.first_name
    greeting = ctx.t("start.back", name=name) if arrival.returned else ctx.t("start.greeting", name=name)
    parts, markup = [greeting, _menu_text(ctx)], menu_keyboard(ctx)
    if not arrival.has_ordered:
        parts[1] = ctx.t("start.ready", balance=ctx.balance_on_arrival.available)
        markup = with_starter_prompts(ctx, markup)
    invitation = await accept_invitation(ctx.db, ctx.user.id, command.args) if command.args else None
    if invitation in (InvitationOutcome.ACCEPTED, InvitationOutcome.OWN_LINK):
        parts.insert(1, ctx.t(f"invite.{invitation.value}"))
    await ctx.send("\n\n".join(parts), markup)


@router.message(Command("menu"))
async def _menu(message: Message, ctx: UserContext, state: FSMContext, raw_state: str | None) -> None:
    """Show the services. Discard an unfinished order."""
    if raw_state is not None:
        await state.clear()
    await ctx.send(_menu_text(ctx), menu_keyboard(ctx))


@router.message(Command("help"))
async def _help(message: Message, ctx: UserContext) -> None:
    """List the services and the commands."""
    await ctx.send(_help_text(ctx), menu_button_keyboard(ctx))


@router.message(Command("support", "paysupport"))
async def _support(message: Message, ctx: UserContext) -> None:
    """Show the support contact."""
    key = "support.contact" if ctx.support_contact else "support.here"
    await ctx.send(ctx.t(key, contact=ctx.support_contact), menu_button_keyboard(ctx))


@router.message(Command("terms"))
async def _terms(message: Message, ctx: UserContext) -> None:
    """Show the terms of use."""
    state = ctx.t("terms.accepted" if ctx.user.terms_accepted else "terms.later")
    await ctx.send(f"{ctx.t('terms.text')}\n\n{state}", menu_button_keyboard(ctx))


@router.message(Command("balance"))
async def _balance(message: Message, ctx: UserContext) -> None:
    """Show the credits that are available, held and owed, and the account statement."""
    await ctx.send(_balance_text(ctx), _balance_keyboard(ctx))


@router.message(Command("language"))
async def _language(message: Message, ctx: UserContext) -> None:
    """Choose the bot's language."""
    await ctx.send(ctx.t("language.ask"), _language_keyboard(ctx))


@router.message(Command("cancel"))
async def _cancel(message: Message, ctx: UserContext, state: FSMContext, raw_state: str | None) -> None:
    """Discard an unfinished order. A confirmed order is cancelled with the button below its progress message."""
    if raw_state is None:
        await ctx.send(ctx.t("cancel.nothing"), menu_keyboard(ctx))
        return
    await state.clear()
    await ctx.send(ctx.t("cancel.done"), menu_keyboard(ctx))


@router.callback_query(LanguageCallback.filter())
async def _choose_language(callback: CallbackQuery, callback_data: LanguageCallback, ctx: UserContext) -> None:
    language = callback_data.language
    if language not in ctx.texts.languages:
        await answer_stale(callback, ctx)
        return
    await choose_language(ctx.db, ctx.user.id, language)
    await answer_callback(callback)
    markup = keyboard([[menu_button(ctx.texts, language)]])
    await ctx.edit_or_send(callback, ctx.texts.t(language, "language.chosen"), markup)


@router.callback_query(MenuCallback.filter(F.place == "menu"))
async def _open_menu(callback: CallbackQuery, ctx: UserContext, state: FSMContext, raw_state: str | None) -> None:
    await answer_callback(callback)
    if raw_state is not None:
        await state.clear()
    await ctx.edit_or_send(callback, _menu_text(ctx), menu_keyboard(ctx))


@router.callback_query(MenuCallback.filter(F.place == "cancel"))
async def _cancel_button(callback: CallbackQuery, ctx: UserContext, state: FSMContext) -> None:
    await answer_callback(callback, ctx.t("cancel.toast"))
    await state.clear()
    await ctx.edit_or_send(callback, _menu_text(ctx), menu_keyboard(ctx))


@router.callback_query(MenuCallback.filter(F.place == "balance"))
async def _open_balance(callback: CallbackQuery, ctx: UserContext) -> None:
    await answer_callback(callback)
    await ctx.edit_or_send(callback, _balance_text(ctx), _balance_keyboard(ctx))


@router.callback_query(MenuCallback.filter(F.place == "help"))
async def _open_help(callback: CallbackQuery, ctx: UserContext) -> None:
    await answer_callback(callback)
    await ctx.edit_or_send(callback, _help_text(ctx), menu_button_keyboard(ctx))


@router.callback_query(MenuCallback.filter(F.place == "language"))
async def _open_language(callback: CallbackQuery, ctx: UserContext) -> None:
    await answer_callback(callback)
    await ctx.edit_or_send(callback, ctx.t("language.ask"), _language_keyboard(ctx))
