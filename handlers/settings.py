"""`/settings`: news, quiet hours in the user's local time, and language."""

from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from aiogram import F, Router
from aiogram.filters import Command
from aiogram.filters.callback_data import CallbackData
from aiogram.types import CallbackQuery, InlineKeyboardButton, Message

from handlers.context import UserContext, View, answer_callback
from handlers.views import menu_row
from services.messaging.buttons import MenuCallback, button, keyboard
from services.users.profile import clear_quiet_hours, get_preferences, set_clock, set_quiet_hours, toggle_news
from storage.users.preferences import Preferences

router = Router(name="settings")

_WINDOWS: Final = ((21, 7), (22, 8), (23, 7), (23, 9), (0, 8), (1, 10))
"""The quiet hours to choose from, in the user's local time."""
_WINDOWS_PER_ROW: Final = 3
_HOURS_PER_ROW: Final = 4


class SettingsCallback(CallbackData, prefix="set"):
    """A button of the settings.

    Attributes:
        action: `show`, `quiet` and `clock` open a page; `news` switches news on or off; `hours` sets quiet hours and
            `off` clears them; `ahead` sets the clock.
        begin: With `hours`, the hour at which quiet hours begin, in local time; with `ahead`, how many hours the
            user's clock is ahead of UTC.
        end: With `hours`, the hour at which quiet hours end, in local time.
    """

    action: Literal["show", "news", "quiet", "clock", "hours", "off", "ahead"]
    begin: int = 0
    end: int = 0


def _format_hour(hour: int) -> str:
    return f"{hour % 24:02}:00"


def _local_time(utc_offset: int) -> str:
    """The current time on a clock that is `utc_offset` hours ahead of UTC."""
    return f"{datetime.now(UTC) + timedelta(hours=utc_offset):%H:%M}"


def _rows(buttons: list[InlineKeyboardButton], columns: int) -> list[list[InlineKeyboardButton]]:
    return [buttons[i : i + columns] for i in range(0, len(buttons), columns)]


def _back_button(ctx: UserContext, action: Literal["show", "quiet"]) -> InlineKeyboardButton:
    return button(ctx.t("button.back"), SettingsCallback(action=action))


async def _settings_page(ctx: UserContext) -> View:
    preferences = await get_preferences(ctx.db, ctx.user.id)
    quiet = _quiet_text(ctx, preferences)
    news = ctx.t("settings.news.on" if preferences.wants_news else "settings.news.off")
    lines = [ctx.t("settings.title"), "", news, quiet]
    news_button = "settings.button.news_off" if preferences.wants_news else "settings.button.news_on"
    return "\n".join(lines), keyboard(
        [
            [button(ctx.t(news_button), SettingsCallback(action="news"))],
            [button(ctx.t("settings.button.quiet"), SettingsCallback(action="quiet"))],
            [button(ctx.t("button.language"), MenuCallback(place="language"))],
            menu_row(ctx),
        ]
    )


def _quiet_text(ctx: UserContext, preferences: Preferences) -> str:
    hours = preferences.local_quiet_hours
    if hours is None:
        return ctx.t("settings.quiet.off")
    now = _local_time(preferences.utc_offset or 0)
    return ctx.t("settings.quiet.on", begin=_format_hour(hours[0]), end=_format_hour(hours[1]), now=now)


def _quiet_hours_page(ctx: UserContext, preferences: Preferences) -> View:
    """The page to choose quiet hours, or to set the clock first if the user has not set it."""
    if preferences.utc_offset is None:
        return _clock_page(ctx, back="show")
    chosen = preferences.local_quiet_hours
    windows = [
        button(
            f"{'✓ ' if (begin, end) == chosen else ''}{begin}–{end}",
            SettingsCallback(action="hours", begin=begin, end=end),
        )
        for begin, end in _WINDOWS
    ]
    rows = _rows(windows, _WINDOWS_PER_ROW)
    if chosen is not None:
        rows.append([button(ctx.t("settings.button.quiet_off"), SettingsCallback(action="off"))])
    rows.append([button(ctx.t("settings.button.clock"), SettingsCallback(action="clock"))])
    text = ctx.t("settings.quiet.ask", now=_local_time(preferences.utc_offset))
    return text, keyboard([*rows, [_back_button(ctx, "show")]])


def _clock_page(ctx: UserContext, *, back: Literal["show", "quiet"]) -> View:
    """The page to set the clock. Users tap the time that their clock shows instead of an offset from UTC."""
    offsets = sorted(range(24), key=_local_time)
    hours = [button(_local_time(each), SettingsCallback(action="ahead", begin=each)) for each in offsets]
    return ctx.t("settings.clock.ask"), keyboard([*_rows(hours, _HOURS_PER_ROW), [_back_button(ctx, back)]])


@router.message(Command("settings"))
async def _settings(message: Message, ctx: UserContext) -> None:
    """Change news, quiet hours and language."""
    await ctx.send(*await _settings_page(ctx))


@router.callback_query(MenuCallback.filter(F.place == "settings"))
@router.callback_query(SettingsCallback.filter(F.action == "show"))
async def _open_settings(callback: CallbackQuery, ctx: UserContext) -> None:
    await answer_callback(callback)
    await ctx.edit_or_send(callback, *await _settings_page(ctx))


@router.callback_query(SettingsCallback.filter(F.action == "news"))
async def _toggle_news(callback: CallbackQuery, ctx: UserContext) -> None:
    await toggle_news(ctx.db, ctx.user.id)
    await _open_settings(callback, ctx)


@router.callback_query(SettingsCallback.filter(F.action == "quiet"))
async def _choose_quiet_hours(callback: CallbackQuery, ctx: UserContext) -> None:
    await answer_callback(callback)
    await ctx.edit_or_send(callback, *_quiet_hours_page(ctx, await get_preferences(ctx.db, ctx.user.id)))


@router.callback_query(SettingsCallback.filter(F.action == "clock"))
async def _choose_clock(callback: CallbackQuery, ctx: UserContext) -> None:
    await answer_callback(callback)
    await ctx.edit_or_send(callback, *_clock_page(ctx, back="quiet"))


@router.callback_query(SettingsCallback.filter(F.action == "ahead"))
async def _set_clock(callback: CallbackQuery, callback_data: SettingsCallback, ctx: UserContext) -> None:
    await set_clock(ctx.db, ctx.user.id, callback_data.begin)
    await _choose_quiet_hours(callback, ctx)


@router.callback_query(SettingsCallback.filter(F.action == "hours"))
async def _set_hours(callback: CallbackQuery, callback_data: SettingsCallback, ctx: UserContext) -> None:
    await set_quiet_hours(ctx.db, ctx.user.id, callback_data.begin, callback_data.end)
    await _open_settings(callback, ctx)


@router.callback_query(SettingsCallback.filter(F.action == "off"))
async def _disable_quiet_hours(callback: CallbackQuery, ctx: UserContext) -> None:
    await clear_quiet_hours(ctx.db, ctx.user.id)
    await _open_settings(callback, ctx)
