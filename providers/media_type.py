"""Detects a file's media type from its content; the file name is ignored."""

import filetype

_COMMON_NAMES = {"audio/x-wav": "audio/wav", "audio/x-flac": "audio/flac", "video/x-msvideo": "video/avi"}
"""The library's older names for types, and the names that the providers' APIs use."""


def detect_media_type(data: bytes) -> str:
    """Return the MIME type of a file, or `application/octet-stream` if it is unknown."""
    detected: str | None = filetype.guess_mime(data)
    if detected is None:
        return "application/octet-stream"
    return _COMMON_NAMES.get(detected, detected)
