"""One step of a broadcast: for some seconds, makes a call for each recipient at an even rate, with many in flight.

`BroadcastDelivery` is the loop, and a `DeliveryTask` (tasks.py) makes the calls. The private classes each keep one
part of the state: the calls in flight, the outcomes to save, and whether the broadcast is still running.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Generic, Protocol, TypeVar

from aiogram.exceptions import TelegramAPIError, TelegramNetworkError, TelegramRetryAfter, TelegramServerError
from loguru import logger

from services.broadcast.content import Content, content_versions
from services.broadcast.progress import show_progress
from services.broadcast.tasks import is_content_gone
from services.core.background import BackgroundTasks
from services.durable.retry import retry_while_db_unavailable
from services.messaging.messenger import Messenger
from services.messaging.rate_limiter import RateLimiter
from services.messaging.telegram_errors import is_unsent
from storage.messaging.broadcast_recipients import Recipient
from storage.messaging.broadcasts import Broadcast, get_broadcast, pause_broadcast, set_throttled
from storage.pool import Pool

_FLUSH_SECONDS: Final = 0.05
_PROGRESS_SECONDS: Final = 5.0
POLL_SECONDS: Final = 0.5
_MAX_IN_FLIGHT: Final = 250
_CLAIM_SECONDS: Final = 0.01
"""The size of a claim, as seconds of sending at the full rate. It is small, so that claims cause no bursts and few
outcomes are unknown after the process died."""
RETRY_SECONDS: Final = (0.3, 0.6, 1.2)
"""Seconds to wait before each retry after a 5xx."""
RECONNECT_SECONDS: Final = 2.0
CONTENT_GONE_SECONDS: Final = 1.0
_BEFORE_ALL: Final = -(2**62)
"""A number below every user id."""

OutcomeT = TypeVar("OutcomeT")


class DeliveryTask(Protocol[OutcomeT]):
    """The work done for each recipient. The two kinds are in tasks.py."""

    async def claim(self, limit: int, after: int) -> list[Recipient]:
        """Claim the next recipients.

        Args:
            limit: The maximum number of recipients.
            after: Only users with a greater id are claimed.

        Returns:
            The recipients, ordered by id; empty if there are no more or another step holds the broadcast.
        """

    async def call(self, recipient: Recipient, content: Content) -> OutcomeT:
        """Make the call for one recipient. Raises TelegramAPIError."""

    def outcome_of_error(self, recipient: Recipient, error: TelegramAPIError) -> OutcomeT:
        """Convert an error to an outcome: final, or `waiting` if the call is to be made again later."""

    async def save(self, outcomes: list[OutcomeT]) -> None:
        """Save the outcomes of calls. Idempotent."""


class BroadcastDelivery(Generic[OutcomeT]):
    """Makes the calls for a broadcast's recipients for some seconds.

    Args:
        db: The database.
        messenger: Shows the progress.
        background: Runs the calls.
        broadcast: The broadcast, as claimed for this step.
        task: The work done for each recipient.
        limiter: Limits the rate of calls.
    """

    def __init__(
        self,
        db: Pool,
        messenger: Messenger,
        background: BackgroundTasks,
        broadcast: Broadcast,
        task: DeliveryTask[OutcomeT],
        limiter: RateLimiter,
    ) -> None:
        self._db = db
        self._broadcast_id = broadcast.id
        self._versions = content_versions(broadcast)
        self._task = task
        self._limiter = limiter
        self._calls = _CallsInFlight(background)
        self._outcomes = _OutcomeBuffer(background, task.save)
        self._state = _StateWatcher(db, messenger, background, broadcast)
        if broadcast.throttled_until is not None:
            limiter.pause((broadcast.throttled_until - datetime.now(UTC)).total_seconds())

    async def run(self, seconds: float) -> None:
        """Make calls until the time is up, no recipient is waiting, or the broadcast is no longer running.

        After it returns or is cancelled, no call is in flight and all outcomes are saved.

        Args:
            seconds: How long to make new calls.
        """
        self._outcomes.start()
        self._state.start()
        try:
            await self._call_recipients(seconds)
        finally:
            self._state.stop()
            await asyncio.shield(self._drain())

    async def _call_recipients(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        deadline, after = loop.time() + seconds, _BEFORE_ALL
        limit = max(1, round(self._limiter.rate * _CLAIM_SECONDS))
        messages = limit * max(len(content.message_ids) for content in self._versions.values())
        while loop.time() < deadline and not self._state.ended:
            if (pause := self._limiter.pause_remaining) > 0:
                await asyncio.sleep(min(pause, POLL_SECONDS))
                continue
            await self._calls.wait_for_room()
            # Recipients are claimed just before their calls. So if the process dies, nearly all recipients that are
            # still marked have been called.
            await self._limiter.acquire(messages)
            recipients = await retry_while_db_unavailable(partial(self._task.claim, limit, after))
            if recipients:
                after = max(recipient.user_id for recipient in recipients)
                for recipient in recipients:
                    self._calls.start(self._call(recipient), f"to-{recipient.user_id}")
            elif self._calls:
                await self._calls.wait_for_any(POLL_SECONDS)
            elif after > _BEFORE_ALL:
                await self._outcomes.flush()
                after = _BEFORE_ALL  # start over: some recipients may be waiting again
            else:
                return

    async def _call(self, recipient: Recipient) -> None:
        """Make one recipient's call. It is retried after a 5xx, within the rate limit; any other error is final."""
        content = self._versions[recipient.version]
        for retry_seconds in (*RETRY_SECONDS, None):
            try:
                outcome = await self._task.call(recipient, content)
            except TelegramAPIError as error:
                if isinstance(error, TelegramServerError) and retry_seconds is not None:
                    await asyncio.sleep(retry_seconds)
                    await self._limiter.acquire(len(content.message_ids))
                    continue
                await self._pause_after(error)
                outcome = self._task.outcome_of_error(recipient, error)
            self._outcomes.add(outcome)
            return

    async def _pause_after(self, error: TelegramAPIError) -> None:
        """Pause after an error that affects all recipients, for some time or until an admin resumes."""
        if isinstance(error, TelegramRetryAfter):
            await self._pause_as_requested(float(error.retry_after))
        elif isinstance(error, TelegramNetworkError) and is_unsent(error):
            self._limiter.pause(RECONNECT_SECONDS)
        elif is_content_gone(error):
            logger.error(
                "broadcast paused, its content is gone", broadcast=self._broadcast_id, error=error.message
            )
            self._limiter.pause(CONTENT_GONE_SECONDS)
            await retry_while_db_unavailable(partial(pause_broadcast, self._db, self._broadcast_id))

    async def _pause_as_requested(self, seconds: float) -> None:
        """Pause after a 429. The pause applies to the whole broadcast, including later steps in other processes."""
        if self._limiter.pause_remaining < seconds:
            logger.warning("broadcast rate limited by Telegram", broadcast=self._broadcast_id, seconds=seconds)
            self._limiter.pause(seconds)
            await retry_while_db_unavailable(partial(set_throttled, self._db, self._broadcast_id, seconds))

    async def _drain(self) -> None:
        await self._calls.wait_for_all()
        await self._outcomes.close()


