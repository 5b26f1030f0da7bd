"""Methods that send texts, dice and actions, and copy or forward messages."""

import random
import secrets
from typing import Any

from aiogram.methods import CopyMessage, CopyMessages, ForwardMessage, SendChatAction, SendDice, SendMessage

from sandbox.telegram.api.call import ApiCall, handles
from sandbox.telegram.api.sending import add_bot_message
from sandbox.telegram.errors import bad_request
from sandbox.telegram.text.formatting import parse_caption, parse_message_text, unwrap_default

Json = dict[str, Any]

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


@handles(SendMessage)
def send_message(call: ApiCall, method: SendMessage) -> Json:
    text, entities = parse_message_text(method.text, method.parse_mode, method.entities)
    content: Json = {"text": text}
    if entities:
        content["entities"] = entities
    if (preview := unwrap_default(method.link_preview_options)) is not None:
        content["link_preview_options"] = preview.model_dump(exclude_none=True, exclude_defaults=True)
    return add_bot_message(call, method, content).message


@handles(SendDice)
def send_dice(call: ApiCall, method: SendDice) -> Json:
    emoji = method.emoji or "🎲"
    if emoji not in _DICE_SIDES:
        raise bad_request("EMOTICON_INVALID")
    chat = call.get_writable_chat(method.chat_id)
    value = call.state.next_dice.pop(0) if call.state.next_dice else random.randint(1, _DICE_SIDES[emoji])
    return add_bot_message(call, method, {"dice": {"emoji": emoji, "value": value}}, chat=chat).message


@handles(SendChatAction)
def send_chat_action(call: ApiCall, method: SendChatAction) -> bool:
    if method.action not in _CHAT_ACTIONS:
        raise bad_request("wrong parameter action in request")
    call.get_writable_chat(method.chat_id).show_action(method.action)
    return True


@handles(CopyMessage)
def copy_message(call: ApiCall, method: CopyMessage) -> Json:
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
    """Albums stay albums; what cannot be found or copied is left out."""
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
            content["media_group_id"] = groups.setdefault(group, str(secrets.randbelow(9 * 10**16) + 10**16))
        if method.remove_caption:
            content.pop("caption", None)
            content.pop("caption_entities", None)
        copied.append({"message_id": add_bot_message(call, method, content, chat=chat).id})
    if not copied:
        raise bad_request("there are no messages to copy")
    return copied


@handles(ForwardMessage)
def forward_message(call: ApiCall, method: ForwardMessage) -> Json:
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
