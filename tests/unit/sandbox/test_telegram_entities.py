"""Formatted text is parsed as Telegram parses it."""

from typing import Any

import pytest

from sandbox.telegram.errors import ApiError
from sandbox.telegram.text.entities import EntityError, parse_html, utf16_length
from sandbox.telegram.text.formatting import parse_caption, parse_formatted_text, parse_message_text, to_html
from sandbox.telegram.text.markdown import parse_markdown_v2


def _entity(kind: str, offset: int, length: int, **more: Any) -> dict[str, Any]:
    return {"type": kind, "offset": offset, "length": length, **more}


@pytest.mark.parametrize(
    ("source", "plain", "entities"),
    [
        ("a <b>b</b> &lt;&amp;&gt; &quot;", 'a b <&> "', [_entity("bold", 2, 1)]),
        ("😀<i>é</i>", "😀é", [_entity("italic", 2, 1)]),
        ("<b>x<i>y</i></b>", "xy", [_entity("bold", 0, 2), _entity("italic", 1, 1)]),
        ("<u>a</u><s>b</s><del>c</del>", "abc", [_entity("underline", 0, 1)]),
        ("<code>c</code>", "c", [_entity("code", 0, 1)]),
        ('<pre><code class="language-py">p</code></pre>', "p", [_entity("pre", 0, 1, language="py")]),
        (
            '<a href="https://a.b/?x=1&amp;y=2">l</a>',
            "l",
            [_entity("text_link", 0, 1, url="https://a.b/?x=1&y=2")],
        ),
        ("<blockquote expandable>q</blockquote>", "q", [_entity("expandable_blockquote", 0, 1)]),
        ("<tg-spoiler>s</tg-spoiler>", "s", [_entity("spoiler", 0, 1)]),
        ('<span class="tg-spoiler">s</span>', "s", [_entity("spoiler", 0, 1)]),
        ("<b></b>x&nbsp;", "x&nbsp;", []),
        ("&#128512;&#x41;", "😀A", []),
    ],
)
def test_html_is_parsed(source: str, plain: str, entities: list[dict[str, Any]]) -> None:
    text, found = parse_html(source)
    assert text == plain
    assert found[: len(entities)] == entities


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("a <x>b</x>", 'Unsupported start tag "x" at byte offset 2'),
        ("é<b", "Unclosed start tag at byte offset 2"),
        ("<b>a", 'Can\'t find end tag corresponding to start tag "b"'),
        ("a</b>", "Unexpected end tag at byte offset 1"),
        ("<b>a</i>", 'Unmatched end tag at byte offset 4, expected "</b>", found "</i>"'),
        ("<b>a</b", "Unclosed end tag at byte offset 4"),
        ("<span>a</span>", 'Tag "span" must have class "tg-spoiler" at byte offset 0'),
        ("1 < 2", 'Unsupported start tag "" at byte offset 2'),
    ],
)
def test_invalid_html_raises_telegrams_error(source: str, error: str) -> None:
    with pytest.raises(EntityError) as raised:
        parse_html(source)
    assert str(raised.value) == error


def test_markdown_v2_is_parsed() -> None:
    text, found = parse_markdown_v2(r"*b _i_* \. `c` [l](https://a.b) ||s|| ~d~")
    assert text == "b i . c l s d"
    kinds = {(e["type"], text[e["offset"] : e["offset"] + e["length"]]) for e in found}
    assert kinds == {
        ("bold", "b i"),
        ("italic", "i"),
        ("code", "c"),
        ("text_link", "l"),
        ("spoiler", "s"),
        ("strikethrough", "d"),
    }


def test_markdown_v2_code_blocks_and_quotes_are_parsed() -> None:
    assert parse_markdown_v2("```py\nx\n```") == ("x\n", [_entity("pre", 0, 2, language="py")])
    assert parse_markdown_v2(">a\n>b\nc") == ("a\nb\nc", [_entity("blockquote", 0, 3)])


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("a.", "Character '.' is reserved and must be escaped with the preceding '\\'"),
        ("*a", "Can't find end of Bold entity at byte offset 0"),
        ("[a](b", "Can't find end of a URL at byte offset 4"),
    ],
)
def test_invalid_markdown_v2_raises_telegrams_error(source: str, error: str) -> None:
    with pytest.raises(EntityError) as raised:
        parse_markdown_v2(source)
    assert str(raised.value) == error


def test_legacy_markdown_is_not_implemented() -> None:
    with pytest.raises(ApiError, match="501 Not Implemented"):
        parse_message_text("*b*", "Markdown", None)


def test_links_commands_and_mentions_are_detected() -> None:
    text, found = parse_formatted_text("/start see https://a.b/c. or @someone #tag x@y.zz <no>", None, None)
    shown = {text[e["offset"] : e["offset"] + e["length"]]: e["type"] for e in found}
    assert shown == {
        "/start": "bot_command",
        "https://a.b/c": "url",
        "@someone": "mention",
        "#tag": "hashtag",
        "x@y.zz": "email",
    }


def test_nothing_is_detected_inside_code() -> None:
    assert [e["type"] for e in parse_formatted_text("<code>/start</code>", "HTML", None)[1]] == ["code"]


def test_text_and_its_entities_are_trimmed() -> None:
    text, found = parse_formatted_text("  a <b>b  </b> ", "HTML", None)
    assert text == "a b"
    assert found == [_entity("bold", 2, 1)]


def test_length_limits_count_utf16_units_after_parsing() -> None:
    assert utf16_length("😀é") == 3
    assert parse_message_text("<b>" + "x" * 4096 + "</b>", "HTML", None)[0] == "x" * 4096
    with pytest.raises(ApiError, match="Bad Request: message is too long"):
        parse_message_text("😀" * 2049, None, None)
    with pytest.raises(ApiError, match="Bad Request: message caption is too long"):
        parse_caption("x" * 1025, None, None)
    with pytest.raises(ApiError, match="Bad Request: message text is empty"):
        parse_message_text("", None, None)
    with pytest.raises(ApiError, match="Bad Request: text must be non-empty"):
        parse_message_text("<b> </b>", "HTML", None)
    with pytest.raises(ApiError, match="Bad Request: unsupported parse_mode"):
        parse_message_text("x", "BBCode", None)


def test_html_for_the_chat_page_is_safe() -> None:
    source = '<a href="https://a.b/&quot;onx=1">l</a> &lt;script&gt;'
    text, found = parse_formatted_text(source, "HTML", None)
    html = to_html(text, found)
    assert "<script>" not in html
    assert '"onx=1"' not in html
    linked = [_entity("text_link", 0, 1, url="javascript:alert(1)")]
    assert to_html("x", linked) == "x"
