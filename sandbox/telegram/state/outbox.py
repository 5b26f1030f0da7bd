"""A log of all Bot API calls, for tests and for the panel next to the chat.

Responses are kept as the bytes that were sent: the garbage collector does not have to walk through them.
"""

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from sandbox.telegram.condition import Condition
from sandbox.telegram.json_types import Json

_MAX_CALLS = 20_000


@dataclass(frozen=True, slots=True)
class OutboxCall:
    """One Bot API call.

    Attributes:
        seq: Its number, which grows from call to call.
        time: When it came, in seconds since the epoch.
        bot: The bot's id.
        body: The JSON of the response.
        took: How long it took, in milliseconds.
    """

    seq: int
    time: float
    bot: int
    method: str
    params: Json
    status: int
    body: bytes
    took: float

    def to_json(self) -> Json:
        """Return the call as the control API shows it; ``answer`` is the result, or the whole error response."""
        fields = {name: getattr(self, name) for name in self.__slots__ if name != "body"}
        answer = json.loads(self.body)
        return {**fields, "answer": answer["result"] if answer["ok"] else answer}


class Outbox:
    """The newest 20,000 calls.

    Attributes:
        seq: The number of the newest call.
        condition: Notified of each call.
    """

    def __init__(self) -> None:
        self._calls: deque[OutboxCall] = deque(maxlen=_MAX_CALLS)
        self.seq = 0
        self.condition = Condition()

    def add(self, time: float, bot: int, method: str, params: Json, status: int, body: bytes, took: float) -> None:
        """Record a call with its response; for the arguments see ``OutboxCall``."""
        self.seq += 1
        self._calls.append(OutboxCall(self.seq, time, bot, method, params, status, body, took))
        self.condition.notify()

    def calls(self, method: str | None = None, since: int = 0, bot: int | None = None) -> Iterator[OutboxCall]:
        """Yield calls, oldest first.

        Args:
            method: Only calls of this Bot API method, in any letter case.
            since: Only calls with a greater ``seq``.
            bot: Only calls of the bot with this id.
        """
        newer = islice(self._calls, max(0, len(self._calls) - (self.seq - max(since, 0))), None)
        for call in newer:
            if (not method or call.method.lower() == method.lower()) and bot in (None, call.bot):
                yield call

    def clear(self) -> None:
        """Remove all calls; the numbers continue."""
        self._calls.clear()
        self.condition.notify()
