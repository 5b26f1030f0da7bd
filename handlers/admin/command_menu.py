"""`/admin`: every command of those who run the bot, as a button. A tap is as good as writing the command; one that
needs more words says how it is written."""

from datetime import UTC, datetime
from typing import Any, Final

from aiogram import Router
from aiogram.filters import Command
from aiogram.filters.callback_data import CallbackData
from aiogram.types import CallbackQuery, InlineKeyboardMarkup, Message

from handlers.admin.access import is_admin
from handlers.context import UserContext, answer_callback
from services.admin.command_menu import ADMIN_COMMANDS, set_admin_commands
from services.messaging.buttons import button, keyboard, menu_button

router = Router(name="admin_menu")
router.message.filter(is_admin)
router.callback_query.filter(is_admin)

_EMOJI: Final = {
    "plan": "🔀", "dashboard": "📊", "stats": "📈", "user": "👤", "refund": "↩️", "reconcile": "🧮", "promo": "🎟",
    "grant": "🎁", "broadcast": "📣", "hello": "👋",
}  # fmt: skip


class AdminCommandCallback(CallbackData, prefix="adm"):
    """A command, as if it were written."""

    command: str


def admin_keyboard(ctx: UserContext) -> InlineKeyboardMarkup:
    buttons = [
        button(f"{_EMOJI.get(command, '•')} /{command}", AdminCommandCallback(command=command))
        for command in ADMIN_COMMANDS
        if command != "admin"
    ]
    rows = [buttons[i : i + 2] for i in range(0, len(buttons), 2)]
    return keyboard([*rows, [menu_button(ctx.app.texts, ctx.user.language)]])


@router.message(Command("admin"))
async def _admin(message: Message, ctx: UserContext) -> None:
    lines = [f"/{command} — {ctx.t(f'admin.{command}')}" for command in ADMIN_COMMANDS if command != "admin"]
    await ctx.send("\n".join([ctx.t("admin.title"), "", *lines]), admin_keyboard(ctx))
    # Somebody who became an admin, or first wrote, after the start has the commands in the menu from now on.
    announcing = set_admin_commands(ctx.bot, ctx.app.texts, ctx.user.id, ctx.user.language)
    ctx.app.background.spawn(announcing, f"commands of {ctx.user.id}")


@router.callback_query(AdminCommandCallback.filter())
async def _run_command(
    callback: CallbackQuery, callback_data: AdminCommandCallback, ctx: UserContext, **data: Any
) -> None:
    """Hand the command to whichever handler it belongs to."""
    root = router.parent_router
    if callback_data.command not in ADMIN_COMMANDS or callback.message is None or root is None:
        await answer_callback(callback, ctx.t("stale.button"), alert=True)
        return
    await answer_callback(callback)
    command_message = Message(
        message_id=callback.message.message_id,
        date=datetime.now(UTC),
        chat=callback.message.chat,
        from_user=callback.from_user,
        text=f"/{callback_data.command}",
    ).as_(ctx.bot)
    await root.propagate_event("message", command_message, ctx=ctx, **data)
