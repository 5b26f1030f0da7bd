"""Media in messages: from an upload, a known ``file_id`` or a URL to the fields of ``Message``.

Rules and limits: https://core.telegram.org/bots/api#sending-files.
"""

from typing import Any
from urllib.parse import urlsplit

from aiogram.types import InputFile
from aiohttp import ClientError

from sandbox.telegram.api.call import ApiCall
from sandbox.telegram.errors import ApiError, bad_request
from sandbox.telegram.json_types import Json
from sandbox.telegram.state.files import StoredFile

_PHOTO_LIMIT = 10 * 1024 * 1024
_URL_PHOTO_LIMIT = 5 * 1024 * 1024
_URL_FILE_LIMIT = 20 * 1024 * 1024
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_TYPE_NAMES = {
    "photo": "Photo",
    "video": "Video",
    "animation": "Animation",
    "audio": "Audio",
    "voice": "VoiceNote",
}


async def resolve_file(call: ApiCall, kind: str, value: str | InputFile | None) -> StoredFile:
    """Return the stored file that a media field refers to, and store it first if it is new.

    Args:
        call: The call; holds the uploads.
        kind: The media type, such as ``photo``.
        value: An ``attach://`` reference to an upload, a URL on this machine or a ``file_id``.

    Raises:
        ApiError: 400 when Telegram would refuse the file.
    """
    if not isinstance(value, str) or not value:
        raise bad_request(f"there is no {kind} in the request")
    if value.startswith("attach://"):
        upload = call.uploads.get(value.removeprefix("attach://"))
        if upload is None:
            raise bad_request(f"there is no {kind} in the request")
        return _store_upload(call, kind, upload.data, upload.file_name, upload.content_type)
    if value.startswith(("http://", "https://")):
        return await _download(call, kind, value)
    return _find_file(call, kind, value)


def _store_upload(
    call: ApiCall, kind: str, data: bytes, name: str, declared_type: str | None = None
) -> StoredFile:
    """Store uploaded bytes, validated as Telegram validates that kind."""
    if not data:
        raise bad_request("file must be non-empty")
    if kind == "photo" and len(data) > _PHOTO_LIMIT:
        raise bad_request(
            f"file of size {len(data)} bytes is too big for a photo; the maximum size is {_PHOTO_LIMIT} bytes"
        )
    stored = call.state.files.add(call.bot.id, kind, data, name, declared_type)
    if kind == "photo":
        _check_photo(stored)
    return stored


def _check_photo(stored: StoredFile) -> None:
    if not stored.mime_type.startswith("image/") or stored.width == 0:
        raise bad_request("IMAGE_PROCESS_FAILED")
    longer, shorter = max(stored.width, stored.height), max(1, min(stored.width, stored.height))
    if stored.width + stored.height > 10_000 or longer / shorter > 20:
        raise bad_request("PHOTO_INVALID_DIMENSIONS")


def _find_file(call: ApiCall, kind: str, file_id: str) -> StoredFile:
    stored = call.state.files.find(file_id)
    if stored is None or stored.bot_id != call.bot.id:
        raise bad_request("wrong file identifier/HTTP URL specified")
    same = {kind, "document", "animation" if kind == "video" else kind}
    if stored.kind not in same and kind != "document":
        actual, wanted = (_TYPE_NAMES.get(each, "Document") for each in (stored.kind, kind))
        raise bad_request(f"can't use file of type {actual} as {wanted}")
    return stored


async def _download(call: ApiCall, kind: str, url: str) -> StoredFile:
    """Fetch a file by URL as Telegram does; the sandbox reaches only this machine."""
    failed = bad_request("failed to get HTTP URL content")
    if urlsplit(url).hostname not in _LOOPBACK:
        raise failed
    limit = _URL_PHOTO_LIMIT if kind == "photo" else _URL_FILE_LIMIT
    try:
        async with call.session.get(url) as answer:
            if answer.status != 200:
                raise failed
            data = await answer.content.read(limit + 1)
            while len(data) <= limit and (more := await answer.content.read(limit + 1 - len(data))):
                data += more
            declared = answer.content_type
    except (ClientError, TimeoutError, OSError) as error:
        raise failed from error
    if len(data) > limit:
        raise failed
    return _store_upload(call, kind, data, urlsplit(url).path.rpartition("/")[2] or "file", declared)


def media_content(kind: str, stored: StoredFile, source: Any = None) -> Json:
    """Return the fields of ``Message`` that show a file.

    Args:
        kind: The media type, such as ``photo``.
        stored: The file.
        source: Where width, height, duration, performer, title and ``has_spoiler`` may be given: a method, an
            ``InputMedia`` or a control API request.

    Raises:
        ApiError: 400 for an unknown media type.
    """
    base: Json = {"file_id": stored.file_id, "file_unique_id": stored.unique_id, "file_size": stored.size}
    width = getattr(source, "width", None) or stored.width
    height = getattr(source, "height", None) or stored.height
    duration = _to_seconds(getattr(source, "duration", None)) or stored.duration
    with_name = {**base, "mime_type": stored.mime_type, "file_name": stored.name}
    match kind:
        case "photo":
            content: Json = {"photo": [{**base, "width": width or 1, "height": height or 1}]}
        case "video":
            content = {"video": {**with_name, "width": width, "height": height, "duration": duration}}
        case "animation":
            content = {
                "animation": {**with_name, "width": width, "height": height, "duration": duration},
                "document": with_name,
            }
        case "audio":
            tags = {name: getattr(source, name, None) for name in ("performer", "title")}
            content = {"audio": {**with_name, "duration": duration, **{k: v for k, v in tags.items() if v}}}
        case "voice":
            content = {"voice": {**base, "mime_type": stored.mime_type, "duration": duration}}
        case "video_note":
            content = {"video_note": {**base, "length": width or 240, "duration": duration}}
        case "sticker":
            content = {"sticker": _sticker(base, stored)}
        case "document":
            content = {"document": with_name}
        case _:
            raise ApiError(400, f"Bad Request: unknown media kind {kind}")
    if getattr(source, "has_spoiler", None):
        content["has_media_spoiler"] = True
    return content


def _sticker(base: Json, stored: StoredFile) -> Json:
    """Telegram's ``Sticker`` object."""
    shape = {"width": stored.width or 512, "height": stored.height or 512}
    return {**base, **shape, "type": "regular", "is_animated": False, "is_video": False}


def _to_seconds(value: Any) -> int:
    return int(value.total_seconds()) if hasattr(value, "total_seconds") else int(value or 0)
