"""Parses the search form of the list of orders, and builds the query of the next page."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import urlencode
from uuid import UUID

from storage.reports.job_detail import JobSearch, JobSummary

PAGE_SIZE: Final = 25
STATES: Final = ("queued", "running", "succeeded", "failed", "cancelled")
_HEX: Final = 32
_MAX_USER_ID_DIGITS: Final = 18
"""Telegram's user ids fit into 52 bits, ours into 63."""
_FIELDS: Final = ("q", "service", "state", "plan")


@dataclass(frozen=True)
class SearchRequest:
    """A search from the form.

    Attributes:
        fields: The values that were entered, by the names of the form's fields.
        search: The conditions; None if no order can match.
    """

    fields: Mapping[str, str]
    search: JobSearch | None

    def next_page_query(self, last: JobSummary) -> str:
        """The URL query of the page that starts after `last`, the last job of this page."""
        return urlencode({**self.fields, "older": f"{last.created_at.isoformat()}_{last.id}"})

    @property
    def first_page_query(self) -> str:
        """The URL query of the first page."""
        return urlencode(self.fields)


def parse_search(query: Mapping[str, str]) -> SearchRequest:
    """Read a search from a URL.

    Args:
        query: `q` is a user id or the beginning of a job id; `service`, `state` and `plan` narrow the search; `older`
            is where the page starts. All are optional, and unknown values match nothing.
    """
    fields = {name: value for name in _FIELDS if (value := query.get(name, "").strip())}
    typed = fields.get("q", "")
    ids, user_id = _id_range_for_prefix(typed), _user_id(typed)
    if typed and ids is None and user_id is None:
        return SearchRequest(fields, None)
    search = JobSearch(
        ids=ids,
        user_id=user_id,
        service=fields.get("service"),
        state=fields.get("state"),
        plan=fields.get("plan"),
        older_than=_parse_cursor(query.get("older", "")),
    )
    return SearchRequest(fields, search)


def _id_range_for_prefix(typed: str) -> tuple[UUID, UUID] | None:
    """The first and the last job id that begin with what was typed, with or without dashes."""
    digits = typed.replace("-", "").lower()
    if not re.fullmatch(f"[0-9a-f]{{1,{_HEX}}}", digits):
        return None
    return UUID(digits.ljust(_HEX, "0")), UUID(digits.ljust(_HEX, "f"))


def _user_id(typed: str) -> int | None:
    return int(typed) if re.fullmatch(f"[0-9]{{1,{_MAX_USER_ID_DIGITS}}}", typed) else None


def _parse_cursor(cursor: str) -> tuple[datetime, UUID] | None:
    """The time and the job after which the page starts. None (the first page) if the cursor is invalid."""
    at, _, job_id = cursor.partition("_")
    try:
        created_at = datetime.fromisoformat(at)
        return (created_at, UUID(job_id)) if created_at.tzinfo else None
    except ValueError:
        return None
