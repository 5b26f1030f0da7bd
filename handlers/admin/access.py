"""Who may use the admins' commands. For everybody else they do not exist: no answer tells of them."""

from aiogram.types import TelegramObject

from handlers.context import Desk


async def is_admin(event: TelegramObject, desk: Desk) -> bool:
    """A filter for routers: whether an update comes from an admin."""
    return desk.user.id in desk.studio.admins
