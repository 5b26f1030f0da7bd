"""Telegram's MarkdownV2 as plain text with entities.

The grammar and the error texts are those of TDLib's ``parse_markdown_v2``
(https://github.com/tdlib/td, MessageEntity.cpp).
"""

import re
from typing import NamedTuple

from sandbox.telegram.json_types import Json
from sandbox.telegram.text.entities import EntityError, TextBuilder, normalize_link

_RESERVED = "_*[]()~`>#+-=|{}.!"
_MARKS = {
    "```": "pre",
    "||": "spoiler",
    "__": "underline",
    "_": "italic",
    "*": "bold",
    "~": "strikethrough",
    "`": "code",
    "![": "custom_emoji",
    "[": "text_link",
}
_MARK = re.compile("|".join(re.escape(mark) for mark in _MARKS))
_LINKS = ("text_link", "custom_emoji")
_ENTITY_NAMES = {"custom_emoji": "CustomEmoji", "text_link": "TextUrl", "blockquote": "BlockQuote"}
_PRE_HEAD = re.compile(r"([^\s`]+(?=\n))?\n?")
_URL = re.compile(r"\(((?:\\.|[^\\)])*)\)", re.DOTALL)


class _OpenEntity(NamedTuple):
    type: str
    mark: str
    offset: int
    position: int
    language: str | None = None


def parse_markdown_v2(source: str) -> tuple[str, list[Json]]:
    """Return the plain text and the entities of MarkdownV2.

    Raises:
        EntityError: Where Telegram would refuse the text.
    """
    return _MarkdownParser(source).parse()


class _MarkdownParser(TextBuilder):
    def parse(self) -> tuple[str, list[Json]]:
        self.opened: list[_OpenEntity] = []
        position = 0
        while position < len(self.source):
            position = self._step(position)
        while self.opened and self.opened[-1].type == "blockquote":
            self._end(position)
        if self.opened:
            last = self.opened[-1]
            name = _ENTITY_NAMES.get(last.type, last.type.capitalize())
            raise EntityError(f"Can't find end of {name} entity {self.at_byte(last.position)}")
        return self.result()

    def _step(self, position: int) -> int:
        """Read a character or a mark; returns where to read on."""
        source, character = self.source, self.source[position]
        inner = self.opened[-1].type if self.opened else ""
        if character == "\\" and (escaped := source[position + 1 : position + 2]) and escaped.isascii():
            self.add_text(escaped)
            return position + 2
        if inner in ("code", "pre"):
            if source.startswith(self.opened[-1].mark, position):
                return self._end(position)
        elif inner == "blockquote" and character == "\n" and not source.startswith("\n>", position):
            self._end(position)
        elif inner in _LINKS and character == "]":
            return self._end(position)
        elif character == ">" and (position == 0 or source[position - 1] == "\n"):
            if all(opened.type != "blockquote" for opened in self.opened):
                self.opened.append(_OpenEntity("blockquote", "", self.length, position))
            return position + 1
        elif (mark := _MARK.match(source, position)) is not None:
            kind = _MARKS[mark.group()]
            ends = inner == kind and kind not in _LINKS
            return self._end(position) if ends else self._begin(kind, mark.group(), position)
        elif character in _RESERVED:
            raise EntityError(f"Character '{character}' is reserved and must be escaped with the preceding '\\'")
        self.add_text(character)
        return position + 1

    def _begin(self, kind: str, mark: str, position: int) -> int:
        end, language = position + len(mark), None
        if kind == "pre" and (head := _PRE_HEAD.match(self.source, end)):
            end, language = head.end(), head.group(1)
        self.opened.append(_OpenEntity(kind, mark, self.length, position, language))
        return end

    def _end(self, position: int) -> int:
        """Close the innermost entity; returns where to read on."""
        opened = self.opened.pop()
        if opened.type in _LINKS:
            return self._end_link(opened, position + 1)
        self.add_entity(opened.type, opened.offset, **({"language": opened.language} if opened.language else {}))
        return position + len(opened.mark)

    def _end_link(self, opened: _OpenEntity, position: int) -> int:
        """Read the URL after ``]``, if there is one."""
        emoji = opened.type == "custom_emoji"
        match = _URL.match(self.source, position)
        if match is None and self.source.startswith("(", position):
            what = "a custom emoji URL" if emoji else "a URL"
            raise EntityError(f"Can't find end of {what} {self.at_byte(position + 1)}")
        if match is None and emoji:
            raise EntityError("Custom emoji entity must contain a tg://emoji URL")
        url = re.sub(r"\\(.)", r"\1", match.group(1)) if match else self.text_from(opened.offset)
        if emoji:
            self.add_entity(opened.type, opened.offset, custom_emoji_id=url.partition("id=")[2])
        elif link := normalize_link(url):
            self.add_entity(opened.type, opened.offset, url=link)
        return match.end() if match else position
