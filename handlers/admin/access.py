"""Restricts commands to admins. Other users never learn that they exist: no answer mentions them."""

from collections.abc import Awaitable, Callable

from aiogram.types import TelegramObject

from handlers.context import UserContext

CommandFunction = Callable[[UserContext, str], Awaitable[None]]
"""Answers a command. Called with the context and the text after the command, which may be empty."""


async def is_admin(event: TelegramObject, ctx: UserContext) -> bool:
    """A router filter: whether the update comes from an admin."""
    return ctx.is_admin
