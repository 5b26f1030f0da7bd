"""Telegram's HTML as plain text with entities, and what all formatting has in common.

The grammar and the error texts are those of TDLib's ``parse_html``
(https://github.com/tdlib/td, MessageEntity.cpp).
"""

import html
import re
from typing import NamedTuple

from sandbox.telegram.json_types import Json

_TAGS = {
    "bold": ("b", "strong"),
    "italic": ("i", "em"),
    "underline": ("u", "ins"),
    "strikethrough": ("s", "strike", "del"),
    "spoiler": ("tg-spoiler", "span"),
    "text_link": ("a",),
    "custom_emoji": ("tg-emoji",),
    **{kind: (kind,) for kind in ("code", "pre", "blockquote")},
}
_ENTITY_OF_TAG = {tag: kind for kind, tags in _TAGS.items() for tag in tags}
_ARGUMENT_OF_TAG = {"a": "href", "code": "class", "span": "class", "tg-emoji": "emoji-id"}
_CHARACTER_REFERENCE = re.compile(r"&(#x[0-9a-fA-F]{1,6}|#[0-9]{1,7}|lt|gt|amp|quot);?")
_TAG_NAME = re.compile(r"<([^\s>]*)(?=[\s>])\s*")
_ATTRIBUTE = re.compile(r"""([^\s=>]+)\s*(?:=\s*("[^"]*"|'[^']*'|[\w.\-]*))?\s*""")
_END_TAG = re.compile(r"</([^\s>]*)\s*>")
_NESTING_ORDER = {"blockquote": 0, "expandable_blockquote": 0, "pre": 1, "code": 2, "text_link": 3}


class EntityError(ValueError):
    """Formatting that Telegram would refuse; the message is the part after ``can't parse entities:``."""


def utf16_length(text: str) -> int:
    """Return the length of a text in UTF-16 code units, as Telegram counts it."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2


def sort_entities(entities: list[Json]) -> list[Json]:
    """Return entities in Telegram's order: by offset, outer ones first."""
    return sorted(entities, key=lambda e: (e["offset"], -e["length"], _NESTING_ORDER.get(e["type"], 9)))


def normalize_link(url: str) -> str | None:
    """Return the URL that Telegram would keep for a link, or None where it drops the link."""
    url = url.strip()
    if re.match(r"(?i)((https?|tg|ton|tonsite)://|mailto:|tel:)\S", url):
        return url
    return f"http://{url}" if re.fullmatch(r"[\w\-]+(\.[\w\-]+)+([/?#]\S*)?", url) else None


class TextBuilder:
    """The plain text and the entities that a parser has read so far.

    Attributes:
        source: The formatted text.
        length: The length of the plain text in UTF-16 code units.
        entities: In the order in which they ended.
    """

    def __init__(self, source: str) -> None:
        """Start with an empty text."""
        self.source = source
        self.length = 0
        self.entities: list[Json] = []
        self._chunks: list[str] = []

    def add_text(self, text: str) -> None:
        """Append plain text."""
        self._chunks.append(text)
        self.length += utf16_length(text)

    def add_entity(self, kind: str, offset: int, **fields: str) -> None:
        """Add an entity from ``offset`` to the end of the text, unless it is empty."""
        if self.length > offset:
            self.entities.append({"type": kind, "offset": offset, "length": self.length - offset, **fields})

    def text_from(self, offset: int) -> str:
        """Return the plain text from an offset in UTF-16 code units."""
        return "".join(self._chunks).encode("utf-16-le")[2 * offset :].decode("utf-16-le")

    def at_byte(self, position: int) -> str:
        """Return a position in the source as Telegram's errors say it."""
        return f"at byte offset {len(self.source[:position].encode())}"

    def result(self) -> tuple[str, list[Json]]:
        """Return the plain text and the entities."""
        return "".join(self._chunks), sort_entities(self.entities)


def parse_html(source: str) -> tuple[str, list[Json]]:
    """Return the plain text and the entities of HTML.

    Raises:
        EntityError: Where Telegram would refuse the HTML.
    """
    return _HtmlParser(source).parse()


class _OpenTag(NamedTuple):
    name: str
    argument: str
    offset: int
    expandable: bool


