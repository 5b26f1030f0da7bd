"""What a step left in the journal, shortened for a person's eyes: no secret, and no address that may hold one."""

import json
import re
from typing import Any
from urllib.parse import urlsplit

_URL = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s\"'<>\\]+", re.IGNORECASE)
_DATA = re.compile(r"\bdata:[\w/+.-]+[;,][^\s\"'<>\\]+", re.IGNORECASE)
_SECRET = re.compile(
    r"\b\d{6,}:[\w-]{10,}"  # a bot's token
    r"|\b(?:r8_|sk-|sk_|xi-|whsec_|signkey-|Bearer\s+|Token\s+)[\w.\-]{6,}"
    r"|\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*",  # a JWT
    re.IGNORECASE,
)
_SECRET_NAME = re.compile(r"token|secret|password|authorization|api_?key|signature|cookie", re.IGNORECASE)
_HIDDEN = "…"
_LONGEST_WORD = 120
_LONGEST = 600
_MOST_ITEMS = 12


def discreet(text: str) -> str:
    """The text without secrets; of an address, only where it leads."""
    text = _DATA.sub("data:…", text)
    text = _URL.sub(lambda found: _place(found.group()), text)
    return _SECRET.sub(_HIDDEN, text)


def shown(value: Any) -> str:
    """A value of the journal as a few lines of JSON."""
    text = json.dumps(_short(value), ensure_ascii=False, indent=1, default=str)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1].rstrip() + _HIDDEN


def _short(value: Any) -> Any:
    if isinstance(value, str):
        text = discreet(value)
        return text if len(text) <= _LONGEST_WORD else f"{text[:_LONGEST_WORD]}{_HIDDEN} ({len(value)} characters)"
    if isinstance(value, dict):
        return {
            discreet(str(name)): _HIDDEN if _SECRET_NAME.search(str(name)) and each else _short(each)
            for name, each in value.items()
        }
    if isinstance(value, list | tuple):
        more = [f"{_HIDDEN} {len(value) - _MOST_ITEMS} more"] if len(value) > _MOST_ITEMS else []
        return [_short(each) for each in value[:_MOST_ITEMS]] + more
    return value


def _place(url: str) -> str:
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return _HIDDEN
    return f"{parts.scheme}://{host}/{_HIDDEN}" if host else f"{parts.scheme}:{_HIDDEN}"
