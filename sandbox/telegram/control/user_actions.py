"""What users do: send messages and files, press buttons, block a bot."""

import time
from typing import NamedTuple

from aiogram.types import Message
from pydantic import BaseModel, Field, ValidationError

from sandbox.telegram.api.content import media_content
from sandbox.telegram.api.requests import Upload
from sandbox.telegram.errors import ControlApiError
from sandbox.telegram.json_types import Json
from sandbox.telegram.state.bots import BotAccount
from sandbox.telegram.state.chats import Chat, Entry
from sandbox.telegram.state.server_state import ServerState
from sandbox.telegram.state.users import DEFAULT_USER_ID, User
from sandbox.telegram.text.formatting import add_detected_entities

UPLOAD_KINDS = ("photo", "voice", "audio", "video", "document", "animation", "video_note", "sticker")
_BLANK_STICKER = bytes.fromhex("524946461a000000574542505650384c0d0000002f00000010071011118888fe0700")


class UserFields(BaseModel):
    """What is known about a user, and the bot they talk to; by default the first one that has called."""

    first_name: str | None = None
    last_name: str | None = None
    username: str | None = None
    language_code: str | None = None
    bot: int | None = None

    def known_fields(self) -> Json:
        """Return the fields of ``User`` that are given."""
        return self.model_dump(include=set(UserFields.model_fields) - {"bot"}, exclude_none=True)


class UserAction(UserFields):
    """Fields of all actions: who acts, and in which chat; by default in the private chat with the bot."""

    user_id: int = Field(DEFAULT_USER_ID, gt=0)
    chat_id: int | None = None


class SendMessageAction(UserAction):
    """The body of ``POST sim/message``.

    Attributes:
        kind: How the file is sent, one of ``UPLOAD_KINDS``; ``document`` by default.
        sticker: The emoji of a sticker, which needs no file.
        reply_to: The id of the message that this one answers.
        duration: Seconds, for a file whose duration cannot be read.
        chat_title: The title of a new group.
        extra: Further fields of Telegram's ``Message``, such as ``contact``.
    """

    text: str | None = None
    caption: str | None = None
    kind: str | None = None
    sticker: str | None = None
    reply_to: int | None = None
    media_group_id: str | None = None
    duration: int | None = None
    chat_title: str | None = None
    extra: Json = Field(default_factory=dict)


class PressButtonAction(UserAction):
    """The body of ``POST sim/callback``: a button by its label or its data.

    Attributes:
        label: The button's text or a part of it, in any letter case; the newest button that matches is pressed.
        data: The button's callback data; with ``message_id`` any data, also of a button that is gone.
        times: How many callback queries to send.
    """

    label: str | None = None
    data: str | None = None
    message_id: int | None = None
    times: int = Field(1, ge=1, le=1000)


class BlockBotAction(UserAction):
    """The body of ``POST sim/block``: blocks the bot, or unblocks it."""

    blocked: bool = True


class Participants(NamedTuple):
    """The bot, the user and the chat of an action."""

    bot: BotAccount
    user: User
    chat: Chat


def resolve_participants(state: ServerState, action: UserAction) -> Participants:
    """Return the bot, user and chat of an action. A new user or chat is created.

    Raises:
        ControlApiError: 404 or 409 when there is no such bot.
    """
    bot = state.resolve_bot(action.bot)
    user = state.get_or_create_user(action.user_id, action.known_fields())
    title = getattr(action, "chat_title", None)
    return Participants(bot, user, state.get_or_create_chat(bot.id, action.chat_id or user.id, title))


def send_message(state: ServerState, action: SendMessageAction, upload: Upload | None) -> Json:
    """Send a message or a file as a user.

    Args:
        state: The server's state.
        action: The message.
        upload: The file, if there is one.

    Returns:
        ``update_id``, ``chat_id``, the chat's ``version`` and the ``message`` as the bot gets it.

    Raises:
        ControlApiError: 400 when the fields make no message, 404 when the message to answer does not exist, 409
            when the bot is blocked.
    """
    bot, user, chat = resolve_participants(state, action)
    if chat.blocked:
        raise ControlApiError("the bot is blocked in this chat: unblock it first", 409)
    content = _build_content(state, bot, action, upload)
    if action.reply_to is not None:
        content["reply_to_message"] = _get_entry(chat, action.reply_to).message
    keyboard = chat.reply_keyboard or {}
    if keyboard.get("one_time_keyboard") or "force_reply" in keyboard:
        chat.reply_keyboard = None
    chat.started = True
    state.save_chat(chat)
    entry = state.add_entry(chat, content, sender=user.to_telegram_user(), by_bot=False)
    try:
        Message.model_validate(entry.message)  # aiogram must be able to read it; ``extra`` may hold anything
    except ValidationError as error:
        raise ControlApiError(f"not a valid Telegram message: {error}") from error
    update_id = state.queues[bot.id].put("message", entry.message, chat.id)
    return {"update_id": update_id, "chat_id": chat.id, "version": chat.version, "message": entry.message}


