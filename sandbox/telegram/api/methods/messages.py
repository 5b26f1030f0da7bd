"""Methods that send text messages, dice and chat actions, and that copy or forward messages.

See https://core.telegram.org/bots/api#sendmessage. All raise ``ApiError`` 400 for what Telegram would refuse, and
403 where the bot was blocked.
"""

import random
import secrets
from typing import Any

from aiogram.methods import CopyMessage, CopyMessages, ForwardMessage, SendChatAction, SendDice, SendMessage

from sandbox.telegram.api.call import ApiCall, handles
from sandbox.telegram.api.keyboards import parse_inline_keyboard, parse_reply_keyboard
from sandbox.telegram.api.requests import AnyMethod
from sandbox.telegram.errors import bad_request
from sandbox.telegram.json_types import Json
from sandbox.telegram.state.chats import Chat, Entry
from sandbox.telegram.text.formatting import parse_caption, parse_message_text, unwrap_default

_DICE_SIDES = {"🎲": 6, "🎯": 6, "🎳": 6, "🏀": 5, "⚽": 5, "⚽️": 5, "🎰": 64}
_CHAT_ACTIONS = frozenset(
    (
        *("typing", "upload_photo", "record_video", "upload_video", "record_voice", "upload_voice"),
        *("record_audio", "upload_audio", "upload_document", "choose_sticker", "find_location"),
        *("record_video_note", "upload_video_note", "cancel"),
    )
)
_FIELDS_NOT_COPIED = (
    "message_id",
    "date",
    "chat",
    "from",
    "reply_markup",
    "reply_to_message",
    "edit_date",
    "media_group_id",
)


def add_bot_message(call: ApiCall, method: AnyMethod, content: Json, *, chat: Chat | None = None) -> Entry:
    """Add a message of the bot to a chat, with the reply, the keyboard and the effect that its method names.

    Args:
        call: The call.
        method: Any method that sends a message.
        content: The fields of ``Message`` that hold the content.
        chat: The chat, where the caller has already looked it up.

    Returns:
        The transcript's entry.

    Raises:
        ApiError: 400 for an invalid keyboard or an unknown message to reply to; as ``get_writable_chat``.
    """
    params: Any = method
    chat = chat or call.get_writable_chat(params.chat_id)
    content = {**_reply_fields(call, chat, method), **content}
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


def _reply_fields(call: ApiCall, chat: Chat, method: AnyMethod) -> Json:
    """``reply_to_message``: the message to reply to, without its own ``reply_to_message``."""
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


def new_media_group_id() -> str:
    """Return a new ``media_group_id``, which the messages of an album share."""
    return str(secrets.randbelow(9 * 10**16) + 10**16)


@handles(SendMessage)
def send_message(call: ApiCall, method: SendMessage) -> Json:
    """Send a text message."""
    text, entities = parse_message_text(method.text, method.parse_mode, method.entities)
    content: Json = {"text": text}
    if entities:
        content["entities"] = entities
    if (preview := unwrap_default(method.link_preview_options)) is not None:
        content["link_preview_options"] = preview.model_dump(exclude_none=True, exclude_defaults=True)
    return add_bot_message(call, method, content).message


@handles(SendDice)
def send_dice(call: ApiCall, method: SendDice) -> Json:
    """Send a dice with a random value, or with the next one that the control API has set."""
    emoji = method.emoji or "🎲"
    if emoji not in _DICE_SIDES:
        raise bad_request("EMOTICON_INVALID")
    chat = call.get_writable_chat(method.chat_id)
    value = call.state.next_dice.pop(0) if call.state.next_dice else random.randint(1, _DICE_SIDES[emoji])
    return add_bot_message(call, method, {"dice": {"emoji": emoji, "value": value}}, chat=chat).message


@handles(SendChatAction)
def send_chat_action(call: ApiCall, method: SendChatAction) -> bool:
    """Show a chat action such as ``typing``."""
    if method.action not in _CHAT_ACTIONS:
        raise bad_request("wrong parameter action in request")
    call.get_writable_chat(method.chat_id).show_action(method.action)
    return True


@handles(CopyMessage)
def copy_message(call: ApiCall, method: CopyMessage) -> Json:
    """Copy a message, maybe with another caption; invoices and payments cannot be copied."""
    source = call.get_entry(call.get_chat(method.from_chat_id), method.message_id, "to copy")
    content = {name: value for name, value in source.message.items() if name not in _FIELDS_NOT_COPIED}
    if "invoice" in content or "successful_payment" in content:
        raise bad_request("message can't be copied")
    if method.caption is not None and "text" not in content:
        content.pop("caption", None)
        content.pop("caption_entities", None)
        caption, entities = parse_caption(method.caption, method.parse_mode, method.caption_entities)
        if caption:
            content["caption"] = caption
        if entities:
            content["caption_entities"] = entities
    return {"message_id": add_bot_message(call, method, content).id}


@handles(CopyMessages)
def copy_messages(call: ApiCall, method: CopyMessages) -> list[Json]:
    """Copy up to 100 messages; albums stay albums, and what does not exist or cannot be copied is skipped."""
    if not 1 <= len(method.message_ids) <= 100:
        raise bad_request("wrong number of message identifiers specified")
    source, chat = call.get_chat(method.from_chat_id), call.get_writable_chat(method.chat_id)
    groups: dict[str, str] = {}
    copied = []
    for message_id in method.message_ids:
        entry = source.find_entry(message_id)
        if entry is None or "invoice" in entry.message or "successful_payment" in entry.message:
            continue
        content = {name: value for name, value in entry.message.items() if name not in _FIELDS_NOT_COPIED}
        if (group := entry.message.get("media_group_id")) is not None:
            content["media_group_id"] = groups.setdefault(group, new_media_group_id())
        if method.remove_caption:
            content.pop("caption", None)
            content.pop("caption_entities", None)
        copied.append({"message_id": add_bot_message(call, method, content, chat=chat).id})
    if not copied:
        raise bad_request("there are no messages to copy")
    return copied


@handles(ForwardMessage)
def forward_message(call: ApiCall, method: ForwardMessage) -> Json:
    """Forward a message, unless its content is protected."""
    source = call.get_entry(call.get_chat(method.from_chat_id), method.message_id, "to forward")
    if source.message.get("has_protected_content"):
        raise bad_request("message has protected content and can't be forwarded")
    content = {name: value for name, value in source.message.items() if name not in _FIELDS_NOT_COPIED}
    content["forward_origin"] = {
        "type": "user",
        "sender_user": source.message["from"],
        "date": source.message["date"],
    }
    return add_bot_message(call, method, content).message
