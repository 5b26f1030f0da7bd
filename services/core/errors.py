"""The one tree of failures. Each says: may it be retried, is it the person's fault, what is the person told."""

from typing import Any

from providers.protocols import ErrorKind, ProviderError


class Failure(Exception):
    """Why an order cannot be taken or finished.

    `key` names the text the person gets; `params` fill it in; `detail` is for the log alone.
    """

    retriable = False
    persons_fault = False

    def __init__(
        self, key: str, *, detail: str = "", retry_after: float | None = None, **params: str | int
    ) -> None:
        super().__init__(f"{key}: {detail}" if detail else key)
        self.key = key
        self.detail = detail
        self.params = params
        self.retry_after = retry_after
        """Seconds to wait before the next try, where the other side said so."""

    def to_json(self) -> dict[str, Any]:
        return {"type": type(self).__name__, "key": self.key, "detail": self.detail, "params": self.params}

    @staticmethod
    def from_json(data: dict[str, Any]) -> "Failure":
        failure_class = {
            c.__name__: c for c in (InvalidRequest, PermanentFailure, TransientFailure, Unavailable)
        }.get(data["type"], PermanentFailure)
        return failure_class(data["key"], detail=data["detail"], **data["params"])


class InvalidRequest(Failure):
    """The order asks for what cannot be done; the person can change it."""

    persons_fault = True


class PermanentFailure(Failure):
    """Something of ours or the provider's failed, and trying again would not help."""


class TransientFailure(Failure):
    """Something failed that may well succeed in a moment."""

    retriable = True


class Unavailable(TransientFailure):
    """Telegram cannot be reached: nobody can be told anything until it is back."""


class InsufficientCredits(InvalidRequest):
    """The person has too few credits; `missing` is how many Stars."""

    def __init__(self, *, price: int, available: int) -> None:
        super().__init__("order.not_enough", price=price, available=available)
        self.missing_credits = price - available


class LeaseLost(Exception):
    """Another runner has the job now. Not a failure of the job: this runner ends quietly."""


class RetriesExhausted(Exception):
    """This plan has used up its tries on a step that must not be given up; another runner goes on."""


_PROVIDER_FAILURES: dict[ErrorKind, tuple[type[Failure], str]] = {
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
    """What an exception means for the order; one nobody foresaw may be tried again."""
    if isinstance(error, Failure):
        return error
    if isinstance(error, ProviderError):
        return failure_from_kind(error.kind, error.detail, retry_after=error.retry_after)
    return TransientFailure("failure.unexpected", detail=f"{type(error).__name__}: {error}")


def failure_from_kind(kind: ErrorKind, detail: str, *, retry_after: float | None = None) -> Failure:
    failure_class, key = _PROVIDER_FAILURES[kind]
    return failure_class(key, detail=detail, retry_after=retry_after)
