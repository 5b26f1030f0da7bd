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


class FaultOrder(BaseModel, extra="forbid"):
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
    def _does_something(self) -> "FaultOrder":
        if self.code is None and not self.hang and not self.drop:
            raise ValueError("a fault needs code, hang or drop")
        return self


@dataclass(slots=True)
class Fault:
    """An order and how often it still applies."""

    order: FaultOrder
    left: int

    def error(self) -> ApiError | None:
        """The refusal that is answered, if the fault is one."""
        order = self.order
        if order.code is None:
            return None
        if order.code == 429:
            retry_after = order.retry_after if order.retry_after is not None else 1
            default = f"Too Many Requests: retry after {retry_after}"
            return ApiError(429, order.description or default, retry_after=retry_after)
        default = _DESCRIPTIONS.get(order.code, f"Error {order.code}")
        return ApiError(order.code, order.description or default, retry_after=order.retry_after)


class Faults:
    """Orders in force, oldest first."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, order: FaultOrder) -> None:
        """Put an order in force."""
        self._faults.append(Fault(order, order.times))

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
            order = fault.order
            if order.method != "*" and order.method.lower() != name:
                continue
            if order.chat_id is not None and str(params.get("chat_id")) != str(order.chat_id):
                continue
            fault.left -= 1
            if fault.left <= 0:
                self._faults.remove(fault)
            return fault
        return None

    def state(self) -> list[Json]:
        """What is in force, for ``sim/state``."""
        return [{**f.order.model_dump(exclude_none=True), "left": f.left} for f in self._faults]
