"""What all sending methods share: reply, keyboard, protection, and the message that comes of it."""

from typing import Any

from sandbox.telegram.api.call import ApiCall
from sandbox.telegram.api.keyboards import parse_inline_keyboard, parse_reply_keyboard
from sandbox.telegram.api.requests import AnyMethod
from sandbox.telegram.errors import bad_request
from sandbox.telegram.state.chats import Chat, Entry
from sandbox.telegram.text.formatting import unwrap_default

Json = dict[str, Any]


def add_bot_message(call: ApiCall, method: AnyMethod, content: Json, *, chat: Chat | None = None) -> Entry:
    """Put a message with this content into the method's chat."""
    params: Any = method
    chat = chat or call.get_writable_chat(params.chat_id)
    content = {**reply_fields(call, chat, method), **content}
    markup = getattr(method, "reply_markup", None)
    if shown := parse_inline_keyboard(markup):
        content["reply_markup"] = shown
    if unwrap_default(getattr(method, "protect_content", None)):
        content["has_protected_content"] = True
    if effect := getattr(method, "message_effect_id", None):
        content["effect_id"] = effect
    keyboard = parse_reply_keyboard(markup)
    entry = call.state.add_entry(chat, content, sender=call.bot.to_telegram_user(), by_bot=True)
    if keyboard is not None:
        entry.reply_keyboard = keyboard
        chat.reply_keyboard = None if "remove_keyboard" in keyboard else keyboard
        call.state.save_chat(chat)
        call.state.save_entry(chat, entry)
    return entry


def reply_fields(call: ApiCall, chat: Chat, method: AnyMethod) -> Json:
    """The message that this one answers, without what that one answered itself."""
    parameters = unwrap_default(getattr(method, "reply_parameters", None))
    message_id = parameters.message_id if parameters else getattr(method, "reply_to_message_id", None)
    if not message_id:
        return {}
    entry = chat.find_entry(message_id)
    if entry is None:
        optional = parameters.allow_sending_without_reply if parameters else method.allow_sending_without_reply  # type: ignore[attr-defined]
        if unwrap_default(optional):
            return {}
        raise bad_request("message to be replied not found")
    quoted = {name: value for name, value in entry.message.items() if name != "reply_to_message"}
    return {"reply_to_message": quoted}
