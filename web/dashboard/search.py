"""What an admin types to find an order, as a search; and the way to the next page."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode
from uuid import UUID

from storage.reports.dashboard import JobLine
from storage.reports.job_detail import Search

PAGE = 25
STATES = ("queued", "running", "succeeded", "failed", "cancelled")
_HEX = 32
_MOST_DIGITS = 18
"""A user id of Telegram's fits into 52 bits, ours into 63."""
_FIELDS = ("q", "service", "state", "plan")


@dataclass(frozen=True)
class Asked:
    """The search as it was asked for. `search` is None where the words fit no order at all."""

    words: Mapping[str, str]
    search: Search | None

    def page_after(self, last: JobLine) -> str:
        """The query of the page that goes on after this line."""
        return urlencode({**self.words, "older": f"{last.created_at.isoformat()}_{last.id}"})

    @property
    def first_page(self) -> str:
        return urlencode(self.words)


def read_search(query: Mapping[str, str]) -> Asked:
    words = {name: value for name in _FIELDS if (value := query.get(name, "").strip())}
    typed = words.get("q", "")
    ids, user_id = ids_beginning(typed), _user_id(typed)
    if typed and ids is None and user_id is None:
        return Asked(words, None)
    search = Search(
        ids=ids,
        user_id=user_id,
        service=words.get("service"),
        state=words.get("state"),
        plan=words.get("plan"),
        older_than=_place(query.get("older", "")),
    )
    return Asked(words, search)


def ids_beginning(typed: str) -> tuple[UUID, UUID] | None:
    """The first and the last job id that begin so, with or without dashes."""
    digits = typed.replace("-", "").lower()
    if not re.fullmatch(f"[0-9a-f]{{1,{_HEX}}}", digits):
        return None
    return UUID(digits.ljust(_HEX, "0")), UUID(digits.ljust(_HEX, "f"))


def _user_id(typed: str) -> int | None:
    return int(typed) if re.fullmatch(f"[0-9]{{1,{_MOST_DIGITS}}}", typed) else None


def _place(older: str) -> tuple[datetime, UUID] | None:
    """Where a page begins; the first one for what is no place."""
    at, _, job_id = older.partition("_")
    try:
        moment = datetime.fromisoformat(at)
        return (moment, UUID(job_id)) if moment.tzinfo else None
    except ValueError:
        return None
