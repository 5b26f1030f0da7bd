"""What all offline providers share: they are always usable, and some words make them fail, to try that with.

docs/how-to/try-failures.md lists the words. They work in a prompt, in a spoken text, and in the name of a voice.
"""

from providers.protocols import ErrorKind, ProviderError

REJECTIONS = {
    "#input": ErrorKind.BAD_INPUT,
    "#quota": ErrorKind.QUOTA,
    "#busy": ErrorKind.OVERLOADED,
    "#limit": ErrorKind.RATE_LIMITED,
}
FAILURES = {"#fail": ErrorKind.FAILED, "#nsfw": ErrorKind.MODERATION, "#timeout": ErrorKind.TIMED_OUT}
SLOWDOWNS = {"#slow": 20.0, "#never": float("inf")}


class OfflineService:
    """A provider on this machine."""

    name = "offline"
    offline = True

    async def check(self) -> None:
        """Always usable."""

    async def close(self) -> None:
        """Nothing is held open."""


def raise_if_triggered(triggers: dict[str, ErrorKind], text: str) -> None:
    """Raise ProviderError where a text contains one of the words, as a word of its own."""
    for word in set(text.lower().split()) & set(triggers):
        wait = 2.0 if triggers[word] is ErrorKind.RATE_LIMITED else None
        raise ProviderError(triggers[word], f"offline: the text says {word}", retry_after=wait)
