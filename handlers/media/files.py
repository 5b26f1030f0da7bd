"""Files people send: what Telegram says of each, and a look inside those it has not looked at."""

import asyncio
import io

from aiogram import Bot
from aiogram.types import Message
from PIL import Image, UnidentifiedImageError

from services.core.errors import InvalidRequest
from services.generation.inputs import TELEGRAM_DOWNLOAD_BYTES, FileKind, FileRef
from services.messaging.files import download_file

_MAGIC_BYTES: dict[FileKind, tuple[tuple[int, bytes], ...]] = {
    "video": ((4, b"ftyp"), (0, b"\x1a\x45\xdf\xa3"), (0, b"RIFF")),
    "audio": (
        (0, b"ID3"),
        (0, b"\xff\xfb"),
        (0, b"\xff\xf3"),
        (0, b"OggS"),
        (0, b"RIFF"),
        (0, b"fLaC"),
        (4, b"ftyp"),
    ),
    "voice": ((0, b"OggS"),),
}
"""How the formats we take begin, by offset: MP4/MOV, WebM, AVI; MP3, Ogg, WAV, FLAC, M4A."""


def extract_file(message: Message) -> FileRef | None:
    """The file of a message, or None where it has none that a service could take."""
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
    """Raises Refused where the message has no file that a service could take."""
    file = extract_file(message)
    if file is None:
        raise InvalidRequest("input.wrong_kind")
    return file


def _document_file(message: Message) -> FileRef | None:
    document = message.document
    if document is None:
        return None
    kind = (document.mime_type or "").split("/")[0]
    kinds: dict[str, FileKind] = {"image": "photo", "video": "video", "audio": "audio"}
    if kind not in kinds:
        return None
    return FileRef(kind=kinds[kind], file_id=document.file_id, size=document.file_size or 0, document=True)


async def verify_content(bot: Bot, file: FileRef) -> None:
    """Raises Refused where a file sent as a document is not what its name says. Telegram checks the others."""
    if not file.document:
        return
    if file.size > TELEGRAM_DOWNLOAD_BYTES:
        raise InvalidRequest(
            "input.too_large", size=f"{file.size / 2**20:.1f}", limit=TELEGRAM_DOWNLOAD_BYTES // 2**20
        )
    content = await download_file(bot, file.file_id)
    if file.kind == "photo":
        await asyncio.to_thread(_verify_image, content)
    elif not any(content[at : at + len(begin)] == begin for at, begin in _MAGIC_BYTES[file.kind]):
        raise InvalidRequest("input.not_that_file")


def _verify_image(content: bytes) -> None:
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.verify()
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise InvalidRequest("input.not_that_file", detail=str(error)) from error
