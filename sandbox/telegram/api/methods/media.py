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

from sandbox.telegram.api.attachments import media_content, resolve_file
from sandbox.telegram.api.call import ApiCall, handles
from sandbox.telegram.api.requests import AnyMethod
from sandbox.telegram.api.sending import add_bot_message
from sandbox.telegram.errors import bad_request
from sandbox.telegram.text.formatting import parse_caption

Json = dict[str, Any]

DOWNLOAD_LIMIT = 20 * 1024 * 1024


def caption_fields(source: Any) -> Json:
    """Caption and entities of a method or of an ``InputMedia``."""
    caption, entities = parse_caption(source.caption, source.parse_mode, source.caption_entities)
    fields: Json = {}
    if caption:
        fields["caption"] = caption
    if entities:
        fields["caption_entities"] = entities
    if getattr(source, "show_caption_above_media", None) is True:
        fields["show_caption_above_media"] = True
    return fields


async def _send_media(call: ApiCall, method: AnyMethod, kind: str) -> Json:
    params: Any = method
    chat = call.get_writable_chat(params.chat_id)
    caption = caption_fields(method)
    stored = await resolve_file(call, kind, getattr(method, kind))
    return add_bot_message(call, method, {**media_content(kind, stored, method), **caption}, chat=chat).message


@handles(SendPhoto)
async def send_photo(call: ApiCall, method: SendPhoto) -> Json:
    return await _send_media(call, method, "photo")


@handles(SendVideo)
async def send_video(call: ApiCall, method: SendVideo) -> Json:
    return await _send_media(call, method, "video")


@handles(SendAnimation)
async def send_animation(call: ApiCall, method: SendAnimation) -> Json:
    return await _send_media(call, method, "animation")


@handles(SendAudio)
async def send_audio(call: ApiCall, method: SendAudio) -> Json:
    return await _send_media(call, method, "audio")


@handles(SendVoice)
async def send_voice(call: ApiCall, method: SendVoice) -> Json:
    return await _send_media(call, method, "voice")


@handles(SendDocument)
async def send_document(call: ApiCall, method: SendDocument) -> Json:
    return await _send_media(call, method, "document")


@handles(SendMediaGroup)
async def send_media_group(call: ApiCall, method: SendMediaGroup) -> list[Json]:
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
        stored = await resolve_file(call, str(item.type), item.media)
        contents.append({**media_content(str(item.type), stored, item), **caption})
    group = str(secrets.randbelow(9 * 10**16) + 10**16)
    return [
        add_bot_message(call, method, {**content, "media_group_id": group}, chat=chat).message
        for content in contents
    ]


@handles(GetFile)
def get_file(call: ApiCall, method: GetFile) -> Json:
    if not method.file_id:
        raise bad_request("file_id not specified")
    stored = call.state.files.find(method.file_id)
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