class _HtmlParser(TextBuilder):
    def parse(self) -> tuple[str, list[Json]]:
        opened: list[_OpenTag] = []
        position = 0
        while (tag := self.source.find("<", position)) >= 0:
            self._add_html_text(position, tag)
            read_tag = self._end_tag if self.source.startswith("</", tag) else self._start_tag
            position = read_tag(tag, opened)
        self._add_html_text(position, len(self.source))
        if opened:
            raise EntityError(f'Can\'t find end tag corresponding to start tag "{opened[-1].name}"')
        for entity in self.entities:
            if entity["type"] == "code":
                entity.pop("language", None)
        return self.result()

    def _add_html_text(self, begin: int, end: int) -> None:
        self.add_text(_CHARACTER_REFERENCE.sub(_decode_character, self.source[begin:end]))

    def _start_tag(self, begin: int, opened: list[_OpenTag]) -> int:
        """Read a tag with its attributes; returns where it ends."""
        unclosed = EntityError(f"Unclosed start tag {self.at_byte(begin)}")
        match = _TAG_NAME.match(self.source, begin)
        if match is None:
            raise unclosed
        name, attributes = match.group(1).lower(), dict[str, str]()
        if name not in _ENTITY_OF_TAG:
            raise EntityError(f'Unsupported start tag "{name}" {self.at_byte(begin)}')
        while not self.source.startswith(">", position := match.end()):
            match = _ATTRIBUTE.match(self.source, position)
            if match is None:
                missing_name = f'Empty attribute name in the tag "{name}" {self.at_byte(begin)}'
                raise EntityError(missing_name) if position < len(self.source) else unclosed
            value = match.group(2) or ""
            attributes[match.group(1).lower()] = html.unescape(value[1:-1]) if value[:1] in ("'", '"') else value
        argument = attributes.get(_ARGUMENT_OF_TAG.get(name, ""), "")
        if name == "span" and argument != "tg-spoiler":
            raise EntityError(f'Tag "span" must have class "tg-spoiler" {self.at_byte(begin)}')
        opened.append(_OpenTag(name, argument, self.length, "expandable" in attributes))
        return position + 1

    def _end_tag(self, begin: int, opened: list[_OpenTag]) -> int:
        """Read an end tag and add its entity; returns where the tag ends."""
        if not opened:
            raise EntityError(f"Unexpected end tag {self.at_byte(begin)}")
        match = _END_TAG.match(self.source, begin)
        if match is None:
            raise EntityError(f"Unclosed end tag {self.at_byte(begin)}")
        name, tag = match.group(1).lower(), opened.pop()
        if name not in ("", tag.name):
            raise EntityError(
                f'Unmatched end tag {self.at_byte(begin)}, expected "</{tag.name}>", found "</{name}>"'
            )
        if self.length > tag.offset:
            self._close(tag)
        return match.end()

    def _close(self, tag: _OpenTag) -> None:
        kind = _ENTITY_OF_TAG[tag.name]
        match tag.name:
            case "a":
                if url := normalize_link(tag.argument or self.text_from(tag.offset)):
                    self.add_entity(kind, tag.offset, url=url)
            case "tg-emoji":
                if not tag.argument.isdigit():
                    raise EntityError("Invalid custom emoji identifier specified")
                self.add_entity(kind, tag.offset, custom_emoji_id=tag.argument)
            case "blockquote":
                self.add_entity("expandable_blockquote" if tag.expandable else kind, tag.offset)
            case "code" if language := tag.argument.removeprefix("language-"):
                self.add_entity(kind, tag.offset, language=language)
            case "pre" if self._is_code_with_language(tag.offset):
                self.entities[-1]["type"] = "pre"
            case _:
                self.add_entity(kind, tag.offset)

    def _is_code_with_language(self, offset: int) -> bool:
        """Whether a ``pre`` that ends here holds ``<code class="language-x">`` only: they are one entity."""
        last = self.entities[-1] if self.entities else {}
        whole = {"type": "code", "offset": offset, "length": self.length - offset}
        return "language" in last and whole.items() <= last.items()


def _decode_character(match: re.Match[str]) -> str:
    name = match.group(1)
    if not name.startswith("#"):
        return {"lt": "<", "gt": ">", "amp": "&", "quot": '"'}[name]
    code = int(f"0{name[1:]}", 16) if name[1] == "x" else int(name[1:])
    return chr(code) if 0 < code < 0x10FFFF and not 0xD800 <= code <= 0xDFFF else match.group()
