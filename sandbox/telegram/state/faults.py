"""Failures of the Bot API that a test or a developer has set up."""

import asyncio

from pydantic import BaseModel, Field, PrivateAttr, model_validator

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


class Fault(BaseModel, extra="forbid"):
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
    _left: int = PrivateAttr(0)

    def model_post_init(self, _context: object) -> None:
        """Count from ``times``."""
        self._left = self.times

    @model_validator(mode="after")
    def _has_effect(self) -> "Fault":
        if self.code is None and not self.hang and not self.drop:
            raise ValueError("a fault needs code, hang or drop")
        return self

    async def apply_before(self) -> None:
        """Delay a call, and fail it unless it is to be carried out first."""
        await asyncio.sleep(self.hang)
        if not self.after:
            self._fail()
            if self.drop:
                raise ApiError(499, "connection dropped by a fault")

    def apply_after(self) -> None:
        """Fail a call that was carried out, so that its response is lost."""
        if self.after:
            self._fail()

    def _fail(self) -> None:
        if self.code is None:
            return
        retry_after, default = self.retry_after, _DESCRIPTIONS.get(self.code, f"Error {self.code}")
        if self.code == 429:
            retry_after = 1 if retry_after is None else retry_after
            default = f"Too Many Requests: retry after {retry_after}"
        raise ApiError(self.code, self.description or default, retry_after=retry_after)

    def affects(self, method: str, params: Json) -> bool:
        """Return whether the fault affects a call of this method with these parameters."""
        of_chat = self.chat_id is None or str(params.get("chat_id")) == str(self.chat_id)
        return of_chat and self.method.lower() in ("*", method.lower())

    def count_call(self) -> int:
        """Count a call that it affects; returns how many are left."""
        self._left -= 1
        return self._left

    def snapshot(self) -> Json:
        """Return the fault as JSON; ``left`` counts the calls to come."""
        return {**self.model_dump(exclude_none=True), "left": self._left}


def take_fault(faults: list[Fault], method: str, params: Json) -> Fault | None:
    """Return the oldest fault that affects a call, and count the call; a fault without calls left is removed.

    Args:
        faults: The faults in force, oldest first.
        method: The name of the Bot API method.
        params: The call's parameters; only ``chat_id`` is read.
    """
    fault = next((each for each in faults if each.affects(method, params)), None)
    if fault is not None and fault.count_call() == 0:
        faults.remove(fault)
    return fault
