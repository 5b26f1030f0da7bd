"""`/admin`: every command of those who run the bot, as a button. A tap is as good as writing the command; one that
needs more words says how it is written."""

from datetime import UTC, datetime
from typing import Any, Final

from aiogram import Router
from aiogram.filters import Command
from aiogram.filters.callback_data import CallbackData
from aiogram.types import CallbackQuery, InlineKeyboardMarkup, Message

from handlers.admin.access import is_admin
from handlers.context import Desk, answer
from services.admin.command_menu import ADMIN_COMMANDS, announce_to_admin
from services.messaging.buttons import button, keyboard, menu_button

router = Router(name="admin_menu")
router.message.filter(is_admin)
router.callback_query.filter(is_admin)

_EMOJI: Final = {
    "plan": "🔀", "dashboard": "📊", "stats": "📈", "user": "👤", "refund": "↩️", "reconcile": "🧮", "promo": "🎟",
    "grant": "🎁", "broadcast": "📣", "hello": "👋",
}  # fmt: skip


class AdminTap(CallbackData, prefix="adm"):
    """A command, as if it were written."""

    command: str


def admin_keyboard(desk: Desk) -> InlineKeyboardMarkup:
    buttons = [
        button(f"{_EMOJI.get(command, '•')} /{command}", AdminTap(command=command))
        for command in ADMIN_COMMANDS
        if command != "admin"
    ]
    rows = [buttons[i : i + 2] for i in range(0, len(buttons), 2)]
    return keyboard([*rows, [menu_button(desk.studio.texts, desk.user.language)]])


@router.message(Command("admin"))
async def admin(message: Message, desk: Desk) -> None:
    lines = [f"/{command} — {desk.t(f'admin.{command}')}" for command in ADMIN_COMMANDS if command != "admin"]
    await desk.say("\n".join([desk.t("admin.title"), "", *lines]), admin_keyboard(desk))
    # Somebody who became an admin, or first wrote, after the start has the commands in the menu from now on.
    announcing = announce_to_admin(desk.bot, desk.studio.texts, desk.user.id, desk.user.language)
    desk.studio.background.spawn(announcing, f"commands of {desk.user.id}")


@router.callback_query(AdminTap.filter())
async def act(tap: CallbackQuery, callback_data: AdminTap, desk: Desk, **data: Any) -> None:
    """Hand the command to whichever handler it belongs to."""
    root = router.parent_router
    if callback_data.command not in ADMIN_COMMANDS or tap.message is None or root is None:
        await answer(tap, desk.t("stale.button"), alert=True)
        return
    await answer(tap)
    written = Message(
        message_id=tap.message.message_id,
        date=datetime.now(UTC),
        chat=tap.message.chat,
        from_user=tap.from_user,
        text=f"/{callback_data.command}",
    ).as_(desk.bot)
    await root.propagate_event("message", written, desk=desk, **data)
