"""Methods that send, copy or forward messages, and ``getFile``.

See https://core.telegram.org/bots/api#sendmessage. All that send raise ``ApiError`` 400 for what Telegram would
refuse, and 403 where the bot was blocked.
"""

import random
from functools import partial
from typing import Any

from aiogram import methods
from aiogram.enums import ChatAction

from sandbox.telegram.api.call import ApiCall, handles
from sandbox.telegram.api.content import (
    caption_fields,
    media_content,
    parse_inline_keyboard,
    parse_reply_keyboard,
    resolve_file,
)
from sandbox.telegram.errors import bad_request
from sandbox.telegram.json_types import Json
from sandbox.telegram.state.chats import Chat, Entry
from sandbox.telegram.state.server_state import new_id
from sandbox.telegram.text.formatting import parse_message_text, unwrap_default

_DOWNLOAD_LIMIT = 20 * 1024 * 1024
_DICE_SIDES = {"🎲": 6, "🎯": 6, "🎳": 6, "🏀": 5, "⚽": 5, "⚽️": 5, "🎰": 64}
_CHAT_ACTIONS = (*ChatAction, "record_audio", "upload_audio", "cancel")
_FIELDS_NOT_COPIED = (
    *("message_id", "date", "chat", "from", "reply_markup", "reply_to_message", "edit_date", "media_group_id"),
)


def add_bot_message(call: ApiCall, method: Any, content: Json, *, chat: Chat | None = None) -> Entry:
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
    chat = chat or call.get_writable_chat(method.chat_id)
    markup = getattr(method, "reply_markup", None)
    added: Json = {
        "reply_to_message": _quoted_message(chat, method),
        "reply_markup": parse_inline_keyboard(markup),
        "has_protected_content": unwrap_default(getattr(method, "protect_content", None)),
        "effect_id": getattr(method, "message_effect_id", None),
    }
    content = {**content, **{name: value for name, value in added.items() if value}}
    keyboard = parse_reply_keyboard(markup)
    entry = call.state.add_entry(chat, content, sender=call.bot.to_telegram_user(), by_bot=True)
    if keyboard is not None:
        entry.reply_keyboard = keyboard
        chat.reply_keyboard = None if "remove_keyboard" in keyboard else keyboard
        call.state.save_chat(chat)
        call.state.save_entry(chat, entry)
    return entry


def _quoted_message(chat: Chat, method: Any) -> Json | None:
    """The message to reply to, without its own ``reply_to_message``."""
    reply = unwrap_default(getattr(method, "reply_parameters", None))
    if reply is None:
        return None
    entry = chat.find_entry(reply.message_id)
    if entry is not None:
        return {name: value for name, value in entry.message.items() if name != "reply_to_message"}
    if unwrap_default(reply.allow_sending_without_reply):
        return None
    raise bad_request("message to be replied not found")


@handles(methods.SendMessage)
def send_message(call: ApiCall, method: methods.SendMessage) -> Json:
    """Send a text message."""
    text, entities = parse_message_text(method.text, method.parse_mode, method.entities)
    content: Json = {"text": text}
    if entities:
        content["entities"] = entities
    if (preview := unwrap_default(method.link_preview_options)) is not None:
        content["link_preview_options"] = preview.model_dump(exclude_none=True, exclude_defaults=True)
    return add_bot_message(call, method, content).message


def _send_media(kind: str, call: ApiCall, method: Any) -> Json:
    """Send one file; ``kind`` is the field of the method that holds it."""
    chat = call.get_writable_chat(method.chat_id)
    caption = caption_fields(method)
    stored = resolve_file(call, kind, getattr(method, kind))
    return add_bot_message(call, method, {**media_content(kind, stored, method), **caption}, chat=chat).message


for _cls in (
    methods.SendPhoto,
    methods.SendVideo,
    methods.SendAnimation,
    methods.SendAudio,
    methods.SendVoice,
    methods.SendDocument,
):
    handles(_cls)(partial(_send_media, _cls.__name__.removeprefix("Send").lower()))


@handles(methods.SendMediaGroup)
def send_media_group(call: ApiCall, method: methods.SendMediaGroup) -> list[Json]:
    """Send an album of 2 to 10 files; audio files and documents cannot be mixed with other kinds."""
    chat = call.get_writable_chat(method.chat_id)
    if len(method.media) > 10:
        raise bad_request("too many messages to send as an album")
    if len(method.media) < 2:
        raise bad_request("media group must include 2-10 items")
    kinds = {str(item.type) for item in method.media}
    if "animation" in kinds or (kinds & {"audio", "document"} and len(kinds) > 1):
        raise bad_request("can't use the media of the specified type in the album")
    contents = []
    for item in method.media:
        caption = caption_fields(item)
        stored = resolve_file(call, str(item.type), item.media)
        contents.append({**media_content(str(item.type), stored, item), **caption})
    group = new_id()
    return [
        add_bot_message(call, method, {**content, "media_group_id": group}, chat=chat).message
        for content in contents
    ]


