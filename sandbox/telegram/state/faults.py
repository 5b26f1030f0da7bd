"""Failures of the Bot API that a test or a developer has set up."""

from dataclasses import dataclass

from pydantic import BaseModel, Field, model_validator

from sandbox.telegram.errors import CONFLICT_OTHER_POLL, ApiError
from sandbox.telegram.json_types import Json

_DESCRIPTIONS = {
    400: "Bad Request: fault set in the sandbox",
    401: "Unauthorized",
    403: "Forbidden: bot was blocked by the user",
    404: "Not Found",
    409: CONFLICT_OTHER_POLL,
    413: "Request Entity Too Large",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


class FaultSpec(BaseModel, extra="forbid"):
    """The body of ``POST sim/fault``: at least one of ``code``, ``hang`` and ``drop``.

    Attributes:
        method: The Bot API method that fails, or ``*`` for all.
        code: The HTTP status to answer with.
        description: The description to answer with; by default Telegram's usual one.
        retry_after: Seconds, with ``code`` 429.
        times: How many calls are affected.
        hang: Seconds to wait before the call is handled.
        after: Carry the call out before it fails, so that only its response is lost.
        drop: Close the connection instead of answering.
        chat_id: Affect only calls to this chat.
    """

    method: str = "*"
    code: int | None = Field(None, ge=400, le=599)
    description: str | None = None
    retry_after: int | None = Field(None, ge=0)
    times: int = Field(1, ge=1)
    hang: float = Field(0.0, ge=0)
    after: bool = False
    drop: bool = False
    chat_id: int | None = None

    @model_validator(mode="after")
    def _has_effect(self) -> "FaultSpec":
        if self.code is None and not self.hang and not self.drop:
            raise ValueError("a fault needs code, hang or drop")
        return self


@dataclass(slots=True)
class Fault:
    """A fault in force, and how many calls it still affects."""

    spec: FaultSpec
    remaining: int

    def error(self) -> ApiError | None:
        """Return the error to answer with, or None when the fault only delays or drops."""
        spec = self.spec
        if spec.code is None:
            return None
        if spec.code == 429:
            retry_after = spec.retry_after if spec.retry_after is not None else 1
            default = f"Too Many Requests: retry after {retry_after}"
            return ApiError(429, spec.description or default, retry_after=retry_after)
        default = _DESCRIPTIONS.get(spec.code, f"Error {spec.code}")
        return ApiError(spec.code, spec.description or default, retry_after=spec.retry_after)


class Faults:
    """The faults in force, oldest first."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, spec: FaultSpec) -> None:
        """Put a fault in force."""
        self._faults.append(Fault(spec, spec.times))

    def clear(self) -> int:
        """Remove all faults; returns how many were in force."""
        count = len(self._faults)
        self._faults.clear()
        return count

    def take(self, method: str, params: Json) -> Fault | None:
        """Return the oldest fault that affects a call, and count the call.

        Args:
            method: The name of the Bot API method.
            params: The call's parameters; only ``chat_id`` is read.
        """
        if not self._faults:
            return None
        name = method.lower()
        for fault in self._faults:
            spec = fault.spec
            if spec.method != "*" and spec.method.lower() != name:
                continue
            if spec.chat_id is not None and str(params.get("chat_id")) != str(spec.chat_id):
                continue
            fault.remaining -= 1
            if fault.remaining <= 0:
                self._faults.remove(fault)
            return fault
        return None

    def snapshot(self) -> list[Json]:
        """Return the faults in force as JSON for ``GET sim/state``; ``left`` counts the calls to come."""
        return [{**f.spec.model_dump(exclude_none=True), "left": f.remaining} for f in self._faults]
