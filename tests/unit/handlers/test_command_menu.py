"""`/admin`: every admin command has a button and a function."""

from typing import Any, cast

from handlers.admin.command_menu import command_functions
from services.messaging.command_menu import ADMIN_COMMANDS


def test_command_functions_cover_every_admin_command() -> None:
    nothing = cast("Any", None)
    assert set(command_functions(nothing, nothing)) == set(ADMIN_COMMANDS) - {"admin"}
