"""Telegram counts edits as sends: a progress message is edited at most every few seconds."""

import time
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from cachetools import LRUCache

_MIN_SECONDS_BETWEEN_EDITS: Final = 3.0
_MAX_JOBS: Final = 10_000


@dataclass(frozen=True)
class _LastEdit:
    text: str
    edited_at: float
    running: bool


_NEVER: Final = _LastEdit("", 0.0, running=False)


class EditThrottle:
    """What each job's progress message shows, and when it was last edited. Forgets the jobs unused for longest."""

    def __init__(self) -> None:
        self._last_edits: LRUCache[UUID, _LastEdit] = LRUCache(_MAX_JOBS)

    def allow(self, job_id: UUID, text: str, *, running: bool = False) -> bool:
        """Ask whether to edit a job's progress message now; if so, the edit counts as made.

        Args:
            job_id: The job.
            text: What the message is to show.
            running: Whether the text says that the job runs. The first such text passes at once, and no text
                that says less passes after it.
        """
        now = time.monotonic()
        last = self._last_edits.get(job_id, _NEVER)
        starts = running and not last.running
        if text == last.text or (last.running and not running):
            return False
        if not starts and now - last.edited_at < _MIN_SECONDS_BETWEEN_EDITS:
            return False
        self._last_edits[job_id] = _LastEdit(text, now, running)
        return True

    def shows_running(self, job_id: UUID) -> bool:
        """Whether a text that says that the job runs has passed."""
        return self._last_edits.get(job_id, _NEVER).running

    def forget(self, job_id: UUID) -> None:
        """Drop what is known of a job that has ended."""
        self._last_edits.pop(job_id, None)
