"""Files that users send: their metadata, and a check of the content of documents, which Telegram does not check."""

import asyncio
import io
from collections.abc import Mapping
from typing import Final

from aiogram.types import Message
from PIL import Image, UnidentifiedImageError

from providers.media_type import detect_media_type
from services.core.errors import InvalidRequest
from services.generation.inputs import TELEGRAM_DOWNLOAD_BYTES, FileKind, FileRef
from services.messaging.bots import Bots
from services.messaging.files import download_file

_MEDIA_TYPES: Final[Mapping[FileKind, frozenset[str]]] = {
    "video": frozenset({"video/mp4", "video/quicktime", "video/webm", "video/x-matroska", "video/avi"}),
    "audio": frozenset({"audio/mpeg", "audio/ogg", "audio/wav", "audio/flac", "audio/mp4", "video/mp4"}),
}
"""The formats that are accepted as documents. Some M4A files are detected as MP4."""

_DOCUMENT_KINDS: Final[Mapping[str, FileKind]] = {"image": "photo", "video": "video", "audio": "audio"}
"""The kind of a document, by the first part of its MIME type."""


def extract_file(message: Message) -> FileRef | None:
    """Get the file of a message.

    Returns:
        The file as an order stores it, with Telegram's id; the largest size of a photo. None if the message has no
        file of a kind that a service can take.
    """
    if message.photo:
        largest = message.photo[-1]
        return FileRef(kind="photo", file_id=largest.file_id, size=largest.file_size or 0)
    if message.voice:
        voice = message.voice
        return FileRef(kind="voice", file_id=voice.file_id, size=voice.file_size or 0, seconds=voice.duration)
    if message.audio:
        audio = message.audio
        return FileRef(kind="audio", file_id=audio.file_id, size=audio.file_size or 0, seconds=audio.duration)
    video = message.video or message.video_note
    if video:
        return FileRef(kind="video", file_id=video.file_id, size=video.file_size or 0, seconds=video.duration)
    return _document_file(message)


def require_file(message: Message) -> FileRef:
    """Like `extract_file`, but raises InvalidRequest if the message has no file that a service can take."""
    file = extract_file(message)
    if file is None:
        raise InvalidRequest("input.wrong_kind")
    return file


def _document_file(message: Message) -> FileRef | None:
    document = message.document
    if document is None:
        return None
    kind = _DOCUMENT_KINDS.get((document.mime_type or "").split("/")[0])
    if kind is None:
        return None
    return FileRef(kind=kind, file_id=document.file_id, size=document.file_size or 0, document=True)


async def verify_content(bots: Bots, bot_name: str, file: FileRef) -> None:
    """Check that a document contains what its MIME type says. Telegram checks other files itself.

    Args:
        bots: All bots.
        bot_name: The bot that the file was sent to.
        file: The file.

    Raises:
        InvalidRequest: The content has another type, or the file is larger than a bot may download.
        Failure: Telegram cannot be reached.
    """
    if not file.document:
        return
    if file.size > TELEGRAM_DOWNLOAD_BYTES:
        raise InvalidRequest(
            "input.too_large", size=f"{file.size / 2**20:.1f}", limit=TELEGRAM_DOWNLOAD_BYTES // 2**20
        )
    content = await download_file(bots, bot_name, file.file_id)
    if file.kind == "photo":
        await asyncio.to_thread(_verify_image, content)
    elif detect_media_type(content) not in _MEDIA_TYPES[file.kind]:
        raise InvalidRequest("input.not_that_file")


def _verify_image(content: bytes) -> None:
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.verify()
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise InvalidRequest("input.not_that_file", detail=str(error)) from error
