"""Shortens text to fit into one Telegram message without breaking its HTML.

The limit is 4096 characters after entities parsing: https://core.telegram.org/bots/api#sendmessage
"""

from html import unescape
from html.parser import HTMLParser
from typing import Final

MAX_MESSAGE_LENGTH: Final = 4096
_ELLIPSIS: Final = "…"


def truncate_html(html: str, limit: int = MAX_MESSAGE_LENGTH) -> str:
    """Shorten HTML whose visible text exceeds the limit. The result ends with an ellipsis, and all tags are closed.

    `limit` is in UTF-16 code units, as Telegram counts: https://core.telegram.org/api/entities#entity-length
    """
    if _utf16_length(html) <= limit:
        return html
    whole = _HtmlTruncator(limit)
    whole.feed(html)
    whole.close()
    if not whole.full:
        return html
    truncator = _HtmlTruncator(limit - len(_ELLIPSIS))
    truncator.feed(html)
    truncator.close()
    return truncator.html


def _utf16_length(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


class _HtmlTruncator(HTMLParser):
    """Copies HTML up to the limit. A character reference counts as the character it stands for and is never split."""

    def __init__(self, limit: int) -> None:
        super().__init__(convert_charrefs=False)
        self._remaining = limit
        self._parts: list[str] = []
        self._open: list[str] = []
        self.full = False

    @property
    def html(self) -> str:
        """The copied HTML, without trailing white space, which Telegram strips anyway."""
        closing = "".join(f"</{tag}>" for tag in reversed(self._open))
        return "".join(self._parts).rstrip() + _ELLIPSIS + closing

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if not self.full:
            self._parts.append(self.get_starttag_text() or "")
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.full and tag in self._open:
            while self._open:
                last = self._open.pop()
                self._parts.append(f"</{last}>")
                if last == tag:
                    return

    def handle_data(self, data: str) -> None:
        for character in data:
            self._append(character, _utf16_length(character))

    def handle_entityref(self, name: str) -> None:
        self._append(f"&{name};", _utf16_length(unescape(f"&{name};")))

    def handle_charref(self, name: str) -> None:
        self._append(f"&#{name};", _utf16_length(unescape(f"&#{name};")))

    def _append(self, markup: str, units: int) -> None:
        self.full = self.full or units > self._remaining
        if not self.full:
            self._parts.append(markup)
            self._remaining -= units
