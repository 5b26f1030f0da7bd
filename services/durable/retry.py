"""Retries of our own writes."""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import stamina

from storage.pool import DATABASE_UNAVAILABLE

T = TypeVar("T")
_TIMEOUT_SECONDS: Final = 120
_MAX_ATTEMPTS: Final = 40
_MAX_WAIT_SECONDS: Final = 3


async def retry_while_db_unavailable(write: Callable[[], Awaitable[T]]) -> T:
    """Make a write of ours, waiting out a database that is unavailable: the work around it must not run again.

    Args:
        write: The write. It may be made several times, so it must change nothing when it is repeated.

    Returns:
        What the write returned.

    Raises:
        Exception: The database's error, when it is still unavailable after two minutes.
    """
    async for attempt in stamina.retry_context(
        on=DATABASE_UNAVAILABLE, attempts=_MAX_ATTEMPTS, timeout=_TIMEOUT_SECONDS, wait_max=_MAX_WAIT_SECONDS
    ):
        with attempt:
            return await write()
    raise AssertionError("the last attempt returns or raises")
