"""A stand-in for moderation: a short list of words in English and Russian.

It is there so that a refusal can be seen without a key; it protects nobody. An operator who lets
strangers use a bot sets OPENAI_API_KEY. The word `#refuse` is refused too, to try it with; a `#nsfw`
passes here and fails later, at the offline provider.
"""

import re

from providers.protocols import ModerationResult

_BLOCKED_PATTERNS = {
    "sexual": r"nsfw|porn\w*|nude|naked|голая|голый|обнаж[её]нн\w*|порн\w*",
    "violence": r"gore|behead\w*|torture|dismember\w*|расчлен\w*|пытк\w*|обезглав\w*",
    "hate": r"nazi\w*|swastika|нацис\w*|свастик\w*",
    "illicit": r"build a bomb|make a bomb|cook meth|сделать бомбу|сварить мет\w*",
    "other": r"#refuse",
    "self-harm": r"suicide|kill myself|самоубий\w*|суицид\w*",
}
_PATTERNS = {
    name: re.compile(rf"(?<![\w#])(?:{words})(?!\w)", re.IGNORECASE) for name, words in _BLOCKED_PATTERNS.items()
}


class OfflineModeration:
    """ModerationProvider by a word list."""

    name = "offline"

    async def moderate(self, text: str) -> ModerationResult:
        found = tuple(name for name, pattern in _PATTERNS.items() if pattern.search(text))
        return ModerationResult(allowed=not found, categories=found)

    async def close(self) -> None:
        """Nothing is held open."""
