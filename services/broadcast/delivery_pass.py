"""One step of a broadcast: some seconds of going through its people at an even pace, with many calls in flight."""

import asyncio
from abc import ABC, abstractmethod
from datetime import UTC, datetime
from functools import partial
from typing import Generic, TypeVar
from uuid import UUID

from aiogram import Bot
from aiogram.exceptions import TelegramAPIError, TelegramNetworkError, TelegramRetryAfter, TelegramServerError
from loguru import logger

from services.broadcast.content import Content, content_versions
from services.broadcast.progress import show_progress
from services.broadcast.telegram_calls import was_not_sent
from services.durable.steps import retry_while_db_unavailable
from services.messaging.app_context import AppContext
from services.messaging.rate_limiter import PAID_MESSAGES_PER_SECOND, RateLimiter
from storage.messaging.broadcast_recipients import Recipient
from storage.messaging.broadcasts import Broadcast, get_broadcast, set_throttled

_FLUSH_SECONDS = 0.05
_PROGRESS_SECONDS = 5.0
_POLL_SECONDS = 0.5
_MAX_IN_FLIGHT = 250
_CLAIM_SECONDS = 0.01
"""How much is claimed at once: so few that they are no burst, and that a death leaves little unknown."""
_MAX_ATTEMPTS = 4
_FIRST_RETRY_SECONDS = 0.3
_RECONNECT_SECONDS = 2.0

Outcome = TypeVar("Outcome")


