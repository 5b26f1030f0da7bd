"""The commands everybody has: start, menu, help, balance, language, cancel."""

from functools import lru_cache

from aiogram import F, Router
from aiogram.filters import Command, CommandObject, CommandStart
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery, InlineKeyboardMarkup, Message

from handlers.context import Desk, answer
from handlers.onboarding import with_ready_prompts
from services.billing.invitations import Invitation, take_invitation
from services.core.i18n import Texts
from services.generation.registry import SERVICES
from services.messaging.buttons import LanguageTap, MenuTap, ServiceTap, button, keyboard, menu_button
from storage.updates import Arrival
from storage.users.users import set_language

router = Router(name="menu")


def menu_keyboard(desk: Desk) -> InlineKeyboardMarkup:
    return _menu_keyboard(desk.studio.texts, desk.user.language)


@lru_cache
def _menu_keyboard(texts: Texts, language: str) -> InlineKeyboardMarkup:
    """The same for everybody who speaks a language; built once, as it is most of the work of `/start`."""
    services = [
        button(f"{spec.emoji} {texts.t(language, f'service.{spec.id}.name')}", ServiceTap(service=spec.id))
        for spec in SERVICES.values()
    ]
    services.append(button(texts.t(language, "button.game"), MenuTap(place="game")))
    rows = [services[i : i + 2] for i in range(0, len(services), 2)]
    rows += [
        [button(texts.t(language, f"button.{place}"), MenuTap(place=place)) for place in places]
        for places in (("history", "models", "voices"), ("balance", "settings"), ("language", "help"))
    ]
    return keyboard(rows)


def menu_text(desk: Desk) -> str:
    return desk.t("menu.text", balance=desk.balance_on_arrival.available)


def balance_text(desk: Desk) -> str:
    balance = desk.balance_on_arrival
    lines = [desk.t("balance.available", balance.available)]
    if balance.held:
        lines.append(desk.t("balance.held", balance.held))
    if balance.debt:
        lines.append(desk.t("balance.debt", balance.debt))
    return "\n".join(lines)


def help_text(desk: Desk) -> str:
    services = [
        f"{spec.emoji} <b>{desk.t(f'service.{spec.id}.name')}</b> — {desk.t(f'service.{spec.id}.about')}"
        for spec in SERVICES.values()
    ]
    lines = [desk.t("help.intro"), "", *services, "", desk.t("help.commands")]
    if desk.support_contact:
        lines += ["", desk.t("help.contact", contact=desk.support_contact)]
    return "\n".join(lines)


def language_keyboard(desk: Desk) -> InlineKeyboardMarkup:
    t = desk.studio.texts.t
    choices = [
        button(t(language, "language.name"), LanguageTap(language=language))
        for language in desk.studio.texts.languages
    ]
    return keyboard([choices, [menu_button(desk.studio.texts, desk.user.language)]])


def balance_keyboard(desk: Desk) -> InlineKeyboardMarkup:
    rows = [
        [button(desk.t(f"button.{place}"), MenuTap(place=place)) for place in places]
        for places in (("topup", "subscribe"), ("statement", "invite"))
    ]
    return keyboard([*rows, [menu_button(desk.studio.texts, desk.user.language)]])


def back_keyboard(desk: Desk) -> InlineKeyboardMarkup:
    return keyboard([[menu_button(desk.studio.texts, desk.user.language)]])


@router.message(CommandStart())
async def start(
    message: Message,
    desk: Desk,
    state: FSMContext,
    raw_state: str | None,
    command: CommandObject,
    arrival: Arrival,
) -> None:
    """Who has never ordered gets prompts to tap; who had left is greeted as somebody we know."""
    if raw_state is not None:
        await state.clear()
    name = desk.user.first_name
    greeting = desk.t("start.back", name=name) if arrival.returned else desk.t("start.greeting", name=name)
    parts, markup = [greeting, menu_text(desk)], menu_keyboard(desk)
    if not arrival.ordered:
        parts[1] = desk.t("start.ready", balance=desk.balance_on_arrival.available)
        markup = with_ready_prompts(desk, markup)
    invitation = await take_invitation(desk.studio, desk.user.id, command.args) if command.args else None
    if invitation in (Invitation.TAKEN, Invitation.OWN):
        parts.insert(1, desk.t(f"invite.{invitation.value}"))
    await desk.say("\n\n".join(parts), markup)


