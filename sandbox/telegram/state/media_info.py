"""The MIME type, size in pixels and duration of a file, read from its content by Pillow and PyAV.

Telegram determines these itself, and bots and the chat page rely on them. Formats: PNG, JPEG, GIF, WebP,
MP4/MOV, Ogg, WAV and MP3; others, such as Matroska, are known by their names only.
"""

import io
import mimetypes
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

_IMAGE_FORMATS = ("PNG", "JPEG", "GIF", "WEBP")
_MIME_TYPES = {"mov": "audio/mp4", "ogg": "audio/ogg", "wav": "audio/wav", "mp3": "audio/mpeg"}
"""By FFmpeg's name of the format. A file with a picture in it is ``video/mp4``."""


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
    if (found := _read_image(data) or _read_recording(data)) is not None:
        return found
    if declared_type in (None, "", "application/octet-stream"):
        declared_type = mimetypes.guess_type(file_name)[0]
    return MediaInfo((declared_type or "application/octet-stream").partition(";")[0])


def _read_image(data: bytes) -> MediaInfo | None:
    try:
        with Image.open(io.BytesIO(data), formats=_IMAGE_FORMATS) as image:
            return MediaInfo(Image.MIME[str(image.format)], *image.size)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError):
        return None


def _read_recording(data: bytes) -> MediaInfo | None:
    import av  # takes 50 ms, and most files are images

    try:
        with av.open(io.BytesIO(data), "r", options={"format_whitelist": ",".join(_MIME_TYPES)}) as container:
            duration = max(1, round((container.duration or 0) / av.time_base))
            if container.streams.video:
                picture = container.streams.video[0]
                return MediaInfo("video/mp4", picture.width, picture.height, duration)
            return MediaInfo(_MIME_TYPES[container.format.name.partition(",")[0]], duration=duration)
    except (av.error.FFmpegError, ValueError):
        return None