class DeliveryPass(ABC, Generic[Outcome]):
    """Sending, editing or deleting: `seconds` of it, under one runner."""

    def __init__(self, studio: AppContext, broadcast: Broadcast, worker_id: UUID, *, seconds: float) -> None:
        self.studio = studio
        self.broadcast = broadcast
        self.worker_id = worker_id
        self.versions = content_versions(broadcast)
        self.bot: Bot = studio.broadcast_bots[broadcast.bot_name]
        self.rate_limiter = (
            RateLimiter(PAID_MESSAGES_PER_SECOND) if self._is_paid else studio.rate_limiters[broadcast.bot_name]
        )
        self._duration_seconds = seconds
        self._after_user_id = -(2**62)
        self._in_flight: set[asyncio.Task[None]] = set()
        self._outcomes: list[Outcome] = []
        self._ended = False
        self._draining = False
        if broadcast.throttled_until is not None:
            self.rate_limiter.pause((broadcast.throttled_until - datetime.now(UTC)).total_seconds())

    @property
    def _is_paid(self) -> bool:
        return self.broadcast.paid and self.broadcast.task == "send"

    @abstractmethod
    async def claim(self, limit: int, after: int) -> list[Recipient]:
        """The next people; none when there are no more, or this is not ours to do any longer."""

    @abstractmethod
    async def call(self, recipient: Recipient, content: Content) -> Outcome:
        """Make the call. Raises TelegramAPIError."""

    @abstractmethod
    def outcome_of_error(self, recipient: Recipient, error: TelegramAPIError) -> Outcome:
        """What a refusal means."""

    @abstractmethod
    def outcome_to_retry(self, recipient: Recipient) -> Outcome:
        """Nothing went out: they wait again."""

    @abstractmethod
    async def save_outcomes(self, outcomes: list[Outcome]) -> None:
        """Write down how calls ended."""

    async def run(self) -> None:
        """Until the time is over, nobody waits, or the broadcast does not run any more. Then nothing is in
        flight, and all is written down."""
        spawn = self.studio.background.spawn
        flusher = spawn(self._flush_periodically(), "broadcast-results")
        watcher = spawn(self._watch_state(), "broadcast-progress")
        try:
            await self._process_recipients()
        finally:
            watcher.cancel()
            await asyncio.shield(self._drain(flusher))

    async def _process_recipients(self) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._duration_seconds
        limit = max(1, round(self.rate_limiter.rate * _CLAIM_SECONDS))
        while loop.time() < deadline and not self._ended:
            if self.rate_limiter.pause_remaining > 0:
                await asyncio.sleep(min(self.rate_limiter.pause_remaining, _POLL_SECONDS))
                continue
            await self._wait_for_capacity(limit)
            recipients = await retry_while_db_unavailable(partial(self.claim, limit, self._after_user_id))
            if recipients:
                self._after_user_id = max(recipient.user_id for recipient in recipients)
                self._call_all(recipients)
            elif self._in_flight:
                await asyncio.wait(self._in_flight, timeout=_POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            elif self._after_user_id > -(2**62):
                await self._flush()
                self._after_user_id = -(2**62)  # once more from the start: some may wait again
            else:
                return

    async def _wait_for_capacity(self, recipient_count: int) -> None:
        """Wait for the turn of so many people. Only then are they claimed, and called at once: who is found marked
        after a death was called, but for the moment in between."""
        while len(self._in_flight) >= _MAX_IN_FLIGHT:
            await asyncio.wait(self._in_flight, return_when=asyncio.FIRST_COMPLETED)
        await self.rate_limiter.acquire(
            recipient_count * max(len(content.message_ids) for content in self.versions.values())
        )

    def _call_all(self, recipients: list[Recipient]) -> None:
        for recipient in recipients:
            content = self.versions[recipient.version]
            task = self.studio.background.spawn(self._call(recipient, content), f"to-{recipient.user_id}")
            self._in_flight.add(task)
            task.add_done_callback(self._in_flight.discard)

    async def _call(self, recipient: Recipient, content: Content) -> None:
        wait = _FIRST_RETRY_SECONDS
        for attempt in range(_MAX_ATTEMPTS):
            if attempt:
                await asyncio.sleep(wait)
                wait *= 2
                await self.rate_limiter.acquire(len(content.message_ids))
            try:
                outcome = await self.call(recipient, content)
            except TelegramRetryAfter as error:
                await self._pause_for(float(error.retry_after))
                outcome = self.outcome_to_retry(recipient)
            except TelegramServerError as error:
                if attempt + 1 < _MAX_ATTEMPTS:
                    continue
                outcome = self.outcome_of_error(recipient, error)
            except TelegramNetworkError as error:
                if was_not_sent(error):
                    self.rate_limiter.pause(_RECONNECT_SECONDS)
                    outcome = self.outcome_to_retry(recipient)
                else:
                    outcome = self.outcome_of_error(recipient, error)
            except TelegramAPIError as error:
                outcome = self.outcome_of_error(recipient, error)
            self._outcomes.append(outcome)  # only now: while the call was made, the list may have become another
            return

    async def _pause_for(self, seconds: float) -> None:
        """Telegram's word counts for everything that this broadcast sends, also in the next step or process."""
        if self.rate_limiter.pause_remaining < seconds:
            logger.warning("broadcast {}: Telegram asks to wait {} s", self.broadcast.id, seconds)
            self.rate_limiter.pause(seconds)
            await retry_while_db_unavailable(partial(set_throttled, self.studio.db, self.broadcast.id, seconds))

    async def _flush_periodically(self) -> None:
        while not self._draining:
            await asyncio.sleep(_FLUSH_SECONDS)
            await self._flush()

    async def _watch_state(self) -> None:
        """Whether it still runs, and how far it is. The claim looks too; this is for when nothing is claimed."""
        loop = asyncio.get_running_loop()
        shown_at = loop.time() if self.broadcast.progress_message_id is not None else -_PROGRESS_SECONDS
        while True:
            current = await retry_while_db_unavailable(partial(get_broadcast, self.studio.db, self.broadcast.id))
            self._ended = current is None or current.state != "running" or current.worker_id != self.worker_id
            if current is not None and not self._ended and loop.time() - shown_at >= _PROGRESS_SECONDS:
                shown_at = loop.time()
                await show_progress(self.studio, current)
            await asyncio.sleep(_POLL_SECONDS)

    async def _flush(self) -> None:
        if self._outcomes:
            outcomes, self._outcomes = self._outcomes, []
            try:
                await retry_while_db_unavailable(partial(self.save_outcomes, outcomes))
            except BaseException:
                self._outcomes = [*outcomes, *self._outcomes]  # whoever comes next writes them
                raise

    async def _drain(self, flusher: asyncio.Task[None]) -> None:
        """What is in flight comes in, and is written down."""
        if self._in_flight:
            await asyncio.wait(set(self._in_flight))
        self._draining = True
        await asyncio.gather(flusher, return_exceptions=True)
        await self._flush()
