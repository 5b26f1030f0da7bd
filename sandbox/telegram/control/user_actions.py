"""What people do: write, send files, tap buttons, block a bot."""

import time
from typing import Any

from aiogram.types import Message
from pydantic import BaseModel, Field, ValidationError

from sandbox.telegram.api.attachments import as_media
from sandbox.telegram.api.requests import Upload
from sandbox.telegram.errors import SimError
from sandbox.telegram.state.bots import BotAccount
from sandbox.telegram.state.chats import Chat, Entry
from sandbox.telegram.state.server_state import World
from sandbox.telegram.state.users import DEFAULT_PERSON_ID, Person
from sandbox.telegram.text.formatting import with_detected

Json = dict[str, Any]

UPLOAD_KINDS = ("photo", "voice", "audio", "video", "document", "animation", "video_note", "sticker")
_PIXEL = bytes.fromhex("524946461a000000574542505650384c0d0000002f00000010071011118888fe0700")


class PersonOrder(BaseModel):
    """Who acts, and towards which bot."""

    user_id: int = Field(DEFAULT_PERSON_ID, gt=0)
    chat_id: int | None = None
    bot: int | None = None
    first_name: str | None = None
    last_name: str | None = None
    username: str | None = None
    language_code: str | None = None


class MessageOrder(PersonOrder):
    """Body of ``POST sim/message``. ``extra`` holds further fields of Telegram's ``Message``."""

    text: str | None = None
    caption: str | None = None
    kind: str | None = None
    sticker: str | None = None
    reply_to: int | None = None
    media_group_id: str | None = None
    duration: int | None = None
    chat_title: str | None = None
    extra: Json = Field(default_factory=dict)


class TapOrder(PersonOrder):
    """Body of ``POST sim/callback``: a button by its label, or any data on a message."""

    label: str | None = None
    data: str | None = None
    message_id: int | None = None
    times: int = Field(1, ge=1, le=1000)


class BlockOrder(PersonOrder):
    """Body of ``POST sim/block``."""

    blocked: bool = True


def who_and_where(world: World, order: PersonOrder) -> tuple[BotAccount, Person, Chat]:
    """The bot, the person and the chat an order means."""
    bot = world.chosen_bot(order.bot)
    known = order.model_dump(include={"first_name", "last_name", "username", "language_code"}, exclude_none=True)
    person = world.person(order.user_id, known)
    title = getattr(order, "chat_title", None)
    return bot, person, world.chat(bot.id, order.chat_id or person.id, title)


def write(world: World, order: MessageOrder, upload: Upload | None) -> Json:
    """A person writes or sends a file; what the bot is told."""
    bot, person, chat = who_and_where(world, order)
    if chat.blocked:
        raise SimError("the bot is blocked in this chat: unblock it first", 409)
    content = _content(world, bot, order, upload)
    if order.reply_to is not None:
        content["reply_to_message"] = _find(chat, order.reply_to).message
    if not chat.started:
        chat.started = True
        world.save_chat(chat)
    entry = world.add_entry(chat, content, sender=person.user(), by_bot=False)
    _check(entry)
    _leave_one_time_keyboard(world, chat)
    update_id = world.queues[bot.id].put("message", entry.message, chat.id)
    return {"update_id": update_id, "chat_id": chat.id, "version": chat.version, "message": entry.message}


def _content(world: World, bot: BotAccount, order: MessageOrder, upload: Upload | None) -> Json:
    content: Json = dict(order.extra)
    if order.media_group_id:
        content["media_group_id"] = order.media_group_id
    if upload is not None or order.sticker is not None:
        kind = "sticker" if order.sticker is not None else order.kind or "document"
        if kind not in UPLOAD_KINDS:
            raise SimError(f"kind must be one of {', '.join(UPLOAD_KINDS)}")
        upload = upload or Upload(_PIXEL, "sticker.webp", "image/webp")
        stored = world.files.add(bot.id, kind, upload.data, upload.file_name, upload.content_type)
        content.update(as_media(kind, stored, order))
        if order.sticker:
            content["sticker"]["emoji"] = order.sticker
        content.update(_with_entities("caption", order.caption or order.text))
    else:
        content.update(_with_entities("text", order.text))
    if not content:
        raise SimError("a message needs text, a file, a sticker or extra")
    return content


