"""The one tree of failures. Each says whether it may be retried, whose fault it is, and which message the user gets."""

from typing import Any, Final

from providers.protocols import ErrorKind, ProviderError


class Failure(Exception):
    """Why an order cannot be accepted or finished.

    Args:
        key: The key of the text that the user gets.
        detail: For the log alone.
        retry_after: Seconds to wait before the next attempt, where Telegram or the provider gave them.
        **params: What the text's placeholders are filled in with.
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
        """The failure as the journal stores it."""
        return {"type": type(self).__name__, "key": self.key, "detail": self.detail, "params": self.params}

    @staticmethod
    def from_json(data: dict[str, Any]) -> "Failure":
        """The failure that `to_json` stored; one of an unknown class is permanent."""
        classes = {c.__name__: c for c in (InvalidRequest, PermanentFailure, TransientFailure, Unavailable)}
        failure_class = classes.get(data["type"], PermanentFailure)
        return failure_class(data["key"], detail=data["detail"], **data["params"])


class InvalidRequest(Failure):
    """The order is not valid as it is; the user can change it."""


class PermanentFailure(Failure):
    """Our code or a provider failed, and another attempt would not help."""


class TransientFailure(Failure):
    """Something failed that may succeed on another attempt."""

    retriable = True


class Unavailable(TransientFailure):
    """Telegram cannot be reached: no message gets to a user until it is available again.

    Attributes:
        delivery_unknown: Whether the call may have arrived all the same.
    """

    delivery_unknown = False


class InsufficientCredits(InvalidRequest):
    """The user has too few credits.

    Args:
        price: What the order costs, in credits.
        available: What the user can spend, in credits.
    """

    def __init__(self, *, price: int, available: int) -> None:
        super().__init__("order.not_enough", price=price, available=available)
        self.missing_credits = price - available


class LeaseLost(Exception):
    """Another worker has the job now. Not a failure of the job: this worker ends quietly."""


class RetriesExhausted(Exception):
    """This plan has used up its attempts at a step that must not be given up; another worker goes on."""


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
    """What an exception means for an order; an unexpected one may be retried."""
    if isinstance(error, Failure):
        return error
    if isinstance(error, ProviderError):
        return failure_from_kind(error.kind, error.detail, retry_after=error.retry_after)
    return TransientFailure("failure.unexpected", detail=f"{type(error).__name__}: {error}")


def failure_from_kind(kind: ErrorKind, detail: str, *, retry_after: float | None = None) -> Failure:
    """What a provider's error means for an order.

    Args:
        kind: The provider's error.
        detail: The provider's message, for the log.
        retry_after: Seconds that the provider asked to wait.
    """
    failure_class, key = _PROVIDER_FAILURES[kind]
    return failure_class(key, detail=detail, retry_after=retry_after)
