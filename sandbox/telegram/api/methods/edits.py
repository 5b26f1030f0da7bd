"""Methods that change what is in a chat: edits, deletions, pins, reactions, answers to taps."""

import time
from typing import Any

from aiogram.methods import (
    AnswerCallbackQuery,
    DeleteMessage,
    DeleteMessages,
    EditMessageCaption,
    EditMessageMedia,
    EditMessageReplyMarkup,
    EditMessageText,
    PinChatMessage,
    SetMessageReaction,
    UnpinAllChatMessages,
    UnpinChatMessage,
)

from sandbox.telegram.api.attachments import as_media, resolve
from sandbox.telegram.api.call import Call, carries_out
from sandbox.telegram.api.keyboards import inline_markup
from sandbox.telegram.api.methods.media import caption_fields
from sandbox.telegram.errors import bad_request
from sandbox.telegram.state.chats import Chat, Entry
from sandbox.telegram.text.formatting import require_text

Json = dict[str, Any]

NOT_MODIFIED = (
    "message is not modified: specified new message content and reply markup are exactly the same as a current "
    "content and reply markup of the message"
)
TOO_OLD = "query is too old and response timeout expired or query ID is invalid"
_CONTENT = ("text", "entities", "caption", "caption_entities", "link_preview_options", "show_caption_above_media")
_MEDIA = ("photo", "video", "animation", "audio", "document", "has_media_spoiler")


def _target(call: Call, method: Any) -> tuple[Chat, Entry]:
    if method.chat_id is None:
        if method.inline_message_id is not None:
            raise bad_request("MESSAGE_ID_INVALID")
        raise bad_request("chat_id is empty")
    if method.message_id is None:
        raise bad_request("message identifier is not specified")
    chat = call.writable_chat(method.chat_id)
    entry = call.entry(chat, method.message_id, "to edit")
    if not entry.by_bot or (entry.reply_keyboard and "remove_keyboard" not in entry.reply_keyboard):
        raise bad_request("message can't be edited")
    return chat, entry


def _edit(call: Call, method: Any, chat: Chat, entry: Entry, content: Json, replaced: tuple[str, ...]) -> Json:
    """Replace parts of a message; a keyboard that is not sent again is gone, as in Telegram."""
    edited = {name: value for name, value in entry.message.items() if name not in replaced}
    edited.pop("reply_markup", None)
    edited.update(content)
    if markup := inline_markup(method.reply_markup):
        edited["reply_markup"] = markup
    before = {name: value for name, value in entry.message.items() if name != "edit_date"}
    after = {name: value for name, value in edited.items() if name != "edit_date"}
    if before == after:
        raise bad_request(NOT_MODIFIED)
    if content or replaced:
        edited["edit_date"] = int(time.time())
        entry.edits += 1
    entry.message = edited
    call.world.save_entry(chat, entry)
    return edited


@carries_out(EditMessageText)
def edit_message_text(call: Call, method: EditMessageText) -> Json:
    text, entities = require_text(method.text or "", method.parse_mode, method.entities)
    chat, entry = _target(call, method)
    if "text" not in entry.message:
        raise bad_request("there is no text in the message to edit")
    content: Json = {"text": text, **({"entities": entities} if entities else {})}
    return _edit(call, method, chat, entry, content, ("text", "entities"))


@carries_out(EditMessageCaption)
def edit_message_caption(call: Call, method: EditMessageCaption) -> Json:
    content = caption_fields(method)
    chat, entry = _target(call, method)
    if not any(kind in entry.message for kind in (*_MEDIA, "voice")):
        raise bad_request("there is no caption in the message to edit")
    return _edit(call, method, chat, entry, content, ("caption", "caption_entities", "show_caption_above_media"))


@carries_out(EditMessageMedia)
async def edit_message_media(call: Call, method: EditMessageMedia) -> Json:
    media: Any = method.media
    chat, entry = _target(call, method)
    caption = caption_fields(media)
    kind = str(media.type)
    stored = await resolve(call, kind, media.media)
    return _edit(call, method, chat, entry, {**as_media(kind, stored, media), **caption}, (*_CONTENT, *_MEDIA))


@carries_out(EditMessageReplyMarkup)
def edit_message_reply_markup(call: Call, method: EditMessageReplyMarkup) -> Json:
    chat, entry = _target(call, method)
    return _edit(call, method, chat, entry, {}, ())


@carries_out(DeleteMessage)
def delete_message(call: Call, method: DeleteMessage) -> bool:
    chat = call.chat(method.chat_id)
    _delete(call, chat, call.entry(chat, method.message_id, "to delete"))
    return True


@carries_out(DeleteMessages)
def delete_messages(call: Call, method: DeleteMessages) -> bool:
    if len(method.message_ids) > 100:
        raise bad_request("too many message identifiers specified")
    chat = call.chat(method.chat_id)
    for message_id in method.message_ids:
        if (entry := chat.live_entry(message_id)) is not None:
            _delete(call, chat, entry)
    return True


def _delete(call: Call, chat: Chat, entry: Entry) -> None:
    entry.deleted = True
    if entry.id in chat.pinned:
        chat.pinned.remove(entry.id)
    call.world.save_entry(chat, entry)


@carries_out(AnswerCallbackQuery)
def answer_callback_query(call: Call, method: AnswerCallbackQuery) -> bool:
    if method.text is not None and len(method.text) > 200:
        raise bad_request("MESSAGE_TOO_LONG")
    tap = call.world.take_tap(call.bot.id, method.callback_query_id)
    if tap is None:
        raise bad_request(TOO_OLD)
    chat = call.world.chat(call.bot.id, tap.chat_id)
    call.world.show_event(chat, tap, method.text or "", alert=bool(method.show_alert), url=method.url)
    return True


@carries_out(PinChatMessage)
def pin_chat_message(call: Call, method: PinChatMessage) -> bool:
    chat = call.writable_chat(method.chat_id)
    entry = call.entry(chat, method.message_id, "to pin")
    if entry.id not in chat.pinned:
        chat.pinned.append(entry.id)
    call.world.save_entry(chat, entry)
    call.world.save_chat(chat)
    return True


@carries_out(UnpinChatMessage)
def unpin_chat_message(call: Call, method: UnpinChatMessage) -> bool:
    chat = call.writable_chat(method.chat_id)
    message_id = method.message_id or (chat.pinned[-1] if chat.pinned else None)
    if message_id not in chat.pinned:
        raise bad_request("message to unpin not found")
    chat.pinned.remove(message_id)
    chat.changed()
    call.world.save_chat(chat)
    return True


@carries_out(UnpinAllChatMessages)
def unpin_all_chat_messages(call: Call, method: UnpinAllChatMessages) -> bool:
    chat = call.writable_chat(method.chat_id)
    chat.pinned.clear()
    chat.changed()
    call.world.save_chat(chat)
    return True


@carries_out(SetMessageReaction)
def set_message_reaction(call: Call, method: SetMessageReaction) -> bool:
    chat = call.writable_chat(method.chat_id)
    entry = call.entry(chat, method.message_id, "to react")
    entry.reactions = [str(getattr(reaction, "emoji", "⭐")) for reaction in method.reaction or ()]
    call.world.save_entry(chat, entry)
    return True
