"""Methods that send media, and ``getFile``.

See https://core.telegram.org/bots/api#sendphoto and the methods after it. All that send raise ``ApiError`` 400 for
a file or a caption that Telegram would refuse, and 403 where the bot was blocked.
"""

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
from sandbox.telegram.api.methods.messages import add_bot_message, new_media_group_id
from sandbox.telegram.api.requests import AnyMethod
from sandbox.telegram.errors import bad_request
from sandbox.telegram.json_types import Json
from sandbox.telegram.text.formatting import parse_caption

_DOWNLOAD_LIMIT = 20 * 1024 * 1024


def caption_fields(source: Any) -> Json:
    """Return caption and entities of a method or an ``InputMedia`` as fields of ``Message``.

    Raises:
        ApiError: 400 for a caption that Telegram would refuse.
    """
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
    """Send a photo."""
    return await _send_media(call, method, "photo")


@handles(SendVideo)
async def send_video(call: ApiCall, method: SendVideo) -> Json:
    """Send a video."""
    return await _send_media(call, method, "video")


@handles(SendAnimation)
async def send_animation(call: ApiCall, method: SendAnimation) -> Json:
    """Send an animation."""
    return await _send_media(call, method, "animation")


@handles(SendAudio)
async def send_audio(call: ApiCall, method: SendAudio) -> Json:
    """Send an audio file with its title and performer."""
    return await _send_media(call, method, "audio")


@handles(SendVoice)
async def send_voice(call: ApiCall, method: SendVoice) -> Json:
    """Send a voice message."""
    return await _send_media(call, method, "voice")


@handles(SendDocument)
async def send_document(call: ApiCall, method: SendDocument) -> Json:
    """Send a file as a document."""
    return await _send_media(call, method, "document")


@handles(SendMediaGroup)
async def send_media_group(call: ApiCall, method: SendMediaGroup) -> list[Json]:
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
        stored = await resolve_file(call, str(item.type), item.media)
        contents.append({**media_content(str(item.type), stored, item), **caption})
    group = new_media_group_id()
    return [
        add_bot_message(call, method, {**content, "media_group_id": group}, chat=chat).message
        for content in contents
    ]


@handles(GetFile)
def get_file(call: ApiCall, method: GetFile) -> Json:
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
