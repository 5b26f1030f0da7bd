"""The kind of a file, by its first bytes and not by its name."""

_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"OggS", "audio/ogg"),
    (b"ID3", "audio/mpeg"),
    (b"\xff\xfb", "audio/mpeg"),
    (b"\xff\xf3", "audio/mpeg"),
    (b"fLaC", "audio/flac"),
    (b"\x1a\x45\xdf\xa3", "video/webm"),
    (b"PK\x03\x04", "application/zip"),
)
_BY_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav"}
_BY_FTYP = {b"M4A ": "audio/mp4", b"qt  ": "video/quicktime", b"heic": "image/heic"}


def detect_media_type(data: bytes) -> str:
    """The MIME type of a file, or `application/octet-stream` where it is unknown."""
    if data[:4] == b"RIFF":
        return _BY_RIFF.get(data[8:12], "application/octet-stream")
    if data[4:8] == b"ftyp":
        return _BY_FTYP.get(data[8:12], "video/mp4")
    for start, kind in _SIGNATURES:
        if data.startswith(start):
            return kind
    return "application/octet-stream"