def _with_entities(field: str, text: str | None) -> Json:
    if not text:
        return {}
    entities = with_detected(text, [])
    name = "entities" if field == "text" else "caption_entities"
    return {field: text, **({name: entities} if entities else {})}


def _check(entry: Entry) -> None:
    """A bot must be able to read what a person's request has made up."""
    try:
        Message.model_validate(entry.message)
    except ValidationError as error:
        raise SimError(f"that makes no Telegram message: {error}") from error


def _leave_one_time_keyboard(world: World, chat: Chat) -> None:
    keyboard = chat.reply_keyboard
    if keyboard and (keyboard.get("one_time_keyboard") or "force_reply" in keyboard):
        chat.reply_keyboard = None
        world.save_chat(chat)


def tap(world: World, order: TapOrder) -> Json:
    """A person taps an inline button, maybe several times at once."""
    bot, person, chat = who_and_where(world, order)
    entry, data = _button(chat, order)
    update_ids, tap_ids = [], []
    for _ in range(order.times):
        noted = world.add_tap(bot.id, chat.id, person.id)
        query = {
            "id": noted.id,
            "from": person.user(),
            "chat_instance": str(abs(chat.id) * 7919),
            "message": _seen(chat, entry),
            "data": data,
        }
        update_ids.append(world.queues[bot.id].put("callback_query", query, chat.id))
        tap_ids.append(noted.id)
    return {
        "update_id": update_ids[0],
        "update_ids": update_ids,
        "callback_query_ids": tap_ids,
        "chat_id": chat.id,
        "version": chat.version,
        "data": data,
        "message": entry.message,
    }


def _seen(chat: Chat, entry: Entry) -> Json:
    if entry.deleted:
        return {"chat": chat.description, "message_id": entry.id, "date": 0}
    return entry.message


def _button(chat: Chat, order: TapOrder) -> tuple[Entry, str]:
    if order.data is not None and order.message_id is not None:
        return _find(chat, order.message_id), order.data
    if order.label is None and order.data is None:
        raise SimError("a tap needs label or data")
    entries = [_find(chat, order.message_id)] if order.message_id is not None else list(chat.newest())
    wanted = (order.label or "").strip().casefold()
    for matches in (lambda label: label == wanted, lambda label: wanted in label):
        for entry in entries:
            for button in (button for row in entry.rows() for button in row):
                if order.data is not None and button.get("callback_data") == order.data:
                    return entry, order.data
                if order.data is None and matches(button["text"].strip().casefold()):
                    return entry, _data_of(button)
    raise SimError(f"no button {order.label or order.data!r} in chat {chat.id}", 404)


def _data_of(button: Json) -> str:
    data = button.get("callback_data")
    if data is None:
        kind = next((name for name in button if name != "text"), "nothing")
        raise SimError(f"the button {button['text']!r} is no callback button but {kind}", 409)
    return str(data)


def _find(chat: Chat, message_id: int) -> Entry:
    entry = chat.entries.get(message_id)
    if entry is None:
        raise SimError(f"no message {message_id} in chat {chat.id}", 404)
    return entry


def block(world: World, order: BlockOrder) -> Json:
    """A person blocks or unblocks a bot; the bot hears it as ``my_chat_member``."""
    bot, person, chat = who_and_where(world, order)
    if chat.blocked == order.blocked:
        return {"blocked": chat.blocked, "update_id": None, "version": chat.version}
    chat.blocked = order.blocked
    chat.changed()
    world.save_chat(chat)
    gone = {"status": "kicked", "user": bot.user(), "until_date": 0}
    there = {"status": "member", "user": bot.user()}
    change = {
        "chat": chat.description,
        "from": person.user(),
        "date": int(time.time()),
        "old_chat_member": there if order.blocked else gone,
        "new_chat_member": gone if order.blocked else there,
    }
    update_id = world.queues[bot.id].put("my_chat_member", change, chat.id)
    return {"blocked": chat.blocked, "update_id": update_id, "version": chat.version}
