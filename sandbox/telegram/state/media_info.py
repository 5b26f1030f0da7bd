"""The MIME type, size in pixels and duration of a file, read from its content.

Telegram determines these itself, and bots and the chat page rely on them. Formats: PNG, JPEG, GIF, WebP,
MP4/MOV, Ogg (Opus, Vorbis), WAV and MP3; others, such as Matroska, are known by their names only.
"""

import contextlib
import mimetypes
import struct
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """What is known about a file.

    Attributes:
        width: Pixels, 0 when unknown.
        height: Pixels, 0 when unknown.
        duration: Whole seconds, 0 when unknown.
    """

    mime_type: str
    width: int = 0
    height: int = 0
    duration: int = 0


def read_media_info(data: bytes, file_name: str, declared_type: str | None = None) -> MediaInfo:
    """Read what a file is.

    Args:
        data: The content; it may be cut off or of any format.
        file_name: Tells the type where the content does not.
        declared_type: The MIME type that the sender has given; preferred to the name.
    """
    for signature, offset, reader in _READERS:
        if data.startswith(signature, offset):
            with contextlib.suppress(struct.error, IndexError):  # cut off: fall back to its name
                return reader(data)
    guessed = mimetypes.guess_type(file_name)[0]
    if declared_type in (None, "", "application/octet-stream"):
        declared_type = None
    mime_type = (declared_type or guessed or "application/octet-stream").partition(";")[0]
    return MediaInfo(mime_type)


def _png(data: bytes) -> MediaInfo:
    if len(data) < 24:
        return MediaInfo("image/png")
    width, height = struct.unpack(">II", data[16:24])
    return MediaInfo("image/png", width, height)


def _gif(data: bytes) -> MediaInfo:
    width, height = struct.unpack("<HH", data[6:10])
    return MediaInfo("image/gif", width, height)


def _jpeg(data: bytes) -> MediaInfo:
    position = 2
    while position + 9 < len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[position + 5 : position + 9])
            return MediaInfo("image/jpeg", width, height)
        position += 2 + length
    return MediaInfo("image/jpeg")


def _riff(data: bytes) -> MediaInfo:
    if data[8:12] == b"WAVE":
        rate = int.from_bytes(data[28:32], "little")
        return MediaInfo("audio/wav", duration=round(len(data) / rate) if rate else 0)
    if data[8:12] != b"WEBP":
        return MediaInfo("application/octet-stream")
    kind = data[12:16]
    if kind == b"VP8X":
        return MediaInfo(
            "image/webp",
            int.from_bytes(data[24:27], "little") + 1,
            int.from_bytes(data[27:30], "little") + 1,
        )
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return MediaInfo("image/webp", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    width, height = struct.unpack("<HH", data[26:30])
    return MediaInfo("image/webp", width & 0x3FFF, height & 0x3FFF)


def _mp4(data: bytes) -> MediaInfo:
    width = height = duration = 0
    movie = data.find(b"mvhd")
    if movie >= 0:
        wide = data[movie + 4] == 1
        start = movie + (24 if wide else 16)
        scale = int.from_bytes(data[start : start + 4], "big")
        length = int.from_bytes(data[start + 4 : start + (12 if wide else 8)], "big")
        duration = round(length / scale) if scale else 0
    track = data.find(b"tkhd")
    while track >= 0:
        start = track + (92 if data[track + 4] == 1 else 80)
        size = struct.unpack(">II", data[start : start + 8]) if len(data) >= start + 8 else (0, 0)
        width, height = max(width, size[0] >> 16), max(height, size[1] >> 16)
        track = data.find(b"tkhd", track + 4)
    kind = "video/mp4" if width else "audio/mp4"
    return MediaInfo(kind, width, height, max(duration, 1) if movie >= 0 else 0)


def _ogg(data: bytes) -> MediaInfo:
    rate = 48_000
    vorbis = data.find(b"\x01vorbis", 0, 200)
    if vorbis >= 0:
        rate = int.from_bytes(data[vorbis + 12 : vorbis + 16], "little") or rate
    last = data.rfind(b"OggS")
    granule = int.from_bytes(data[last + 6 : last + 14], "little", signed=True)
    return MediaInfo("audio/ogg", duration=max(1, round(granule / rate)))


def _mp3(data: bytes) -> MediaInfo:
    position = 0
    if data.startswith(b"ID3") and len(data) > 10:
        position = 10 + sum(byte << shift for byte, shift in zip(data[6:10], (21, 14, 7, 0), strict=True))
    rates = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0)
    if len(data) > position + 3 and data[position] == 0xFF:
        rate = rates[data[position + 2] >> 4] * 1000
        return MediaInfo("audio/mpeg", duration=round((len(data) - position) * 8 / rate) if rate else 0)
    return MediaInfo("audio/mpeg")


_READERS = (
    (b"\x89PNG\r\n", 0, _png),
    (b"\xff\xd8\xff", 0, _jpeg),
    (b"GIF8", 0, _gif),
    (b"RIFF", 0, _riff),
    (b"ftyp", 4, _mp4),
    (b"OggS", 0, _ogg),
    (b"ID3", 0, _mp3),
    (b"\xff\xfb", 0, _mp3),
)
