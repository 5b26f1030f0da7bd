"""Methods that change messages, and answers to callback queries.

See https://core.telegram.org/bots/api#updating-messages. All raise ``ApiError`` 400 where the message does not
exist or may not be changed, and 403 where the bot was blocked.
"""

import time
from collections.abc import Sequence
from typing import Any

from aiogram import methods

from sandbox.telegram.api.call import ApiCall, handles
from sandbox.telegram.api.content import caption_fields, media_content, parse_inline_keyboard, resolve_file
from sandbox.telegram.errors import bad_request
from sandbox.telegram.json_types import Json
from sandbox.telegram.state.chats import CallbackAnswer, Chat, Entry
from sandbox.telegram.text.formatting import parse_message_text

_NOT_MODIFIED = (
    "message is not modified: specified new message content and reply markup are exactly the same as a current "
    "content and reply markup of the message"
)
QUERY_TOO_OLD = "query is too old and response timeout expired or query ID is invalid"
"""Telegram's description for a callback or pre-checkout query that can no longer be answered."""

_TEXT_FIELDS = ("text", "entities")
_CAPTION_FIELDS = ("caption", "caption_entities", "show_caption_above_media")
_MEDIA_FIELDS = ("photo", "video", "animation", "audio", "document", "has_media_spoiler")
_CONTENT_FIELDS = (*_TEXT_FIELDS, *_CAPTION_FIELDS, *_MEDIA_FIELDS, "link_preview_options")


def _editable_message(call: ApiCall, method: Any) -> tuple[Chat, Entry]:
    if method.chat_id is None:
        if method.inline_message_id is not None:
            raise bad_request("MESSAGE_ID_INVALID")
        raise bad_request("chat_id is empty")
    if method.message_id is None:
        raise bad_request("message identifier is not specified")
    chat = call.get_writable_chat(method.chat_id)
    entry = call.get_entry(chat, method.message_id, "to edit")
    if not entry.by_bot or (entry.reply_keyboard and "remove_keyboard" not in entry.reply_keyboard):
        raise bad_request("message can't be edited")
    return chat, entry


def _edit(call: ApiCall, method: Any, chat: Chat, entry: Entry, content: Json, replaced: Sequence[str]) -> Json:
    """Replace parts of a message; a keyboard that is not sent again is removed, as in Telegram."""
    before = {name: value for name, value in entry.message.items() if name != "edit_date"}
    kept = {name: value for name, value in before.items() if name not in (*replaced, "reply_markup")}
    markup = parse_inline_keyboard(method.reply_markup)
    edited = {**kept, **content, **({"reply_markup": markup} if markup else {})}
    if edited == before:
        raise bad_request(_NOT_MODIFIED)
    if replaced:
        edited["edit_date"] = int(time.time())
        entry.edits += 1
    elif "edit_date" in entry.message:
        edited["edit_date"] = entry.message["edit_date"]
    entry.message = edited
    call.state.save_entry(chat, entry)
    return edited


@handles(methods.EditMessageText)
def edit_message_text(call: ApiCall, method: methods.EditMessageText) -> Json:
    """Replace the text of a text message."""
    text, entities = parse_message_text(method.text or "", method.parse_mode, method.entities)
    chat, entry = _editable_message(call, method)
    if "text" not in entry.message:
        raise bad_request("there is no text in the message to edit")
    content: Json = {"text": text, **({"entities": entities} if entities else {})}
    return _edit(call, method, chat, entry, content, _TEXT_FIELDS)


@handles(methods.EditMessageCaption)
def edit_message_caption(call: ApiCall, method: methods.EditMessageCaption) -> Json:
    """Replace or remove the caption of a media message."""
    content = caption_fields(method)
    chat, entry = _editable_message(call, method)
    if not any(kind in entry.message for kind in (*_MEDIA_FIELDS, "voice")):
        raise bad_request("there is no caption in the message to edit")
    return _edit(call, method, chat, entry, content, _CAPTION_FIELDS)


@handles(methods.EditMessageMedia)
def edit_message_media(call: ApiCall, method: methods.EditMessageMedia) -> Json:
    """Replace the content of a message by a file with its caption."""
    media: Any = method.media
    chat, entry = _editable_message(call, method)
    caption = caption_fields(media)
    stored = resolve_file(call, str(media.type), media.media)
    content = {**media_content(str(media.type), stored, media), **caption}
    return _edit(call, method, chat, entry, content, _CONTENT_FIELDS)


@handles(methods.EditMessageReplyMarkup)
def edit_message_reply_markup(call: ApiCall, method: methods.EditMessageReplyMarkup) -> Json:
    """Replace or remove the inline keyboard of a message."""
    chat, entry = _editable_message(call, method)
    return _edit(call, method, chat, entry, {}, ())


@handles(methods.DeleteMessage)
def delete_message(call: ApiCall, method: methods.DeleteMessage) -> bool:
    """Delete a message."""
    chat = call.get_chat(method.chat_id)
    _delete_entry(call, chat, call.get_entry(chat, method.message_id, "to delete"))
    return True


@handles(methods.DeleteMessages)
def delete_messages(call: ApiCall, method: methods.DeleteMessages) -> bool:
    """Delete up to 100 messages; those that do not exist are skipped."""
    if len(method.message_ids) > 100:
        raise bad_request("too many message identifiers specified")
    chat = call.get_chat(method.chat_id)
    for message_id in method.message_ids:
        if (entry := chat.find_entry(message_id)) is not None:
            _delete_entry(call, chat, entry)
    return True


def _delete_entry(call: ApiCall, chat: Chat, entry: Entry) -> None:
    entry.deleted = True
    if entry.id in chat.pinned:
        chat.pinned.remove(entry.id)
    call.state.save_entry(chat, entry)


@handles(methods.AnswerCallbackQuery)
def answer_callback_query(call: ApiCall, method: methods.AnswerCallbackQuery) -> bool:
    """Answer a callback query with a notification or an alert of up to 200 characters.

    Raises:
        ApiError: 400 when the query is unknown or already answered, or the text is too long.
    """
    if method.text is not None and len(method.text) > 200:
        raise bad_request("MESSAGE_TOO_LONG")
    callback = call.state.take_callback(call.bot.id, method.callback_query_id)
    if callback is None:
        raise bad_request(QUERY_TOO_OLD)
    chat = call.state.get_or_create_chat(call.bot.id, callback.chat_id)
    shown = (callback.user_id, method.text or "", bool(method.show_alert), method.url, callback.id)
    chat.callback_answers.append(CallbackAnswer(chat.bump_version(), *shown))
    return True


@handles(methods.PinChatMessage)
def pin_chat_message(call: ApiCall, method: methods.PinChatMessage) -> bool:
    """Pin a message."""
    chat = call.get_writable_chat(method.chat_id)
    entry = call.get_entry(chat, method.message_id, "to pin")
    if entry.id not in chat.pinned:
        chat.pinned.append(entry.id)
    call.state.save_entry(chat, entry)
    call.state.save_chat(chat)
    return True


@handles(methods.SetMessageReaction)
def set_message_reaction(call: ApiCall, method: methods.SetMessageReaction) -> bool:
    """Set or remove the bot's reactions to a message."""
    chat = call.get_writable_chat(method.chat_id)
    entry = call.get_entry(chat, method.message_id, "to react")
    entry.reactions = [str(getattr(reaction, "emoji", "⭐")) for reaction in method.reaction or ()]
    call.state.save_entry(chat, entry)
    return True
