"""`/settings`: news, quiet hours by the person's own clock, language."""

from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from aiogram import F, Router
from aiogram.filters import Command
from aiogram.filters.callback_data import CallbackData
from aiogram.types import CallbackQuery, InlineKeyboardButton, InlineKeyboardMarkup, Message

from handlers.context import Desk, answer
from services.messaging.buttons import MenuTap, button, keyboard, menu_button
from storage.users.preferences import Preferences, get_preferences, set_quiet_hours, set_utc_offset, toggle_news

router = Router(name="settings")

_WINDOWS: Final = ((21, 7), (22, 8), (23, 7), (23, 9), (0, 8), (1, 10))
"""Quiet hours to choose from, by the person's clock."""
_A_ROW: Final = 3
_HOURS_A_ROW: Final = 4


class SettingsTap(CallbackData, prefix="set"):
    """`news` switches them; `quiet` and `clock` are pages; `hours` are set, or switched off; `ahead` of UTC."""

    action: Literal["show", "news", "quiet", "clock", "hours", "off", "ahead"]
    begin: int = 0
    end: int = 0


Page = tuple[str, InlineKeyboardMarkup]


def _hour(hour: int) -> str:
    return f"{hour % 24:02}:00"


def _clock(ahead: int) -> str:
    """What a clock shows that is so many hours ahead of UTC."""
    return f"{datetime.now(UTC) + timedelta(hours=ahead):%H:%M}"


def _rows(buttons: list[InlineKeyboardButton], columns: int) -> list[list[InlineKeyboardButton]]:
    return [buttons[i : i + columns] for i in range(0, len(buttons), columns)]


def _back(desk: Desk, action: Literal["show", "quiet"]) -> InlineKeyboardButton:
    return button(desk.t("button.back"), SettingsTap(action=action))


async def settings_page(desk: Desk) -> Page:
    preferences = await get_preferences(desk.studio.db, desk.user.id)
    quiet = _quiet_text(desk, preferences)
    news = desk.t("settings.news.on" if preferences.news else "settings.news.off")
    lines = [desk.t("settings.title"), "", news, quiet]
    news_button = "settings.button.news_off" if preferences.news else "settings.button.news_on"
    return "\n".join(lines), keyboard(
        [
            [button(desk.t(news_button), SettingsTap(action="news"))],
            [button(desk.t("settings.button.quiet"), SettingsTap(action="quiet"))],
            [button(desk.t("button.language"), MenuTap(place="language"))],
            [menu_button(desk.studio.texts, desk.user.language)],
        ]
    )


def _quiet_text(desk: Desk, preferences: Preferences) -> str:
    hours = preferences.quiet_here
    if hours is None:
        return desk.t("settings.quiet.off")
    now = _clock(preferences.utc_offset or 0)
    return desk.t("settings.quiet.on", begin=_hour(hours[0]), end=_hour(hours[1]), now=now)


def quiet_page(desk: Desk, preferences: Preferences) -> Page:
    """The hours to choose from; first of all what time it is where the person is, if they never said."""
    if preferences.utc_offset is None:
        return clock_page(desk, back="show")
    chosen = preferences.quiet_here
    windows = [
        button(
            f"{'✓ ' if (begin, end) == chosen else ''}{begin}–{end}",
            SettingsTap(action="hours", begin=begin, end=end),
        )
        for begin, end in _WINDOWS
    ]
    rows = _rows(windows, _A_ROW)
    if chosen is not None:
        rows.append([button(desk.t("settings.button.quiet_off"), SettingsTap(action="off"))])
    rows.append([button(desk.t("settings.button.clock"), SettingsTap(action="clock"))])
    text = desk.t("settings.quiet.ask", now=_clock(preferences.utc_offset))
    return text, keyboard([*rows, [_back(desk, "show")]])


def clock_page(desk: Desk, *, back: Literal["show", "quiet"]) -> Page:
    """Nobody has to know their offset from UTC: they tap what their clock shows."""
    clocks = sorted(range(24), key=_clock)
    hours = [button(_clock(ahead), SettingsTap(action="ahead", begin=ahead)) for ahead in clocks]
    return desk.t("settings.clock.ask"), keyboard([*_rows(hours, _HOURS_A_ROW), [_back(desk, back)]])


@router.message(Command("settings"))
async def settings(message: Message, desk: Desk) -> None:
    await desk.say(*await settings_page(desk))


@router.callback_query(MenuTap.filter(F.place == "settings"))
@router.callback_query(SettingsTap.filter(F.action == "show"))
async def go_to_settings(tap: CallbackQuery, desk: Desk) -> None:
    await answer(tap)
    await desk.show(tap, *await settings_page(desk))


@router.callback_query(SettingsTap.filter(F.action == "news"))
async def switch_news(tap: CallbackQuery, desk: Desk) -> None:
    await toggle_news(desk.studio.db, desk.user.id)
    await go_to_settings(tap, desk)


@router.callback_query(SettingsTap.filter(F.action == "quiet"))
async def choose_quiet(tap: CallbackQuery, desk: Desk) -> None:
    await answer(tap)
    await desk.show(tap, *quiet_page(desk, await get_preferences(desk.studio.db, desk.user.id)))


@router.callback_query(SettingsTap.filter(F.action == "clock"))
async def choose_clock(tap: CallbackQuery, desk: Desk) -> None:
    await answer(tap)
    await desk.show(tap, *clock_page(desk, back="quiet"))


@router.callback_query(SettingsTap.filter(F.action == "ahead"))
async def set_clock(tap: CallbackQuery, callback_data: SettingsTap, desk: Desk) -> None:
    await set_utc_offset(desk.studio.db, desk.user.id, callback_data.begin % 24)
    await choose_quiet(tap, desk)


@router.callback_query(SettingsTap.filter(F.action == "hours"))
async def set_hours(tap: CallbackQuery, callback_data: SettingsTap, desk: Desk) -> None:
    ahead = (await get_preferences(desk.studio.db, desk.user.id)).utc_offset or 0
    begin, end = (callback_data.begin - ahead) % 24, (callback_data.end - ahead) % 24
    await set_quiet_hours(desk.studio.db, desk.user.id, begin, end)
    await go_to_settings(tap, desk)


@router.callback_query(SettingsTap.filter(F.action == "off"))
async def switch_quiet_off(tap: CallbackQuery, desk: Desk) -> None:
    await set_quiet_hours(desk.studio.db, desk.user.id, None, None)
    await go_to_settings(tap, desk)
