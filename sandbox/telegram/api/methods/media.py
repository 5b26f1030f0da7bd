"""Methods that send media, and ``getFile``."""

import secrets
from typing import Any

from aiogram.methods import (
    GetFile,
    SendAnimation,
    SendAudio,
    SendDocument,
    SendMediaGroup,
    SendPhoto,
    SendVideo,
    SendVoice,
)

from sandbox.telegram.api.attachments import as_media, resolve
from sandbox.telegram.api.call import Call, carries_out
from sandbox.telegram.api.requests import AnyMethod
from sandbox.telegram.api.sending import send
from sandbox.telegram.errors import bad_request
from sandbox.telegram.text.formatting import checked_caption

Json = dict[str, Any]

DOWNLOAD_LIMIT = 20 * 1024 * 1024


def caption_fields(options: Any) -> Json:
    """Caption and entities of a method or of an ``InputMedia``."""
    caption, entities = checked_caption(options.caption, options.parse_mode, options.caption_entities)
    fields: Json = {}
    if caption:
        fields["caption"] = caption
    if entities:
        fields["caption_entities"] = entities
    if getattr(options, "show_caption_above_media", None) is True:
        fields["show_caption_above_media"] = True
    return fields


async def _send(call: Call, method: AnyMethod, kind: str) -> Json:
    params: Any = method
    chat = call.writable_chat(params.chat_id)
    caption = caption_fields(method)
    stored = await resolve(call, kind, getattr(method, kind))
    return send(call, method, {**as_media(kind, stored, method), **caption}, chat=chat).message


@carries_out(SendPhoto)
async def send_photo(call: Call, method: SendPhoto) -> Json:
    return await _send(call, method, "photo")


@carries_out(SendVideo)
async def send_video(call: Call, method: SendVideo) -> Json:
    return await _send(call, method, "video")


@carries_out(SendAnimation)
async def send_animation(call: Call, method: SendAnimation) -> Json:
    return await _send(call, method, "animation")


@carries_out(SendAudio)
async def send_audio(call: Call, method: SendAudio) -> Json:
    return await _send(call, method, "audio")


@carries_out(SendVoice)
async def send_voice(call: Call, method: SendVoice) -> Json:
    return await _send(call, method, "voice")


@carries_out(SendDocument)
async def send_document(call: Call, method: SendDocument) -> Json:
    return await _send(call, method, "document")


@carries_out(SendMediaGroup)
async def send_media_group(call: Call, method: SendMediaGroup) -> list[Json]:
    chat = call.writable_chat(method.chat_id)
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
        stored = await resolve(call, str(item.type), item.media)
        contents.append({**as_media(str(item.type), stored, item), **caption})
    group = str(secrets.randbelow(9 * 10**16) + 10**16)
    return [send(call, method, {**content, "media_group_id": group}, chat=chat).message for content in contents]


@carries_out(GetFile)
def get_file(call: Call, method: GetFile) -> Json:
    if not method.file_id:
        raise bad_request("file_id not specified")
    stored = call.world.files.find(method.file_id)
    if stored is None or stored.bot_id != call.bot.id:
        raise bad_request("wrong file_id or the file is temporarily unavailable")
    if stored.size > DOWNLOAD_LIMIT:
        raise bad_request("file is too big")
    return {
        "file_id": stored.file_id,
        "file_unique_id": stored.unique_id,
        "file_size": stored.size,
        "file_path": stored.path,
    }