@router.message(Command("menu"))
async def menu(message: Message, desk: Desk, state: FSMContext, raw_state: str | None) -> None:
    if raw_state is not None:
        await state.clear()
    await desk.say(menu_text(desk), menu_keyboard(desk))


@router.message(Command("help"))
async def help_(message: Message, desk: Desk) -> None:
    await desk.say(help_text(desk), back_keyboard(desk))


@router.message(Command("support", "paysupport"))
async def support(message: Message, desk: Desk) -> None:
    key = "support.contact" if desk.support_contact else "support.here"
    await desk.say(desk.t(key, contact=desk.support_contact), back_keyboard(desk))


@router.message(Command("terms"))
async def terms(message: Message, desk: Desk) -> None:
    state = desk.t("terms.accepted" if desk.user.terms_accepted else "terms.later")
    await desk.say(f"{desk.t('terms.text')}\n\n{state}", back_keyboard(desk))


@router.message(Command("balance"))
async def balance(message: Message, desk: Desk) -> None:
    await desk.say(balance_text(desk), balance_keyboard(desk))


@router.message(Command("language"))
async def language(message: Message, desk: Desk) -> None:
    await desk.say(desk.t("language.ask"), language_keyboard(desk))


@router.message(Command("cancel"))
async def cancel(message: Message, desk: Desk, state: FSMContext, raw_state: str | None) -> None:
    if raw_state is None:
        await desk.say(desk.t("cancel.nothing"), menu_keyboard(desk))
        return
    await state.clear()
    await desk.say(desk.t("cancel.done"), menu_keyboard(desk))


@router.callback_query(LanguageTap.filter())
async def choose_language(tap: CallbackQuery, callback_data: LanguageTap, desk: Desk) -> None:
    if callback_data.language not in desk.studio.texts.languages:
        await answer(tap, desk.t("stale.button"), alert=True)
        return
    await set_language(desk.studio.db, desk.user.id, callback_data.language)
    t = desk.studio.texts.t
    await answer(tap)
    rows = [[menu_button(desk.studio.texts, callback_data.language)]]
    await desk.show(tap, t(callback_data.language, "language.chosen"), keyboard(rows))


@router.callback_query(MenuTap.filter(F.place == "menu"))
async def go_to_menu(tap: CallbackQuery, desk: Desk, state: FSMContext, raw_state: str | None) -> None:
    await answer(tap)
    if raw_state is not None:
        await state.clear()
    await desk.show(tap, menu_text(desk), menu_keyboard(desk))


@router.callback_query(MenuTap.filter(F.place == "cancel"))
async def tap_cancel(tap: CallbackQuery, desk: Desk, state: FSMContext) -> None:
    await answer(tap, desk.t("cancel.toast"))
    await state.clear()
    await desk.show(tap, menu_text(desk), menu_keyboard(desk))


@router.callback_query(MenuTap.filter(F.place == "balance"))
async def go_to_balance(tap: CallbackQuery, desk: Desk) -> None:
    await answer(tap)
    await desk.show(tap, balance_text(desk), balance_keyboard(desk))


@router.callback_query(MenuTap.filter(F.place == "help"))
async def go_to_help(tap: CallbackQuery, desk: Desk) -> None:
    await answer(tap)
    await desk.show(tap, help_text(desk), back_keyboard(desk))


@router.callback_query(MenuTap.filter(F.place == "language"))
async def go_to_language(tap: CallbackQuery, desk: Desk) -> None:
    await answer(tap)
    await desk.show(tap, desk.t("language.ask"), language_keyboard(desk))
