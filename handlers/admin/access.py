"""Who may use the admins' commands. For everybody else they do not exist: no answer tells of them."""

from aiogram.types import TelegramObject

from handlers.context import UserContext


async def is_admin(event: TelegramObject, ctx: UserContext) -> bool:
    """A filter for routers: whether an update comes from an admin."""
    return ctx.user.id in ctx.app.admins
