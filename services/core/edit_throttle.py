"""Edits count as sends: a progress message is edited at most every few seconds."""

import time
from collections import OrderedDict
from dataclasses import dataclass
from uuid import UUID

SECONDS_BETWEEN_EDITS = 3.0
_REMEMBERED = 10_000


@dataclass(frozen=True)
class _Shown:
    text: str
    at: float
    running: bool


class ProgressClock:
    """What each job's progress message shows, and when it was last edited. Forgets the oldest jobs."""

    def __init__(self) -> None:
        self._shown: OrderedDict[UUID, _Shown] = OrderedDict()

    def may_show(self, job_id: UUID, text: str, *, running: bool = False) -> bool:
        """Whether to edit now; if so it counts as shown. That a job runs is said at once, and not unsaid."""
        now = time.monotonic()
        shown = self._shown.get(job_id, _Shown("", 0.0, running=False))
        begins = running and not shown.running
        if text == shown.text or (shown.running and not running):
            return False
        if not begins and now - shown.at < SECONDS_BETWEEN_EDITS:
            return False
        self._shown[job_id] = _Shown(text, now, running)
        self._shown.move_to_end(job_id)
        while len(self._shown) > _REMEMBERED:
            self._shown.popitem(last=False)
        return True

    def runs(self, job_id: UUID) -> bool:
        """Whether it was said here that the job runs."""
        shown = self._shown.get(job_id)
        return shown is not None and shown.running

    def forget(self, job_id: UUID) -> None:
        self._shown.pop(job_id, None)
