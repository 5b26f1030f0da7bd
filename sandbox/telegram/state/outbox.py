"""Every Bot API call that was made, for tests and for the panel beside the chat.

Answers are kept as the bytes that went out: thousands of them then cost the garbage collector nothing.
"""

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sandbox.telegram.condition import Condition

Json = dict[str, Any]

MAX_CALLS = 20_000


@dataclass(frozen=True, slots=True)
class OutboxCall:
    """One call: ``time`` in seconds since the epoch, ``took`` in milliseconds."""

    seq: int
    time: float
    bot: int
    method: str
    params: Json
    status: int
    body: bytes
    took: float

    def to_json(self) -> Json:
        """The JSON of the person's side; ``answer`` is the result, or the whole refusal."""
        shown = {name: getattr(self, name) for name in self.__slots__ if name != "body"}
        answer = json.loads(self.body)
        return {**shown, "answer": answer["result"] if answer["ok"] else answer}


class Outbox:
    """The newest calls; older ones are dropped past 20,000."""

    def __init__(self) -> None:
        self._calls: deque[OutboxCall] = deque(maxlen=MAX_CALLS)
        self.seq = 0
        self.condition = Condition()

    def add(self, time: float, bot: int, method: str, params: Json, status: int, body: bytes, took: float) -> None:
        """Note a call with its answer."""
        self.seq += 1
        self._calls.append(OutboxCall(self.seq, time, bot, method, params, status, body, took))
        self.condition.notify()

    def calls(self, method: str | None = None, since: int = 0, bot: int | None = None) -> Iterator[OutboxCall]:
        """Calls after ``since``, oldest first, of one method and one bot if asked."""
        wanted = method.lower() if method else None
        newer = len(self._calls) - max(0, self.seq - max(since, 0))
        for index, call in enumerate(self._calls):
            if index < newer or (wanted and call.method.lower() != wanted):
                continue
            if bot is None or call.bot == bot:
                yield call

    def clear(self) -> None:
        """Forget all calls; numbers go on counting."""
        self._calls.clear()
        self.condition.notify()
