"""Methods about the bot itself: who it is, its texts, its commands."""

import json
import re
from typing import Any

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

from sandbox.telegram.api.call import Call, carries_out
from sandbox.telegram.errors import bad_request
from sandbox.telegram.state.bots import BotAccount

Json = dict[str, Any]


@carries_out(GetMe)
def get_me(call: Call, _method: GetMe) -> Json:
    return {
        **call.bot.user(),
        "can_join_groups": True,
        "can_read_all_group_messages": False,
        "supports_inline_queries": False,
        "can_connect_to_business": False,
        "has_main_web_app": False,
    }


def _save(call: Call) -> bool:
    call.world.store.save("bot", call.bot.id, call.bot.record())
    return True


def _set_text(
    call: Call, texts: dict[str, str], value: str | None, language: str | None, most: int, name: str
) -> bool:
    if value and len(value) > most:
        raise bad_request(f"{name} is too long")
    if value:
        texts[language or ""] = value
    else:
        texts.pop(language or "", None)
    return _save(call)


def _text(texts: dict[str, str], language: str | None) -> str:
    return texts.get(language or "") or texts.get("", "")


@carries_out(SetMyName)
def set_my_name(call: Call, method: SetMyName) -> bool:
    return _set_text(call, call.bot.names, method.name, method.language_code, 64, "bot name")


@carries_out(GetMyName)
def get_my_name(call: Call, method: GetMyName) -> Json:
    return {"name": _text(call.bot.names, method.language_code) or call.bot.user()["first_name"]}


@carries_out(SetMyDescription)
def set_my_description(call: Call, method: SetMyDescription) -> bool:
    return _set_text(call, call.bot.descriptions, method.description, method.language_code, 512, "bot description")


@carries_out(GetMyDescription)
def get_my_description(call: Call, method: GetMyDescription) -> Json:
    return {"description": _text(call.bot.descriptions, method.language_code)}


@carries_out(SetMyShortDescription)
def set_my_short_description(call: Call, method: SetMyShortDescription) -> bool:
    texts = call.bot.short_descriptions
    return _set_text(call, texts, method.short_description, method.language_code, 120, "bot short description")


@carries_out(GetMyShortDescription)
def get_my_short_description(call: Call, method: GetMyShortDescription) -> Json:
    return {"short_description": _text(call.bot.short_descriptions, method.language_code)}


def _scope_key(scope: BaseModel | None, language: str | None) -> str:
    shown = scope.model_dump(exclude_none=True, mode="json") if scope else {"type": "default"}
    return json.dumps([shown, language or ""], sort_keys=True)


@carries_out(SetMyCommands)
def set_my_commands(call: Call, method: SetMyCommands) -> bool:
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
    return _save(call)


@carries_out(GetMyCommands)
def get_my_commands(call: Call, method: GetMyCommands) -> list[Json]:
    return call.bot.commands.get(_scope_key(method.scope, method.language_code), [])


@carries_out(DeleteMyCommands)
def delete_my_commands(call: Call, method: DeleteMyCommands) -> bool:
    call.bot.commands.pop(_scope_key(method.scope, method.language_code), None)
    return _save(call)


@carries_out(SetChatMenuButton)
def set_chat_menu_button(call: Call, method: SetChatMenuButton) -> bool:
    if method.chat_id is not None:
        call.chat(method.chat_id)
    button = method.menu_button
    call.bot.menu_button = button.model_dump(exclude_none=True, mode="json") if button else {"type": "default"}
    return _save(call)


@carries_out(GetChatMenuButton)
def get_chat_menu_button(call: Call, _method: GetChatMenuButton) -> Json:
    return call.bot.menu_button


def shown_commands(bot: BotAccount, chat_id: int, language: str | None) -> list[Json]:
    """The commands a person sees in a chat, by Telegram's order of scopes and languages."""
    scopes: list[Json] = [{"chat_id": chat_id, "type": "chat"}]
    scopes.append({"type": "all_private_chats" if chat_id > 0 else "all_group_chats"})
    scopes.append({"type": "default"})
    for scope in scopes:
        for code in (language or "", ""):
            found = bot.commands.get(json.dumps([scope, code], sort_keys=True))
            if found:
                return found
    return []
