"""Words in a prompt that make the offline provider fail, so that everyone can see what happens then.

They work in the name of a training or of a voice, and in a spoken text, too.

| word       | what happens                                                  |
|------------|---------------------------------------------------------------|
| `#fail`    | the work starts and fails                                     |
| `#nsfw`    | the work starts and its result is refused by moderation       |
| `#timeout` | the work starts and the provider gives up on it               |
| `#input`   | the order is refused at once as bad input                     |
| `#quota`   | the order is refused at once: the operator has no credit      |
| `#busy`    | the order is refused at once: the provider is overloaded      |
| `#limit`   | the order is refused at once: too many, wait 2 seconds        |
| `#slow`    | the work takes 20 times as long, to try a cancel or a restart |
| `#never`   | the work runs and never ends                                  |
"""

from providers.protocols import ErrorKind, ProviderError

_FAILURE_TRIGGERS = {
    "#fail": ErrorKind.FAILED,
    "#nsfw": ErrorKind.MODERATION,
    "#timeout": ErrorKind.TIMED_OUT,
}
_REJECTION_TRIGGERS = {
    "#input": ErrorKind.BAD_INPUT,
    "#quota": ErrorKind.QUOTA,
    "#busy": ErrorKind.OVERLOADED,
    "#limit": ErrorKind.RATE_LIMITED,
}
_RATE_LIMIT_SECONDS = 2.0
_SLOWDOWN = 20.0


def raise_if_rejected(prompt: str) -> None:
    """Raise ProviderError where the prompt asks for a refusal."""
    words = prompt.lower().split()
    for word, kind in _REJECTION_TRIGGERS.items():
        if word in words:
            wait = _RATE_LIMIT_SECONDS if kind is ErrorKind.RATE_LIMITED else None
            raise ProviderError(kind, f"offline: the prompt says {word}", retry_after=wait)


def triggered_failure(prompt: str) -> tuple[ErrorKind, str] | None:
    """How the work fails, and what to log, where the prompt asks for that."""
    words = prompt.lower().split()
    for word, kind in _FAILURE_TRIGGERS.items():
        if word in words:
            return kind, f"offline: the prompt says {word}"
    return None


def slowdown_factor(prompt: str) -> float:
    """How many times longer than usual the work takes."""
    words = prompt.lower().split()
    if "#never" in words:
        return float("inf")
    return _SLOWDOWN if "#slow" in words else 1.0
