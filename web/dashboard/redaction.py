"""What a step left in the journal, shortened for a person's eyes: no secret, and no address that may hold one."""

import json
import re
from typing import Any
from urllib.parse import urlsplit

_URL = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s\"'<>\\]+", re.IGNORECASE)
_DATA_URL = re.compile(r"\bdata:[\w/+.-]+[;,][^\s\"'<>\\]+", re.IGNORECASE)
_SECRET = re.compile(
    r"\b\d{6,}:[\w-]{10,}"  # a bot's token
    r"|\b(?:r8_|sk-|sk_|xi-|whsec_|signkey-|Bearer\s+|Token\s+)[\w.\-]{6,}"
    r"|\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*",  # a JWT
    re.IGNORECASE,
)
_SECRET_NAME = re.compile(r"token|secret|password|authorization|api_?key|signature|cookie", re.IGNORECASE)
_ELLIPSIS = "…"
_MAX_STRING_CHARS = 120
_MAX_CHARS = 600
_MAX_ITEMS = 12


def redact(text: str) -> str:
    """The text without secrets; of an address, only where it leads."""
    text = _DATA_URL.sub("data:…", text)
    text = _URL.sub(lambda found: _redact_url(found.group()), text)
    return _SECRET.sub(_ELLIPSIS, text)


def redacted_json(value: Any) -> str:
    """A value of the journal as a few lines of JSON."""
    text = json.dumps(_redact_value(value), ensure_ascii=False, indent=1, default=str)
    return text if len(text) <= _MAX_CHARS else text[: _MAX_CHARS - 1].rstrip() + _ELLIPSIS


def _redact_value(value: Any) -> Any:
    if isinstance(value, str):
        text = redact(value)
        return (
            text
            if len(text) <= _MAX_STRING_CHARS
            else f"{text[:_MAX_STRING_CHARS]}{_ELLIPSIS} ({len(value)} characters)"
        )
    if isinstance(value, dict):
        return {
            redact(str(name)): _ELLIPSIS if _SECRET_NAME.search(str(name)) and each else _redact_value(each)
            for name, each in value.items()
        }
    if isinstance(value, list | tuple):
        more = [f"{_ELLIPSIS} {len(value) - _MAX_ITEMS} more"] if len(value) > _MAX_ITEMS else []
        return [_redact_value(each) for each in value[:_MAX_ITEMS]] + more
    return value


def _redact_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return _ELLIPSIS
    return f"{parts.scheme}://{host}/{_ELLIPSIS}" if host else f"{parts.scheme}:{_ELLIPSIS}"
