"""Failures that a test or a person orders from the stand."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field, model_validator

from sandbox.telegram.errors import ApiError

Json = dict[str, Any]

_DESCRIPTIONS = {
    400: "Bad Request: fault ordered from the sandbox",
    401: "Unauthorized",
    403: "Forbidden: bot was blocked by the user",
    404: "Not Found",
    409: "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running",
    413: "Request Entity Too Large",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


class FaultSpec(BaseModel, extra="forbid"):
    """Body of ``POST sim/fault``.

    ``hang`` answers that many seconds late; ``after`` carries the call out and then fails, which is
    a lost answer; ``drop`` closes the connection instead of answering. ``chat_id`` limits the fault
    to one chat.
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
    """An order and how often it still applies."""

    spec: FaultSpec
    remaining: int

    def error(self) -> ApiError | None:
        """The refusal that is answered, if the fault is one."""
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
    """Orders in force, oldest first."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, spec: FaultSpec) -> None:
        """Put an order in force."""
        self._faults.append(Fault(spec, spec.times))

    def clear(self) -> int:
        """Take all orders back; how many were in force."""
        count = len(self._faults)
        self._faults.clear()
        return count

    def take(self, method: str, params: Json) -> Fault | None:
        """The fault that hits this call, counted down."""
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
        """What is in force, for ``sim/state``."""
        return [{**f.spec.model_dump(exclude_none=True), "left": f.remaining} for f in self._faults]
