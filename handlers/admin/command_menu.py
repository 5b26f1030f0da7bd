"""`/admin`: every admin command as a button. A tap does the same as the command without arguments."""

from collections.abc import Mapping
from functools import partial
from typing import Final

from aiogram import Router
from aiogram.filters import Command
from aiogram.filters.callback_data import CallbackData
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery, InlineKeyboardMarkup, Message

from handlers.admin.access import CommandFunction, is_admin
from handlers.admin.broadcast import create_draft
from handlers.admin.dashboard import send_dashboard_link
from handlers.admin.hello import say_hello
from handlers.admin.plan import show_plan
from handlers.admin.reconcile import start_reconciliation
from handlers.admin.refunds import show_payments
from handlers.admin.stats import show_stats
from handlers.admin.user_card import grant, show_user
from handlers.billing.promo import run_promo
from handlers.context import UserContext, answer_callback, answer_stale
from handlers.views import menu_row
from services.admin.dashboard_auth import DashboardAuth
from services.messaging.buttons import button, keyboard
from services.messaging.command_menu import ADMIN_COMMANDS, set_admin_commands

router = Router(name="command_menu")
router.message.filter(is_admin)
router.callback_query.filter(is_admin)

_EMOJI: Final = {
    "plan": "🔀", "dashboard": "📊", "stats": "📈", "user": "👤", "refund": "↩️", "reconcile": "🧮", "promo": "🎟",
    "grant": "🎁", "broadcast": "📣", "hello": "👋",
}  # fmt: skip


class AdminCommandCallback(CallbackData, prefix="adm"):
    """A tap that runs a command.

    Attributes:
        command: The command, without its slash.
    """

    command: str


def command_functions(dashboard_auth: DashboardAuth, state: FSMContext) -> Mapping[str, CommandFunction]:
    """The functions that answer the admin commands except `/admin`, by command. The commands' handlers use them too.

    Args:
        dashboard_auth: Creates the links to the dashboard.
        state: The admin's conversation, which a new broadcast clears.
    """
    return {
        "plan": show_plan,
        "dashboard": partial(send_dashboard_link, dashboard_auth),
        "stats": show_stats,
        "user": show_user,
        "refund": show_payments,
        "reconcile": start_reconciliation,
        "promo": run_promo,
        "grant": grant,
        "broadcast": partial(create_draft, state),
        "hello": say_hello,
    }


@router.message(Command("admin"))
async def _admin(message: Message, ctx: UserContext) -> None:
    """Show the admin commands as buttons."""
    lines = [f"/{command} — {ctx.t(f'admin.{command}')}" for command in ADMIN_COMMANDS if command != "admin"]
    await ctx.send("\n".join([ctx.t("admin.title"), "", *lines]), _keyboard(ctx))
    # At its start, the bot can set the menu only for admins who had already written to it.
    announcement = set_admin_commands(ctx.bot, ctx.texts, ctx.user.id, ctx.language)
    ctx.background.spawn(announcement, f"commands of {ctx.user.id}")


@router.callback_query(AdminCommandCallback.filter())
async def _run_command(
    callback: CallbackQuery,
    callback_data: AdminCommandCallback,
    ctx: UserContext,
    dashboard_auth: DashboardAuth,
    state: FSMContext,
) -> None:
    """Answer as if the command had been sent without arguments. A command that needs some answers with its usage."""
    run = command_functions(dashboard_auth, state).get(callback_data.command)
    if run is None:
        await answer_stale(callback, ctx)
        return
    await answer_callback(callback)
    await run(ctx, "")


def _keyboard(ctx: UserContext) -> InlineKeyboardMarkup:
    buttons = [
        button(f"{_EMOJI.get(command, '•')} /{command}", AdminCommandCallback(command=command))
        for command in ADMIN_COMMANDS
        if command != "admin"
    ]
    rows = [buttons[i : i + 2] for i in range(0, len(buttons), 2)]
    return keyboard([*rows, menu_row(ctx)])
