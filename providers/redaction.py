"""Removes secrets, and URLs that may contain secrets, before text leaves the process.

Log lines go through `hide_secrets`, which keeps URLs because addresses on this machine are useful in a log. All other
texts (alerts, the dashboard, error reasons shown to admins) go through `redact`.
"""

import json
import re
from typing import Any, Final
from urllib.parse import urlsplit

_URL: Final = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s\"'<>\\]+", re.IGNORECASE)
_DATA_URL: Final = re.compile(r"\bdata:[\w/+.-]+[;,][^\s\"'<>\\]+", re.IGNORECASE)
_BOT_TOKEN: Final = re.compile(r"(?<!\d)(\d{6,}):[\w-]{20,}")
"""The bot's id, which is public, and its secret: https://core.telegram.org/bots/api#authorizing-your-bot"""
_SECRET: Final = re.compile(
    r"\b(?:sk|r8|xi|whsec)[-_][\w*.+/=-]{3,}"  # OpenAI, Replicate, ElevenLabs and webhooks
    r"|\bsignkey-[\w.-]{6,}"  # Inngest
    r"|\b(?:Bearer|Token)\s+(?=\S*[\d.]\w|\S{16})[\w*.+/=-]{6,}"
    r"|\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*",  # a JWT
    re.IGNORECASE,
)
_SECRET_NAME: Final = re.compile(r"token|secret|password|authorization|api_?key|signature|cookie", re.IGNORECASE)
_ELLIPSIS: Final = "…"
_MAX_LINE_CHARS: Final = 300
_MAX_STRING_CHARS: Final = 120
_MAX_JSON_CHARS: Final = 600
_MAX_ITEMS: Final = 12


def hide_secrets(text: str) -> str:
    """Remove secrets from a text. Of a bot token, the public id is kept."""
    return _SECRET.sub(_ELLIPSIS, _BOT_TOKEN.sub(rf"\1:{_ELLIPSIS}", text))


def redact(text: str) -> str:
    """Remove secrets from a text. Of a URL, only the scheme and host are kept."""
    text = _DATA_URL.sub(f"data:{_ELLIPSIS}", text)
    text = _URL.sub(lambda match: _redact_url(match.group()), text)
    return hide_secrets(text)


def redact_line(text: str, limit: int = _MAX_LINE_CHARS) -> str:
    """Redact a text and shorten it to one line of at most `limit` characters."""
    line = redact(" ".join(text.split()))
    return line if len(line) <= limit else line[: limit - 1] + _ELLIPSIS


def redacted_json(value: Any) -> str:
    """Redact and shorten a JSON value for display, such as a step's result in the journal.

    Args:
        value: Strings, numbers, lists and mappings. Values under keys such as `token` or `password` are hidden.

    Returns:
        A few lines of JSON, cut to 600 characters, so it may not parse.
    """
    text = json.dumps(_redact_value(value), ensure_ascii=False, indent=1, default=str)
    return text if len(text) <= _MAX_JSON_CHARS else text[: _MAX_JSON_CHARS - 1].rstrip() + _ELLIPSIS


def _redact_value(value: Any) -> Any:
    if isinstance(value, str):
        text = redact(value)
        if len(text) <= _MAX_STRING_CHARS:
            return text
        return f"{text[:_MAX_STRING_CHARS]}{_ELLIPSIS} ({len(value)} characters)"
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
