"""Who may use the admins' commands. For all others they do not exist: no answer mentions them."""

from collections.abc import Awaitable, Callable

from aiogram.types import TelegramObject

from handlers.context import UserContext

CommandFunction = Callable[[UserContext, str], Awaitable[None]]
"""Answers a command: called with the context and what was written after the command, which may be empty."""


async def is_admin(event: TelegramObject, ctx: UserContext) -> bool:
    """A filter for routers: whether an update comes from an admin."""
    return ctx.is_admin
