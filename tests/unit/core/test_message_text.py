"""A text that is too long for Telegram is cut without breaking its HTML."""

import re
from html import unescape

import pytest

from services.core.message_text import MAX_MESSAGE_LENGTH, truncate_html


def visible_text(html: str) -> str:
    return unescape(re.sub(r"<[^>]*>", "", html))


def utf16_length(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


@pytest.mark.parametrize(
    ("html", "limit", "cut"),
    [
        ("short", 5, "short"),
        ("longer", 5, "long…"),
        ("<b>longer</b> words", 5, "<b>long…</b>"),
        ("<b>a<i>bcdef</i></b>", 4, "<b>a<i>bc…</i></b>"),
        ("<b>ab</b>cdef", 4, "<b>ab</b>c…"),
        ("a&amp;b&lt;c", 5, "a&amp;b&lt;c"),
        ("a&amp;b&lt;cd", 5, "a&amp;b&lt;…"),
        ("ab&amp;cd", 3, "ab…"),
        ("&#128512;abc", 4, "&#128512;a…"),
        ("😀😀😀", 5, "😀😀…"),
        ("😀😀😀", 6, "😀😀😀"),
        ("ab cdef", 4, "ab…"),
        ('<a href="https://x.y/?a=1&amp;b=2">longer</a>', 5, '<a href="https://x.y/?a=1&amp;b=2">long…</a>'),
    ],
)
def test_truncate_html_cuts_between_characters_and_closes_tags(html: str, limit: int, cut: str) -> None:
    assert truncate_html(html, limit) == cut
    assert utf16_length(visible_text(cut)) <= limit


def test_truncate_html_counts_only_visible_text() -> None:
    longest = "<b>" + "&lt;" * MAX_MESSAGE_LENGTH + "</b>"
    assert truncate_html(longest) == longest
    cut = truncate_html("<b>" + "&lt;" * (MAX_MESSAGE_LENGTH + 1) + "</b>")
    assert visible_text(cut) == "<" * (MAX_MESSAGE_LENGTH - 1) + "…"
