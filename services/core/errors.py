"""The failure classes. Each tells whether a retry may help, whose fault it is, and which message the user gets."""

from typing import Any, Final

from providers.protocols import ErrorKind, ProviderError


class Failure(Exception):
    """Why an order cannot be accepted or finished.

    Args:
        key: The key of the text shown to the user.
        detail: Details for the log; the user never sees them.
        retry_after: Seconds to wait before the next attempt, if Telegram or the provider gave a number.
        **params: Values for the text's placeholders.
    """

    retriable = False

    def __init__(
        self, key: str, *, detail: str = "", retry_after: float | None = None, **params: str | int
    ) -> None:
        super().__init__(f"{key}: {detail}" if detail else key)
        self.key = key
        self.detail = detail
        self.params = params
        self.retry_after = retry_after

    def to_json(self) -> dict[str, Any]:
        """Convert the failure to the JSON stored in the journal."""
        return {"type": type(self).__name__, "key": self.key, "detail": self.detail, "params": self.params}

    @staticmethod
    def from_json(data: dict[str, Any]) -> "Failure":
        """Restore a failure from `to_json`. An unknown class becomes PermanentFailure."""
        classes = {c.__name__: c for c in (InvalidRequest, PermanentFailure, TransientFailure, Unavailable)}
        failure_class = classes.get(data["type"], PermanentFailure)
        return failure_class(data["key"], detail=data["detail"], **data["params"])


class InvalidRequest(Failure):
    """The order is not valid. The user can change it."""


class PermanentFailure(Failure):
    """Our code or a provider failed, and a retry would not help."""


class TransientFailure(Failure):
    """Something failed that may succeed on a retry."""

    retriable = True


class Unavailable(TransientFailure):
    """Telegram cannot be reached, so no message gets to a user until it is available again.

    Attributes:
        delivery_unknown: Whether Telegram may have received the call despite the error.
    """

    delivery_unknown = False


class InsufficientCredits(InvalidRequest):
    """The user has too few credits.

    Args:
        price: The price of the order, in credits.
        available: The user's available credits.
    """

    def __init__(self, *, price: int, available: int) -> None:
        super().__init__("order.not_enough", price=price, available=available)
        self.missing_credits = price - available


class LeaseLost(Exception):
    """Another worker has the job now. The job has not failed; this worker just stops working on it."""


class RetriesExhausted(Exception):
    """This plan has no attempts left for a step that must still be finished, so another worker continues."""


_PROVIDER_FAILURES: Final[dict[ErrorKind, tuple[type[Failure], str]]] = {
    ErrorKind.BAD_INPUT: (InvalidRequest, "failure.bad_input"),
    ErrorKind.MODERATION: (InvalidRequest, "failure.moderation"),
    ErrorKind.QUOTA: (PermanentFailure, "failure.provider"),
    ErrorKind.NOT_FOUND: (PermanentFailure, "failure.provider"),
    ErrorKind.FAILED: (PermanentFailure, "failure.provider"),
    ErrorKind.TIMED_OUT: (TransientFailure, "failure.timed_out"),
    ErrorKind.RATE_LIMITED: (TransientFailure, "failure.busy"),
    ErrorKind.OVERLOADED: (TransientFailure, "failure.busy"),
}


def to_failure(error: Exception) -> Failure:
    """Convert any exception to a Failure. Unexpected exceptions become TransientFailure, so they are retried."""
    if isinstance(error, Failure):
        return error
    if isinstance(error, ProviderError):
        return failure_from_kind(error.kind, error.detail, retry_after=error.retry_after)
    return TransientFailure("failure.unexpected", detail=f"{type(error).__name__}: {error}")


def failure_from_kind(kind: ErrorKind, detail: str, *, retry_after: float | None = None) -> Failure:
    """Convert a provider's error to a Failure.

    Args:
        kind: The kind of error.
        detail: The provider's message, for the log.
        retry_after: The wait requested by the provider, in seconds.
    """
    failure_class, key = _PROVIDER_FAILURES[kind]
    return failure_class(key, detail=detail, retry_after=retry_after)
