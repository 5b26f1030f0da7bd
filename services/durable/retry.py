"""Retries of database writes."""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import stamina

from storage.pool import DATABASE_UNAVAILABLE

T = TypeVar("T")
_TIMEOUT_SECONDS: Final = 120
_MAX_ATTEMPTS: Final = 40
_MAX_WAIT_SECONDS: Final = 3


async def retry_while_db_unavailable(write: Callable[[], Awaitable[T]]) -> T:
    """Write to the database, and retry while it is unavailable, so that the work around the write need not run again.

    Args:
        write: The write. It may be called several times, so it must be idempotent.

    Returns:
        The result of `write`.

    Raises:
        Exception: The database's error, if it is still unavailable after two minutes.
    """
    async for attempt in stamina.retry_context(
        on=DATABASE_UNAVAILABLE, attempts=_MAX_ATTEMPTS, timeout=_TIMEOUT_SECONDS, wait_max=_MAX_WAIT_SECONDS
    ):
        with attempt:
            return await write()
    raise AssertionError("the last attempt returns or raises")
