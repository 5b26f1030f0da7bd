"""Telegram's HTML as plain text with entities, and lengths in UTF-16 code units.

The grammar and the error texts are those of TDLib's ``parse_html``
(https://github.com/tdlib/td, MessageEntity.cpp).
"""

import html
import re
from dataclasses import dataclass

from sandbox.telegram.json_types import Json

_ENTITY_OF_TAG = {
    "b": "bold",
    "strong": "bold",
    "i": "italic",
    "em": "italic",
    "u": "underline",
    "ins": "underline",
    "s": "strikethrough",
    "strike": "strikethrough",
    "del": "strikethrough",
    "tg-spoiler": "spoiler",
    "span": "spoiler",
    "code": "code",
    "pre": "pre",
    "a": "text_link",
    "blockquote": "blockquote",
    "tg-emoji": "custom_emoji",
}
_CHARACTER_REFERENCE = re.compile(r"&(#x[0-9a-fA-F]{1,6}|#[0-9]{1,7}|lt|gt|amp|quot);?")
_ATTRIBUTE = re.compile(r"""\s*([^\s=>]+)\s*(?:=\s*("[^"]*"|'[^']*'|[\w.\-]*))?""")
_NESTING_ORDER = {"blockquote": 0, "expandable_blockquote": 0, "pre": 1, "code": 2, "text_link": 3}


class EntityError(ValueError):
    """Formatting that Telegram would refuse; the message is the part after ``can't parse entities:``."""


@dataclass(slots=True)
class _OpenTag:
    tag: str
    argument: str
    offset: int
    start: int
    expandable: bool = False


def utf16_length(text: str) -> int:
    """Return the length of a text in UTF-16 code units, as Telegram counts it."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2


def sort_entities(entities: list[Json]) -> list[Json]:
    """Return entities in Telegram's order: by offset, outer ones first."""
    return sorted(entities, key=lambda e: (e["offset"], -e["length"], _NESTING_ORDER.get(e["type"], 9)))


def parse_html(source: str) -> tuple[str, list[Json]]:
    """Return the plain text and the entities of HTML.

    Raises:
        EntityError: Where Telegram would refuse the HTML.
    """
    if "<" not in source and "&" not in source:
        return source, []
    return _HtmlParser(source).parse()


