"""Telegram's two Markdown modes as plain text with entities.

The grammar and the error texts are those of TDLib's ``parse_markdown`` and ``parse_markdown_v2``
(https://github.com/tdlib/td, MessageEntity.cpp).
"""

from dataclasses import dataclass

from sandbox.telegram.json_types import Json
from sandbox.telegram.text.entities import EntityError, normalize_link, sort_entities, utf16_length

_RESERVED = "_*[]()~`>#+-=|{}.!"
_MARKS = (("```", "pre"), ("||", "spoiler"), ("__", "underline"), ("_", "italic"), ("*", "bold"))
_MARKS_V2 = (*_MARKS, ("~", "strikethrough"), ("`", "code"), ("![", "custom_emoji"), ("[", "text_link"))
_MARKS_V1 = (("```", "pre"), ("`", "code"), ("_", "italic"), ("*", "bold"), ("[", "text_link"))
_ENTITY_NAMES = {
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
class _OpenEntity:
    type: str
    mark: str
    offset: int
    source: int
    start: int
    language: str = ""


class _MarkdownParser:
    def __init__(self, source: str) -> None:
        self.source = source
        self.chunks: list[str] = []
        self.length = 0
        self.open_entities: list[_OpenEntity] = []
        self.entities: list[Json] = []

    def add_text(self, text: str) -> None:
        self.chunks.append(text)
        self.length += utf16_length(text)

    def byte_offset(self, position: int) -> int:
        return len(self.source[:position].encode())

    def begin(self, kind: str, mark: str, position: int) -> int:
        opened = _OpenEntity(kind, mark, self.length, position, len(self.chunks))
        position += len(mark)
        if kind == "pre":
            line_end = self.source.find("\n", position)
            language = self.source[position:line_end] if line_end >= 0 else ""
            if language and "`" not in language and " " not in language:
                opened.language, position = language, line_end
            if self.source.startswith("\n", position):
                position += 1
        self.open_entities.append(opened)
        return position

    def end(self, position: int) -> int:
        """Close the innermost entity at ``position``; returns where to read on."""
        opened = self.open_entities.pop()
        entity: Json = {"type": opened.type, "offset": opened.offset, "length": self.length - opened.offset}
        if opened.type in ("text_link", "custom_emoji"):
            target, position = self._read_link(position + 1, opened)
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

    def _read_link(self, position: int, opened: _OpenEntity) -> tuple[str | None, int]:
        emoji = opened.type == "custom_emoji"
        if not self.source.startswith("(", position):
            if emoji:
                raise EntityError("Custom emoji entity must contain a tg://emoji URL")
            return normalize_link("".join(self.chunks[opened.start :])), position
        url, index = "", position + 1
        while index < len(self.source) and self.source[index] != ")":
            if self.source[index] == "\\" and index + 1 < len(self.source):
                index += 1
            url += self.source[index]
            index += 1
        if index >= len(self.source):
            what = "a custom emoji URL" if emoji else "a URL"
            raise EntityError(f"Can't find end of {what} at byte offset {self.byte_offset(position + 1)}")
        return (url.partition("id=")[2] if emoji else normalize_link(url)), index + 1


def parse_markdown_v2(source: str) -> tuple[str, list[Json]]:
    """Return the plain text and the entities of MarkdownV2.

    Raises:
        EntityError: Where Telegram would refuse the text.
    """
    reader, position = _MarkdownParser(source), 0
    while position < len(source):
        position = _step_v2(reader, position)
    while reader.open_entities and reader.open_entities[-1].type == "blockquote":
        reader.end(len(source))
    if reader.open_entities:
        left = reader.open_entities[-1]
        raise EntityError(
            f"Can't find end of {_ENTITY_NAMES[left.type]} entity at byte offset {reader.byte_offset(left.source)}"
        )
    return "".join(reader.chunks), sort_entities(reader.entities)


def _step_v2(reader: _MarkdownParser, position: int) -> int:
    source = reader.source
    character = source[position]
    inner = reader.open_entities[-1].type if reader.open_entities else ""
    if character == "\\" and position + 1 < len(source) and source[position + 1].isascii():
        reader.add_text(source[position + 1])
        return position + 2
    if inner in ("code", "pre"):
        if source.startswith(reader.open_entities[-1].mark, position):
            return reader.end(position)
        reader.add_text(character)
        return position + 1
    if inner == "blockquote" and character == "\n" and not source.startswith("\n>", position):
        position = reader.end(position)
        reader.add_text("\n")
        return position + 1
    if inner in ("text_link", "custom_emoji") and character == "]":
        return reader.end(position)
    if character == ">" and (position == 0 or source[position - 1] == "\n"):
        if any(opened.type == "blockquote" for opened in reader.open_entities):
            return position + 1
        reader.begin("blockquote", "", position)
        return position + 1
    return _handle_mark_v2(reader, position, character)


def _handle_mark_v2(reader: _MarkdownParser, position: int, character: str) -> int:
    for mark, kind in _MARKS_V2:
        if reader.source.startswith(mark, position):
            if (
                reader.open_entities
                and reader.open_entities[-1].type == kind
                and kind not in ("text_link", "custom_emoji")
            ):
                return reader.end(position)
            return reader.begin(kind, mark, position)
    if character in _RESERVED:
        raise EntityError(f"Character '{character}' is reserved and must be escaped with the preceding '\\'")
    reader.add_text(character)
    return position + 1


def parse_markdown(source: str) -> tuple[str, list[Json]]:
    """Return the plain text and the entities of the legacy Markdown mode, where entities do not nest.

    Raises:
        EntityError: Where Telegram would refuse the text.
    """
    reader, position = _MarkdownParser(source), 0
    while position < len(source):
        if source[position] == "\\" and source[position + 1 : position + 2] in tuple("_*`["):
            reader.add_text(source[position + 1])
            position += 2
            continue
        if reader.open_entities:
            ends = "]" if reader.open_entities[-1].type == "text_link" else reader.open_entities[-1].mark
            if source.startswith(ends, position):
                position = reader.end(position)
                continue
        else:
            found = next((pair for pair in _MARKS_V1 if source.startswith(pair[0], position)), None)
            if found is not None:
                position = reader.begin(found[1], found[0], position)
                continue
        reader.add_text(source[position])
        position += 1
    if reader.open_entities:
        offset = reader.byte_offset(reader.open_entities[-1].source)
        raise EntityError(f"Can't find end of the entity starting at byte offset {offset}")
    return "".join(reader.chunks), sort_entities(reader.entities)