def _build_content(state: ServerState, bot: BotAccount, action: SendMessageAction, upload: Upload | None) -> Json:
    content: Json = dict(action.extra)
    if action.media_group_id:
        content["media_group_id"] = action.media_group_id
    text, field, entities_field = action.text, "text", "entities"
    if upload is not None or action.sticker is not None:
        kind = "sticker" if action.sticker is not None else action.kind or "document"
        if kind not in UPLOAD_KINDS:
            raise ControlApiError(f"kind must be one of {', '.join(UPLOAD_KINDS)}")
        upload = upload or Upload(_BLANK_STICKER, "sticker.webp", "image/webp")
        stored = state.files.add(bot.id, kind, upload.data, upload.file_name, upload.content_type)
        content.update(media_content(kind, stored, action))
        if action.sticker:
            content["sticker"]["emoji"] = action.sticker
        text, field, entities_field = action.caption or action.text, "caption", "caption_entities"
    if text:
        content[field] = text
        if entities := add_detected_entities(text, []):
            content[entities_field] = entities
    if not content:
        raise ControlApiError("a message needs text, a file, a sticker or extra")
    return content


def press_button(state: ServerState, action: PressButtonAction) -> Json:
    """Press an inline button as a user, maybe several times at once.

    Returns:
        ``update_ids`` and ``callback_query_ids`` of all presses, ``update_id`` of the first, the ``chat_id``, the
        chat's ``version``, the ``data`` and the ``message``.

    Raises:
        ControlApiError: 400 without label and data, 404 when there is no such button or message, 409 when the
            button is of another kind.
    """
    bot, user, chat = resolve_participants(state, action)
    entry, data = _find_button(chat, action)
    gone = {"chat": chat.description, "message_id": entry.id, "date": 0}
    message = gone if entry.deleted else entry.message
    update_ids, callback_ids = [], []
    for _ in range(action.times):
        callback = state.add_callback(bot.id, chat.id, user.id)
        query = {
            "id": callback.id,
            "from": user.to_telegram_user(),
            "chat_instance": str(abs(chat.id) * 7919),
            "message": message,
            "data": data,
        }
        update_ids.append(state.queues[bot.id].put("callback_query", query, chat.id))
        callback_ids.append(callback.id)
    return {
        "update_id": update_ids[0],
        "update_ids": update_ids,
        "callback_query_ids": callback_ids,
        "chat_id": chat.id,
        "version": chat.version,
        "data": data,
        "message": entry.message,
    }


def _find_button(chat: Chat, action: PressButtonAction) -> tuple[Entry, str]:
    if action.data is not None and action.message_id is not None:
        return _get_entry(chat, action.message_id), action.data
    if action.label is None and action.data is None:
        raise ControlApiError("pressing a button needs label or data")
    entries = list(chat.newest_entries()) if action.message_id is None else [_get_entry(chat, action.message_id)]
    buttons = [(entry, button) for entry in entries for row in entry.button_rows() for button in row]
    wanted = (action.label or "").strip().casefold()
    for entry, button in buttons:
        if action.data is not None and button.get("callback_data") == action.data:
            return entry, action.data
    labelled = [(entry, button, button["text"].strip().casefold()) for entry, button in buttons]
    found = [each for each in labelled if each[2] == wanted] or [each for each in labelled if wanted in each[2]]
    if action.data is not None or not found:
        raise ControlApiError(f"no button {action.label or action.data!r} in chat {chat.id}", 404)
    entry, button, _ = found[0]
    if "callback_data" not in button:
        kind = next((name for name in button if name != "text"), "nothing")
        raise ControlApiError(f"the button {button['text']!r} is not a callback button but {kind}", 409)
    return entry, str(button["callback_data"])


def _get_entry(chat: Chat, message_id: int) -> Entry:
    entry = chat.entries.get(message_id)
    if entry is None:
        raise ControlApiError(f"no message {message_id} in chat {chat.id}", 404)
    return entry


def set_blocked(state: ServerState, action: BlockBotAction) -> Json:
    """Block or unblock the bot as a user; the bot gets a ``my_chat_member`` update if that changes anything.

    Returns:
        ``blocked``, the ``update_id`` or None, and the chat's ``version``.
    """
    bot, user, chat = resolve_participants(state, action)
    if chat.blocked == action.blocked:
        return {"blocked": chat.blocked, "update_id": None, "version": chat.version}
    chat.blocked = action.blocked
    chat.bump_version()
    state.save_chat(chat)
    blocked = {"status": "kicked", "user": bot.to_telegram_user(), "until_date": 0}
    active = {"status": "member", "user": bot.to_telegram_user()}
    change = {
        "chat": chat.description,
        "from": user.to_telegram_user(),
        "date": int(time.time()),
        "old_chat_member": active if action.blocked else blocked,
        "new_chat_member": blocked if action.blocked else active,
    }
    update_id = state.queues[bot.id].put("my_chat_member", change, chat.id)
    return {"blocked": chat.blocked, "update_id": update_id, "version": chat.version}