class _CallsInFlight:
    """The calls that have not been answered yet."""

    def __init__(self, background: BackgroundTasks) -> None:
        self._background = background
        self._tasks: set[asyncio.Task[None]] = set()

    def __bool__(self) -> bool:
        return bool(self._tasks)

    def start(self, call: Coroutine[Any, Any, None], name: str) -> None:
        """Start a call without waiting for it."""
        task = self._background.spawn(call, name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def wait_for_room(self) -> None:
        """Wait until there is room for another call."""
        while len(self._tasks) >= _MAX_IN_FLIGHT:
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)

    async def wait_for_any(self, seconds: float) -> None:
        """Wait up to `seconds` until one of them has ended."""
        await asyncio.wait(self._tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)

    async def wait_for_all(self) -> None:
        """Wait until all of them have ended."""
        if self._tasks:
            await asyncio.wait(set(self._tasks))


class _OutcomeBuffer(Generic[OutcomeT]):
    """Collects outcomes and saves many in one write."""

    def __init__(self, background: BackgroundTasks, save: Callable[[list[OutcomeT]], Awaitable[None]]) -> None:
        self._background = background
        self._save = save
        self._unsaved: list[OutcomeT] = []
        self._closing = asyncio.Event()
        self._flusher: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start saving every 50 ms."""
        self._flusher = self._background.spawn(self._flush_periodically(), "broadcast-results")

    def add(self, outcome: OutcomeT) -> None:
        """Add an outcome for the next write."""
        self._unsaved.append(outcome)

    async def flush(self) -> None:
        """Save the outcomes added so far."""
        if not self._unsaved:
            return
        outcomes, self._unsaved = self._unsaved, []
        try:
            await retry_while_db_unavailable(partial(self._save, outcomes))
        except BaseException:
            self._unsaved = [*outcomes, *self._unsaved]  # the next flush saves them
            raise

    async def close(self) -> None:
        """Stop the periodic writes and save the rest."""
        self._closing.set()
        if self._flusher is not None:
            await asyncio.gather(self._flusher, return_exceptions=True)
        await self.flush()

    async def _flush_periodically(self) -> None:
        while not self._closing.is_set():
            await asyncio.sleep(_FLUSH_SECONDS)
            await self.flush()


class _StateWatcher:
    """Polls the broadcast's row twice per second, and shows the progress every few seconds.

    Claims check the row too; polling covers the time in which nothing is claimed.

    Attributes:
        ended: Whether this step has to end because the broadcast is no longer running or another step holds it.
    """

    def __init__(self, db: Pool, messenger: Messenger, background: BackgroundTasks, broadcast: Broadcast) -> None:
        self.ended = False
        self._db = db
        self._messenger = messenger
        self._background = background
        self._broadcast = broadcast
        self._watcher: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start watching."""
        self._watcher = self._background.spawn(self._watch(), "broadcast-progress")

    def stop(self) -> None:
        """Stop watching."""
        if self._watcher is not None:
            self._watcher.cancel()

    async def _watch(self) -> None:
        loop, broadcast = asyncio.get_running_loop(), self._broadcast
        shown_at = loop.time() if broadcast.progress_message_id is not None else -_PROGRESS_SECONDS
        while True:
            current = await retry_while_db_unavailable(partial(get_broadcast, self._db, broadcast.id))
            self.ended = current is None or current.state != "running" or current.worker_id != broadcast.worker_id
            if current is not None and not self.ended and loop.time() - shown_at >= _PROGRESS_SECONDS:
                shown_at = loop.time()
                await show_progress(self._messenger, current)
            await asyncio.sleep(POLL_SECONDS)
