"""Limits how often a progress message is edited, because Telegram counts edits as messages sent."""

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
    """Remembers, for the 10,000 jobs used last, what the progress message shows and when it was last edited."""

    def __init__(self) -> None:
        self._last_edits: LRUCache[UUID, _LastEdit] = LRUCache(_MAX_JOBS)

    def allow(self, job_id: UUID, text: str, *, running: bool = False) -> bool:
        """Decide whether to edit a job's progress message now. If so, the edit is recorded as made.

        Args:
            job_id: The job.
            text: The new text of the message.
            running: Whether the text says that the job is running. The first such text is allowed at once; after
                it, texts about waiting are rejected.

        Returns:
            False if the text is already shown, or the last edit was less than 3 seconds ago.
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
        """Whether the message has already shown that the job is running."""
        return self._last_edits.get(job_id, _NEVER).running

    def forget(self, job_id: UUID) -> None:
        """Forget a job that has ended."""
        self._last_edits.pop(job_id, None)
