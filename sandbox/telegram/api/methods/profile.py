"""Methods about the bot itself: its profile, texts and commands (https://core.telegram.org/bots/api#getme)."""

import re

from aiogram.methods import (
    DeleteMyCommands,
    GetChatMenuButton,
    GetMe,
    GetMyCommands,
    GetMyDescription,
    GetMyName,
    GetMyShortDescription,
    SetChatMenuButton,
    SetMyCommands,
    SetMyDescription,
    SetMyName,
    SetMyShortDescription,
)
from pydantic import BaseModel

from sandbox.telegram.api.call import ApiCall, handles
from sandbox.telegram.errors import bad_request
from sandbox.telegram.json_types import Json
from sandbox.telegram.state.bots import command_scope_key, localized


@handles(GetMe)
def get_me(call: ApiCall, _method: GetMe) -> Json:
    """Return the bot's own ``User`` object."""
    return {
        **call.bot.to_telegram_user(),
        "can_join_groups": True,
        "can_read_all_group_messages": False,
        "supports_inline_queries": False,
        "can_connect_to_business": False,
        "has_main_web_app": False,
    }


def _save_bot(call: ApiCall) -> bool:
    call.state.store.save("bot", call.bot.id, call.bot.to_record())
    return True


def _set_text(
    call: ApiCall, texts: dict[str, str], value: str | None, language: str | None, max_length: int, name: str
) -> bool:
    if value and len(value) > max_length:
        raise bad_request(f"{name} is too long")
    if value:
        texts[language or ""] = value
    else:
        texts.pop(language or "", None)
    return _save_bot(call)


@handles(SetMyName)
def set_my_name(call: ApiCall, method: SetMyName) -> bool:
    """Set or remove the bot's name for a language; up to 64 characters."""
    return _set_text(call, call.bot.names, method.name, method.language_code, 64, "bot name")


@handles(GetMyName)
def get_my_name(call: ApiCall, method: GetMyName) -> Json:
    """Return the bot's name for a language, or else the default one."""
    return {"name": localized(call.bot.names, method.language_code) or call.bot.to_telegram_user()["first_name"]}


@handles(SetMyDescription)
def set_my_description(call: ApiCall, method: SetMyDescription) -> bool:
    """Set or remove the bot's description for a language; up to 512 characters."""
    return _set_text(call, call.bot.descriptions, method.description, method.language_code, 512, "bot description")


@handles(GetMyDescription)
def get_my_description(call: ApiCall, method: GetMyDescription) -> Json:
    """Return the bot's description for a language, or else the default one."""
    return {"description": localized(call.bot.descriptions, method.language_code)}


@handles(SetMyShortDescription)
def set_my_short_description(call: ApiCall, method: SetMyShortDescription) -> bool:
    """Set or remove the bot's short description for a language; up to 120 characters."""
    texts = call.bot.short_descriptions
    return _set_text(call, texts, method.short_description, method.language_code, 120, "bot short description")


@handles(GetMyShortDescription)
def get_my_short_description(call: ApiCall, method: GetMyShortDescription) -> Json:
    """Return the bot's short description for a language, or else the default one."""
    return {"short_description": localized(call.bot.short_descriptions, method.language_code)}


def _scope_key(scope: BaseModel | None, language: str | None) -> str:
    return command_scope_key(
        scope.model_dump(exclude_none=True, mode="json") if scope else {"type": "default"}, language
    )


@handles(SetMyCommands)
def set_my_commands(call: ApiCall, method: SetMyCommands) -> bool:
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
    key = _scope_key(method.scope, method.language_code)
    if kept:
        call.bot.commands[key] = kept
    else:
        call.bot.commands.pop(key, None)
    return _save_bot(call)


@handles(GetMyCommands)
def get_my_commands(call: ApiCall, method: GetMyCommands) -> list[Json]:
    """Return the commands set for exactly this scope and language."""
    return call.bot.commands.get(_scope_key(method.scope, method.language_code), [])


@handles(DeleteMyCommands)
def delete_my_commands(call: ApiCall, method: DeleteMyCommands) -> bool:
    """Remove the commands for a scope and a language."""
    call.bot.commands.pop(_scope_key(method.scope, method.language_code), None)
    return _save_bot(call)


@handles(SetChatMenuButton)
def set_chat_menu_button(call: ApiCall, method: SetChatMenuButton) -> bool:
    """Set the menu button; the sandbox has one for all chats."""
    if method.chat_id is not None:
        call.get_chat(method.chat_id)
    button = method.menu_button
    call.bot.menu_button = button.model_dump(exclude_none=True, mode="json") if button else {"type": "default"}
    return _save_bot(call)


@handles(GetChatMenuButton)
def get_chat_menu_button(call: ApiCall, _method: GetChatMenuButton) -> Json:
    """Return the menu button."""
    return call.bot.menu_button
