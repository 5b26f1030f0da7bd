"""Texts and captions: parsed, trimmed and measured, with the entities that Telegram detects itself."""

import re
from collections.abc import Sequence
from html import escape
from typing import Any

from aiogram.client.default import Default
from aiogram.types import MessageEntity
from aiogram.utils.text_decorations import HtmlDecoration

from sandbox.telegram.errors import ApiError, bad_request
from sandbox.telegram.json_types import Json
from sandbox.telegram.text.entities import EntityError, normalize_link, parse_html, sort_entities, utf16_length
from sandbox.telegram.text.markdown import parse_markdown_v2

_TEXT_LIMIT = 4096  # https://core.telegram.org/bots/api#sendmessage
_CAPTION_LIMIT = 1024

_PARSERS = {"html": parse_html, "markdownv2": parse_markdown_v2}
_WITHOUT_DETECTION = ("code", "pre", "text_link", "text_mention", "custom_emoji")
_DETECTED = re.compile(
    r"(?P<url>https?://[^\s<>\"]*[^\s<>\".,!?;:)\]}]|t\.me/\w[\w/+\-]*)"
    r"|(?P<email>[\w.+\-]+@[\w\-]+\.[a-zA-Z]{2,})"
    r"|(?<![\w/@])(?P<mention>@[a-zA-Z]\w{3,31})\b"
    r"|(?<![\w/<>])(?P<bot_command>/[a-zA-Z0-9_]{1,64}(?:@\w{3,32})?)(?![\w/<>])"
    r"|(?<![\w#])(?P<hashtag>#(?=\w*[^\W\d])\w{1,255})"
)


def unwrap_default(value: Any) -> Any:
    """Return a field of an aiogram method, or None for aiogram's placeholder for a bot's default."""
    return None if isinstance(value, Default) else value


def parse_formatted_text(
    text: str, parse_mode: object, entities: Sequence[MessageEntity] | None
) -> tuple[str, list[Json]]:
    """Parse a text that a bot has sent.

    Args:
        text: The text.
        parse_mode: ``HTML``, ``MarkdownV2`` or None, in any letter case.
        entities: The entities that the bot has given; used without a parse mode.

    Returns:
        The plain text without surrounding spaces, and its entities with those that Telegram detects itself.

    Raises:
        ApiError: 400 for formatting that Telegram would refuse, 501 for its legacy Markdown.
    """
    mode = str(unwrap_default(parse_mode) or "none").lower()
    if mode == "markdown":
        raise ApiError(501, "Not Implemented: the sandbox reads MarkdownV2 and no legacy Markdown")
    if mode == "none":
        found = [e.model_dump(exclude_none=True, exclude_defaults=True) for e in entities or ()]
    elif mode in _PARSERS:
        try:
            text, found = _PARSERS[mode](text)
        except EntityError as error:
            raise bad_request(f"can't parse entities: {error}") from error
    else:
        raise bad_request("unsupported parse_mode")
    text, found = _trim(text, found)
    return text, add_detected_entities(text, found)


def parse_message_text(
    text: str, parse_mode: object, entities: Sequence[MessageEntity] | None
) -> tuple[str, list[Json]]:
    """Parse the text of a message; for arguments and result see ``parse_formatted_text``.

    Raises:
        ApiError: 400 also for an empty text, or one with more than 4096 UTF-16 code units after parsing.
    """
    if not text:
        raise bad_request("message text is empty")
    plain, found = parse_formatted_text(text, parse_mode, entities)
    if not plain:
        raise bad_request("text must be non-empty")
    if utf16_length(plain) > _TEXT_LIMIT:
        raise bad_request("message is too long")
    return plain, found


def parse_caption(
    caption: str | None, parse_mode: object, entities: Sequence[MessageEntity] | None
) -> tuple[str, list[Json]]:
    """Parse a caption, which may be empty; for arguments and result see ``parse_formatted_text``.

    Raises:
        ApiError: 400 also for more than 1024 UTF-16 code units after parsing.
    """
    if not caption:
        return "", []
    plain, found = parse_formatted_text(caption, parse_mode, entities)
    if utf16_length(plain) > _CAPTION_LIMIT:
        raise bad_request("message caption is too long")
    return plain, found


def add_detected_entities(text: str, entities: list[Json]) -> list[Json]:
    """Return the entities together with those that Telegram detects: links, commands, mentions and the like."""
    found: list[Json] = []
    for match in _DETECTED.finditer(text):
        kind = match.lastgroup or ""
        offset, length = utf16_length(text[: match.start()]), utf16_length(match.group())
        if not any(
            e["offset"] < offset + length and offset < e["offset"] + e["length"]
            for e in entities
            if e["type"] in _WITHOUT_DETECTION
        ):
            found.append({"type": kind, "offset": offset, "length": length})
    return sort_entities(entities + found) if found else entities


def _trim(text: str, entities: list[Json]) -> tuple[str, list[Json]]:
    stripped = text.rstrip()
    start = len(stripped) - len(stripped.lstrip())
    if start and entities:
        start = min(start, len(stripped))
        if any(e["offset"] < utf16_length(stripped[:start]) for e in entities):
            start = 0
    skipped, stripped = utf16_length(stripped[:start]), stripped[start:]
    if len(stripped) == len(text) or not entities:
        return stripped, entities
    end, kept = utf16_length(stripped), []
    for entity in entities:
        offset = entity["offset"] - skipped
        length = min(entity["length"], end - offset)
        if length > 0:
            kept.append({**entity, "offset": offset, "length": length})
    return stripped, kept


class _SafeHtml(HtmlDecoration):
    """HTML that a page may insert as it is: attributes are escaped, and unsafe links are dropped."""

    def link(self, value: str, link: str) -> str:
        target = normalize_link(link)
        if target is None:
            return value
        return f'<a href="{escape(target)}" target="_blank" rel="noreferrer noopener">{value}</a>'

    def spoiler(self, value: str) -> str:
        return f'<span class="spoiler">{value}</span>'

    def pre_language(self, value: str, language: str) -> str:
        return f'<pre data-language="{escape(language)}">{value}</pre>'

    def custom_emoji(self, value: str, custom_emoji_id: str) -> str:
        return value

    def apply_entity(self, entity: MessageEntity, text: str) -> str:
        if entity.type == "url":
            return self.link(text, text)
        if entity.type in ("bot_command", "mention", "hashtag", "email"):
            return f'<span class="{entity.type}">{text}</span>'
        if entity.type == "text_mention":
            return f'<span class="mention">{text}</span>'
        return super().apply_entity(entity, text)


_DECORATION = _SafeHtml()
_NEWLINE_AFTER_BLOCK = re.compile(r"(</(?:blockquote|pre)>)\n")


def to_html(text: str, entities: list[Json] | None) -> str:
    """Return safe HTML of a text with entities, for the chat page; line breaks stay line breaks."""
    html = _DECORATION.unparse(text, [MessageEntity.model_validate(e) for e in entities or ()])
    return _NEWLINE_AFTER_BLOCK.sub(r"\1", html)
