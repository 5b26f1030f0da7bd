"""Methods that send texts, dice and actions, and copy or forward messages."""

import random
from typing import Any

from aiogram.methods import CopyMessage, ForwardMessage, SendChatAction, SendDice, SendMessage

from sandbox.telegram.calls import Call, carries_out
from sandbox.telegram.errors import bad_request
from sandbox.telegram.sending import send
from sandbox.telegram.text import checked_caption, plain_value, require_text

Json = dict[str, Any]

_DICE = {"🎲": 6, "🎯": 6, "🎳": 6, "🏀": 5, "⚽": 5, "⚽️": 5, "🎰": 64}
_ACTIONS = frozenset(
    (
        *("typing", "upload_photo", "record_video", "upload_video", "record_voice", "upload_voice"),
        *("record_audio", "upload_audio", "upload_document", "choose_sticker", "find_location"),
        *("record_video_note", "upload_video_note", "cancel"),
    )
)
_NOT_COPIED = (
    "message_id",
    "date",
    "chat",
    "from",
    "reply_markup",
    "reply_to_message",
    "edit_date",
    "media_group_id",
)


@carries_out(SendMessage)
def send_message(call: Call, method: SendMessage) -> Json:
    text, entities = require_text(method.text, method.parse_mode, method.entities)
    content: Json = {"text": text}
    if entities:
        content["entities"] = entities
    if (preview := plain_value(method.link_preview_options)) is not None:
        content["link_preview_options"] = preview.model_dump(exclude_none=True, exclude_defaults=True)
    return send(call, method, content).message


@carries_out(SendDice)
def send_dice(call: Call, method: SendDice) -> Json:
    emoji = method.emoji or "🎲"
    if emoji not in _DICE:
        raise bad_request("EMOTICON_INVALID")
    chat = call.writable_chat(method.chat_id)
    value = call.world.dice.pop(0) if call.world.dice else random.randint(1, _DICE[emoji])
    return send(call, method, {"dice": {"emoji": emoji, "value": value}}, chat=chat).message


@carries_out(SendChatAction)
def send_chat_action(call: Call, method: SendChatAction) -> bool:
    if method.action not in _ACTIONS:
        raise bad_request("wrong parameter action in request")
    call.writable_chat(method.chat_id).show_action(method.action)
    return True


@carries_out(CopyMessage)
def copy_message(call: Call, method: CopyMessage) -> Json:
    source = call.entry(call.chat(method.from_chat_id), method.message_id, "to copy")
    content = {name: value for name, value in source.message.items() if name not in _NOT_COPIED}
    if "invoice" in content or "successful_payment" in content:
        raise bad_request("message can't be copied")
    if method.caption is not None and "text" not in content:
        content.pop("caption", None)
        content.pop("caption_entities", None)
        caption, entities = checked_caption(method.caption, method.parse_mode, method.caption_entities)
        if caption:
            content["caption"] = caption
        if entities:
            content["caption_entities"] = entities
    return {"message_id": send(call, method, content).id}


@carries_out(ForwardMessage)
def forward_message(call: Call, method: ForwardMessage) -> Json:
    source = call.entry(call.chat(method.from_chat_id), method.message_id, "to forward")
    if source.message.get("has_protected_content"):
        raise bad_request("message has protected content and can't be forwarded")
    content = {name: value for name, value in source.message.items() if name not in _NOT_COPIED}
    content["forward_origin"] = {
        "type": "user",
        "sender_user": source.message["from"],
        "date": source.message["date"],
    }
    return send(call, method, content).message
