"""Methods about the bot itself: its profile, texts and commands (https://core.telegram.org/bots/api#getme)."""

import re
from functools import partial
from typing import Any

from aiogram import methods
from pydantic import BaseModel

from sandbox.telegram.api.call import ApiCall, handles
from sandbox.telegram.errors import bad_request
from sandbox.telegram.json_types import Json
from sandbox.telegram.state.bots import command_scope_key, localized


@handles(methods.GetMe)
def get_me(call: ApiCall, _method: methods.GetMe) -> Json:
    """Return the bot's own ``User`` object."""
    return {
        **call.bot.to_telegram_user(),
        "can_join_groups": True,
        "can_read_all_group_messages": False,
        "supports_inline_queries": False,
        "can_connect_to_business": False,
        "has_main_web_app": False,
    }


def _set_text(field: str, attribute: str, what: str, max_length: int, call: ApiCall, method: Any) -> bool:
    """Keep the text in a method's field as the bot's attribute; ``what`` is the name of both in Telegram's error."""
    value, texts = getattr(method, field), getattr(call.bot, attribute)
    if value and len(value) > max_length:
        raise bad_request(f"{what} is too long")
    texts[method.language_code or ""] = value or ""
    call.state.save_bot(call.bot)
    return True


handles(methods.SetMyName)(partial(_set_text, "name", "names", "bot name", 64))
handles(methods.SetMyDescription)(partial(_set_text, "description", "descriptions", "bot description", 512))
handles(methods.SetMyShortDescription)(
    partial(_set_text, "short_description", "short_descriptions", "bot short description", 120)
)


@handles(methods.GetMyShortDescription)
def get_my_short_description(call: ApiCall, method: methods.GetMyShortDescription) -> Json:
    """Return the bot's short description for a language, or else the default one."""
    return {"short_description": localized(call.bot.short_descriptions, method.language_code)}


def _scope_key(scope: BaseModel | None, language: str | None) -> str:
    about = scope.model_dump(exclude_none=True, mode="json") if scope else {"type": "default"}
    return command_scope_key(about, language)


@handles(methods.SetMyCommands)
def set_my_commands(call: ApiCall, method: methods.SetMyCommands) -> bool:
    """Set the bot's commands for a scope and a language.

    Raises:
        ApiError: 400 for more than 100 commands, or for an invalid name or description.
    """
    if len(method.commands) > 100:
        raise bad_request("BOT_COMMANDS_TOO_MUCH")
    for command in method.commands:
        if not re.fullmatch(r"/?[a-z0-9_]{1,32}", command.command):
            raise bad_request("BOT_COMMAND_INVALID")
        if not 1 <= len(command.description) <= 256:
            raise bad_request("BOT_COMMAND_DESCRIPTION_INVALID")
    kept = [{"command": c.command.lstrip("/"), "description": c.description} for c in method.commands]
    call.bot.commands[_scope_key(method.scope, method.language_code)] = kept
    call.state.save_bot(call.bot)
    return True


@handles(methods.GetMyCommands)
def get_my_commands(call: ApiCall, method: methods.GetMyCommands) -> list[Json]:
    """Return the commands set for exactly this scope and language."""
    return call.bot.commands.get(_scope_key(method.scope, method.language_code), [])


@handles(methods.DeleteMyCommands)
def delete_my_commands(call: ApiCall, method: methods.DeleteMyCommands) -> bool:
    """Remove the commands for a scope and a language."""
    call.bot.commands.pop(_scope_key(method.scope, method.language_code), None)
    call.state.save_bot(call.bot)
    return True
