"""Telegram's two Markdown modes, read into plain text with entities.

The grammar and the refusals are those of TDLib's ``parse_markdown`` and ``parse_markdown_v2``.
"""

from dataclasses import dataclass
from typing import Any

from sandbox.telegram.text.entities import EntityError, link_target, sort_entities, utf16_length

Json = dict[str, Any]

_RESERVED = "_*[]()~`>#+-=|{}.!"
_MARKS = (("```", "pre"), ("||", "spoiler"), ("__", "underline"), ("_", "italic"), ("*", "bold"))
_MARKS_V2 = (*_MARKS, ("~", "strikethrough"), ("`", "code"), ("![", "custom_emoji"), ("[", "text_link"))
_MARKS_V1 = (("```", "pre"), ("`", "code"), ("_", "italic"), ("*", "bold"), ("[", "text_link"))
_NAMES = {
    "pre": "Pre",
    "spoiler": "Spoiler",
    "underline": "Underline",
    "italic": "Italic",
    "bold": "Bold",
    "strikethrough": "Strikethrough",
    "code": "Code",
    "custom_emoji": "CustomEmoji",
    "text_link": "TextUrl",
    "blockquote": "BlockQuote",
}


@dataclass(slots=True)
class _Open:
    type: str
    mark: str
    offset: int
    source: int
    start: int
    language: str = ""


class _Reader:
    def __init__(self, source: str) -> None:
        self.source = source
        self.plain: list[str] = []
        self.length = 0
        self.open: list[_Open] = []
        self.entities: list[Json] = []

    def put(self, text: str) -> None:
        self.plain.append(text)
        self.length += utf16_length(text)

    def at(self, position: int) -> int:
        return len(self.source[:position].encode())

    def begin(self, kind: str, mark: str, position: int) -> int:
        opened = _Open(kind, mark, self.length, position, len(self.plain))
        position += len(mark)
        if kind == "pre":
            line_end = self.source.find("\n", position)
            language = self.source[position:line_end] if line_end >= 0 else ""
            if language and "`" not in language and " " not in language:
                opened.language, position = language, line_end
            if self.source.startswith("\n", position):
                position += 1
        self.open.append(opened)
        return position

    def end(self, position: int) -> int:
        """Close the innermost entity at ``position``; where reading goes on."""
        opened = self.open.pop()
        entity: Json = {"type": opened.type, "offset": opened.offset, "length": self.length - opened.offset}
        if opened.type in ("text_link", "custom_emoji"):
            target, position = self._target(position + 1, opened)
            if target is None:
                return position
            entity["url" if opened.type == "text_link" else "custom_emoji_id"] = target
        else:
            position += len(opened.mark)
            if opened.language:
                entity["language"] = opened.language
        if entity["length"]:
            self.entities.append(entity)
        return position

    def _target(self, position: int, opened: _Open) -> tuple[str | None, int]:
        emoji = opened.type == "custom_emoji"
        if not self.source.startswith("(", position):
            if emoji:
                raise EntityError("Custom emoji entity must contain a tg://emoji URL")
            return link_target("".join(self.plain[opened.start :])), position
        url, index = "", position + 1
        while index < len(self.source) and self.source[index] != ")":
            if self.source[index] == "\\" and index + 1 < len(self.source):
                index += 1
            url += self.source[index]
            index += 1
        if index >= len(self.source):
            what = "a custom emoji URL" if emoji else "a URL"
            raise EntityError(f"Can't find end of {what} at byte offset {self.at(position + 1)}")
        return (url.partition("id=")[2] if emoji else link_target(url)), index + 1


def parse_markdown_v2(source: str) -> tuple[str, list[Json]]:
    """Plain text and entities of MarkdownV2; raises ``EntityError`` where Telegram refuses."""
    reader, position = _Reader(source), 0
    while position < len(source):
        position = _step_v2(reader, position)
    while reader.open and reader.open[-1].type == "blockquote":
        reader.end(len(source))
    if reader.open:
        left = reader.open[-1]
        raise EntityError(f"Can't find end of {_NAMES[left.type]} entity at byte offset {reader.at(left.source)}")
    return "".join(reader.plain), sort_entities(reader.entities)


def _step_v2(reader: _Reader, position: int) -> int:
    source = reader.source
    character = source[position]
    inner = reader.open[-1].type if reader.open else ""
    if character == "\\" and position + 1 < len(source) and source[position + 1].isascii():
        reader.put(source[position + 1])
        return position + 2
    if inner in ("code", "pre"):
        if source.startswith(reader.open[-1].mark, position):
            return reader.end(position)
        reader.put(character)
        return position + 1
    if inner == "blockquote" and character == "\n" and not source.startswith("\n>", position):
        position = reader.end(position)
        reader.put("\n")
        return position + 1
    if inner in ("text_link", "custom_emoji") and character == "]":
        return reader.end(position)
    if character == ">" and (position == 0 or source[position - 1] == "\n"):
        if any(opened.type == "blockquote" for opened in reader.open):
            return position + 1
        reader.begin("blockquote", "", position)
        return position + 1
    return _mark_v2(reader, position, character)


def _mark_v2(reader: _Reader, position: int, character: str) -> int:
    for mark, kind in _MARKS_V2:
        if reader.source.startswith(mark, position):
            if reader.open and reader.open[-1].type == kind and kind not in ("text_link", "custom_emoji"):
                return reader.end(position)
            return reader.begin(kind, mark, position)
    if character in _RESERVED:
        raise EntityError(f"Character '{character}' is reserved and must be escaped with the preceding '\\'")
    reader.put(character)
    return position + 1


def parse_markdown(source: str) -> tuple[str, list[Json]]:
    """Plain text and entities of the legacy Markdown mode; entities do not nest there."""
    reader, position = _Reader(source), 0
    while position < len(source):
        if source[position] == "\\" and source[position + 1 : position + 2] in tuple("_*`["):
            reader.put(source[position + 1])
            position += 2
            continue
        if reader.open:
            ends = "]" if reader.open[-1].type == "text_link" else reader.open[-1].mark
            if source.startswith(ends, position):
                position = reader.end(position)
                continue
        else:
            found = next((pair for pair in _MARKS_V1 if source.startswith(pair[0], position)), None)
            if found is not None:
                position = reader.begin(found[1], found[0], position)
                continue
        reader.put(source[position])
        position += 1
    if reader.open:
        raise EntityError(
            f"Can't find end of the entity starting at byte offset {reader.at(reader.open[-1].source)}"
        )
    return "".join(reader.plain), sort_entities(reader.entities)
