"""Edits count as sends: a progress message is edited at most every few seconds."""

import time
from collections import OrderedDict
from dataclasses import dataclass
from uuid import UUID

MIN_SECONDS_BETWEEN_EDITS = 3.0
_MAX_JOBS = 10_000


@dataclass(frozen=True)
class _LastEdit:
    text: str
    edited_at: float
    running: bool


class EditThrottle:
    """What each job's progress message shows, and when it was last edited. Forgets the oldest jobs."""

    def __init__(self) -> None:
        self._last_edits: OrderedDict[UUID, _LastEdit] = OrderedDict()

    def allow(self, job_id: UUID, text: str, *, running: bool = False) -> bool:
        """Whether to edit now; if so it counts as shown. That a job runs is said at once, and not unsaid."""
        now = time.monotonic()
        last = self._last_edits.get(job_id, _LastEdit("", 0.0, running=False))
        starts = running and not last.running
        if text == last.text or (last.running and not running):
            return False
        if not starts and now - last.edited_at < MIN_SECONDS_BETWEEN_EDITS:
            return False
        self._last_edits[job_id] = _LastEdit(text, now, running)
        self._last_edits.move_to_end(job_id)
        while len(self._last_edits) > _MAX_JOBS:
            self._last_edits.popitem(last=False)
        return True

    def shows_running(self, job_id: UUID) -> bool:
        """Whether it was said here that the job runs."""
        last = self._last_edits.get(job_id)
        return last is not None and last.running

    def forget(self, job_id: UUID) -> None:
        self._last_edits.pop(job_id, None)
