"""The kind of a file, by its content and not by its name."""

import filetype

_COMMON_NAMES = {"audio/x-wav": "audio/wav", "audio/x-flac": "audio/flac", "video/x-msvideo": "video/avi"}
"""What the library calls by an older name than the providers' APIs do."""


def detect_media_type(data: bytes) -> str:
    """The MIME type of a file, or `application/octet-stream` where it is unknown."""
    detected: str | None = filetype.guess_mime(data)
    if detected is None:
        return "application/octet-stream"
    return _COMMON_NAMES.get(detected, detected)
