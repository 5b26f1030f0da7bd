"""Edits count as sends: a progress message is edited at most every few seconds."""

import time
from collections import OrderedDict
from uuid import UUID

SECONDS_BETWEEN_EDITS = 3.0
_REMEMBERED = 10_000


class ProgressClock:
    """What each job's progress message shows, and when it was last edited. Forgets the oldest jobs."""

    def __init__(self) -> None:
        self._shown: OrderedDict[UUID, tuple[str, float]] = OrderedDict()

    def may_show(self, job_id: UUID, text: str) -> bool:
        """Whether to edit now; if so it counts as shown."""
        now = time.monotonic()
        shown, at = self._shown.get(job_id, ("", 0.0))
        if text == shown or now - at < SECONDS_BETWEEN_EDITS:
            return False
        self._shown[job_id] = (text, now)
        self._shown.move_to_end(job_id)
        while len(self._shown) > _REMEMBERED:
            self._shown.popitem(last=False)
        return True

    def forget(self, job_id: UUID) -> None:
        self._shown.pop(job_id, None)