@handles(methods.GetFile)
def get_file(call: ApiCall, method: methods.GetFile) -> Json:
    """Return where the bot can download a file.

    Raises:
        ApiError: 400 when the file is unknown to this bot or has more than 20 MB.
    """
    if not method.file_id:
        raise bad_request("file_id not specified")
    stored = call.state.files.find(method.file_id)
    if stored is None or stored.bot_id != call.bot.id:
        raise bad_request("wrong file_id or the file is temporarily unavailable")
    if stored.size > _DOWNLOAD_LIMIT:
        raise bad_request("file is too big")
    return {
        "file_id": stored.file_id,
        "file_unique_id": stored.unique_id,
        "file_size": stored.size,
        "file_path": stored.path,
    }


@handles(methods.SendDice)
def send_dice(call: ApiCall, method: methods.SendDice) -> Json:
    """Send a dice with a random value, or with the next one that the control API has set."""
    emoji = method.emoji or "🎲"
    if emoji not in _DICE_SIDES:
        raise bad_request("EMOTICON_INVALID")
    chat = call.get_writable_chat(method.chat_id)
    value = call.state.next_dice.pop(0) if call.state.next_dice else random.randint(1, _DICE_SIDES[emoji])
    return add_bot_message(call, method, {"dice": {"emoji": emoji, "value": value}}, chat=chat).message


@handles(methods.SendChatAction)
def send_chat_action(call: ApiCall, method: methods.SendChatAction) -> bool:
    """Show a chat action such as ``typing``."""
    if method.action not in _CHAT_ACTIONS:
        raise bad_request("wrong parameter action in request")
    call.get_writable_chat(method.chat_id).show_action(method.action)
    return True


def _content_of(entry: Entry) -> Json:
    return {name: value for name, value in entry.message.items() if name not in _FIELDS_NOT_COPIED}


def _without_caption(content: Json) -> Json:
    return {name: value for name, value in content.items() if name not in ("caption", "caption_entities")}


def _can_be_copied(entry: Entry) -> bool:
    return "invoice" not in entry.message and "successful_payment" not in entry.message


@handles(methods.CopyMessage)
def copy_message(call: ApiCall, method: methods.CopyMessage) -> Json:
    """Copy a message, maybe with another caption; invoices and payments cannot be copied."""
    source = call.get_entry(call.get_chat(method.from_chat_id), method.message_id, "to copy")
    if not _can_be_copied(source):
        raise bad_request("message can't be copied")
    content = _content_of(source)
    if method.caption is not None and "text" not in content:
        content = {**_without_caption(content), **caption_fields(method)}
    return {"message_id": add_bot_message(call, method, content).id}


@handles(methods.CopyMessages)
def copy_messages(call: ApiCall, method: methods.CopyMessages) -> list[Json]:
    """Copy up to 100 messages; albums stay albums, and what does not exist or cannot be copied is skipped."""
    if not 1 <= len(method.message_ids) <= 100:
        raise bad_request("wrong number of message identifiers specified")
    source, chat = call.get_chat(method.from_chat_id), call.get_writable_chat(method.chat_id)
    groups: dict[str, str] = {}
    copied = []
    for entry in map(source.find_entry, method.message_ids):
        if entry is None or not _can_be_copied(entry):
            continue
        content = _content_of(entry)
        if (group := entry.message.get("media_group_id")) is not None:
            content["media_group_id"] = groups.setdefault(group, new_id())
        if method.remove_caption:
            content = _without_caption(content)
        copied.append({"message_id": add_bot_message(call, method, content, chat=chat).id})
    if not copied:
        raise bad_request("there are no messages to copy")
    return copied


@handles(methods.ForwardMessage)
def forward_message(call: ApiCall, method: methods.ForwardMessage) -> Json:
    """Forward a message, unless its content is protected."""
    source = call.get_entry(call.get_chat(method.from_chat_id), method.message_id, "to forward")
    if source.message.get("has_protected_content"):
        raise bad_request("message has protected content and can't be forwarded")
    origin = {"type": "user", "sender_user": source.message["from"], "date": source.message["date"]}
    return add_bot_message(call, method, {**_content_of(source), "forward_origin": origin}).message