class _HtmlParser:
    def __init__(self, source: str) -> None:
        self.source = source
        self.chunks: list[str] = []
        self.length = 0
        self.open_tags: list[_OpenTag] = []
        self.entities: list[Json] = []

    def parse(self) -> tuple[str, list[Json]]:
        position = 0
        while (tag := self.source.find("<", position)) >= 0:
            self._add_text(self.source[position:tag])
            position = self._end_tag(tag) if self.source.startswith("</", tag) else self._start_tag(tag)
        self._add_text(self.source[position:])
        if self.open_tags:
            raise EntityError(f'Can\'t find end tag corresponding to start tag "{self.open_tags[-1].tag}"')
        for entity in self.entities:
            if entity["type"] == "code":
                entity.pop("language", None)
        return "".join(self.chunks), sort_entities(self.entities)

    def _add_text(self, text: str) -> None:
        if text:
            text = _CHARACTER_REFERENCE.sub(_decode_character, text)
            self.chunks.append(text)
            self.length += utf16_length(text)

    def _offset_text(self, position: int) -> str:
        return f"at byte offset {len(self.source[:position].encode())}"

    def _start_tag(self, begin: int) -> int:
        name_end = begin + 1
        while name_end < len(self.source) and not self.source[name_end].isspace() and self.source[name_end] != ">":
            name_end += 1
        if name_end >= len(self.source):
            raise EntityError(f"Unclosed start tag {self._offset_text(begin)}")
        tag = self.source[begin + 1 : name_end].lower()
        if tag not in _ENTITY_OF_TAG:
            raise EntityError(f'Unsupported start tag "{tag}" {self._offset_text(begin)}')
        attributes, end = self._attributes(tag, begin, name_end)
        argument = {
            "a": attributes.get("href", ""),
            "code": attributes.get("class", "").removeprefix("language-"),
            "span": attributes.get("class", ""),
            "tg-emoji": attributes.get("emoji-id", ""),
        }.get(tag, "")
        if tag == "span" and argument != "tg-spoiler":
            raise EntityError(f'Tag "span" must have class "tg-spoiler" {self._offset_text(begin)}')
        self.open_tags.append(_OpenTag(tag, argument, self.length, len(self.chunks), "expandable" in attributes))
        return end

    def _attributes(self, tag: str, begin: int, position: int) -> tuple[dict[str, str], int]:
        found: dict[str, str] = {}
        while True:
            while position < len(self.source) and self.source[position].isspace():
                position += 1
            if position >= len(self.source):
                raise EntityError(f"Unclosed start tag {self._offset_text(begin)}")
            if self.source[position] == ">":
                return found, position + 1
            match = _ATTRIBUTE.match(self.source, position)
            if match is None:
                raise EntityError(f'Empty attribute name in the tag "{tag}" {self._offset_text(begin)}')
            value = match.group(2) or ""
            if value[:1] in ("'", '"'):
                value = html.unescape(value[1:-1])
            found[match.group(1).lower()] = value
            position = match.end()

    def _end_tag(self, begin: int) -> int:
        if not self.open_tags:
            raise EntityError(f"Unexpected end tag {self._offset_text(begin)}")
        end = re.compile(r"([^\s>]*)\s*>").match(self.source, begin + 2)
        if end is None:
            raise EntityError(f"Unclosed end tag {self._offset_text(begin)}")
        name, opened = end.group(1).lower(), self.open_tags.pop()
        if name and name != opened.tag:
            raise EntityError(
                f'Unmatched end tag {self._offset_text(begin)}, expected "</{opened.tag}>", found "</{name}>"'
            )
        if self.length > opened.offset:
            self._close(opened)
        return end.end()

    def _close(self, opened: _OpenTag) -> None:
        entity: Json = {
            "type": _ENTITY_OF_TAG[opened.tag],
            "offset": opened.offset,
            "length": self.length - opened.offset,
        }
        if opened.tag == "a":
            url = normalize_link(opened.argument or "".join(self.chunks[opened.start :]))
            if url is None:
                return
            entity["url"] = url
        elif opened.tag == "tg-emoji":
            if not opened.argument.isdigit():
                raise EntityError("Invalid custom emoji identifier specified")
            entity["custom_emoji_id"] = opened.argument
        elif opened.tag == "blockquote" and opened.expandable:
            entity["type"] = "expandable_blockquote"
        elif opened.tag in ("pre", "code") and self._merge_into_pre(opened, entity):
            return
        elif opened.tag == "code" and opened.argument:
            entity["language"] = opened.argument
        self.entities.append(entity)

    def _merge_into_pre(self, opened: _OpenTag, entity: Json) -> bool:
        """``<pre><code class="language-x">`` is one entity with a language."""
        last = self.entities[-1] if self.entities else None
        if opened.tag != "pre" or last is None or last["type"] != "code" or "language" not in last:
            return False
        if (last["offset"], last["length"]) != (entity["offset"], entity["length"]):
            return False
        last["type"] = "pre"
        return True


def normalize_link(url: str) -> str | None:
    """Return the URL that Telegram would keep for a link, or None where it drops the link."""
    url = url.strip()
    if re.match(r"(?i)(https?|tg|ton|tonsite)://\S", url) or re.match(r"(?i)(mailto|tel):\S", url):
        return url
    if re.fullmatch(r"[\w\-]+(\.[\w\-]+)+([/?#]\S*)?", url):
        return f"http://{url}"
    return None


def _decode_character(match: re.Match[str]) -> str:
    name = match.group(1)
    if not name.startswith("#"):
        return {"lt": "<", "gt": ">", "amp": "&", "quot": '"'}[name]
    code = int(f"0{name[1:]}", 16) if name[1] == "x" else int(name[1:])
    return chr(code) if 0 < code < 0x10FFFF and not 0xD800 <= code <= 0xDFFF else match.group()
