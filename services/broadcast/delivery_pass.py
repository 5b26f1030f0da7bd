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

from services.broadcast.content import Content, versions_of
from services.broadcast.progress import show_progress
from services.broadcast.telegram_calls import never_went_out
from services.durable.steps import patiently
from services.messaging.app_context import Studio
from services.messaging.rate_limiter import PAID_PER_SECOND, Pacer
from storage.messaging.broadcast_recipients import Recipient
from storage.messaging.broadcasts import Broadcast, get_broadcast, note_wait

_FLUSH_SECONDS = 0.05
_SHOW_SECONDS = 5.0
_LOOK_SECONDS = 0.5
_IN_FLIGHT = 250
_CLAIM_SECONDS = 0.01
"""How much is claimed at once: so few that they are no burst, and that a death leaves little unknown."""
_TRIES = 4
_FIRST_AGAIN_SECONDS = 0.3
_CONNECT_AGAIN_SECONDS = 2.0

End = TypeVar("End")


class Pass(ABC, Generic[End]):
    """Sending, editing or deleting: `seconds` of it, under one runner."""

    def __init__(self, studio: Studio, broadcast: Broadcast, runner: UUID, *, seconds: float) -> None:
        self.studio = studio
        self.broadcast = broadcast
        self.runner = runner
        self.versions = versions_of(broadcast)
        self.bot: Bot = studio.bulk[broadcast.bot_name]
        self.pacer = Pacer(PAID_PER_SECOND) if self._is_paid else studio.pacers[broadcast.bot_name]
        self._seconds = seconds
        self._after = -(2**62)
        self._in_flight: set[asyncio.Task[None]] = set()
        self._ends: list[End] = []
        self._over = False
        self._settling = False
        if broadcast.wait_until is not None:
            self.pacer.pause((broadcast.wait_until - datetime.now(UTC)).total_seconds())

    @property
    def _is_paid(self) -> bool:
        return self.broadcast.paid and self.broadcast.task == "send"

    @abstractmethod
    async def claim(self, limit: int, after: int) -> list[Recipient]:
        """The next people; none when there are no more, or this is not ours to do any longer."""

    @abstractmethod
    async def call(self, recipient: Recipient, content: Content) -> End:
        """Make the call. Raises TelegramAPIError."""

    @abstractmethod
    def end_of(self, recipient: Recipient, error: TelegramAPIError) -> End:
        """What a refusal means."""

    @abstractmethod
    def again(self, recipient: Recipient) -> End:
        """Nothing went out: they wait again."""

    @abstractmethod
    async def write(self, ends: list[End]) -> None:
        """Write down how calls ended."""

    async def run(self) -> None:
        """Until the time is over, nobody waits, or the broadcast does not run any more. Then nothing is in
        flight, and all is written down."""
        spawn = self.studio.background.spawn
        writer = spawn(self._keep_writing(), "broadcast-results")
        looker = spawn(self._keep_looking(), "broadcast-progress")
        try:
            await self._go_through()
        finally:
            looker.cancel()
            await asyncio.shield(self._settle(writer))

    async def _go_through(self) -> None:
        loop = asyncio.get_running_loop()
        ends = loop.time() + self._seconds
        limit = max(1, round(self.pacer.rate * _CLAIM_SECONDS))
        while loop.time() < ends and not self._over:
            if self.pacer.paused > 0:
                await asyncio.sleep(min(self.pacer.paused, _LOOK_SECONDS))
                continue
            await self._room(limit)
            found = await patiently(partial(self.claim, limit, self._after))
            if found:
                self._after = max(recipient.user_id for recipient in found)
                self._call_all(found)
            elif self._in_flight:
                await asyncio.wait(self._in_flight, timeout=_LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            elif self._after > -(2**62):
                await self._write_now()
                self._after = -(2**62)  # once more from the start: some may wait again
            else:
                return

    async def _room(self, people: int) -> None:
        """Wait for the turn of so many people. Only then are they claimed, and called at once: who is found marked
        after a death was called, but for the moment in between."""
        while len(self._in_flight) >= _IN_FLIGHT:
            await asyncio.wait(self._in_flight, return_when=asyncio.FIRST_COMPLETED)
        await self.pacer.turn(people * max(len(content.message_ids) for content in self.versions.values()))

    def _call_all(self, found: list[Recipient]) -> None:
        for recipient in found:
            content = self.versions[recipient.version]
            task = self.studio.background.spawn(self._call(recipient, content), f"to-{recipient.user_id}")
            self._in_flight.add(task)
            task.add_done_callback(self._in_flight.discard)

    async def _call(self, recipient: Recipient, content: Content) -> None:
        wait = _FIRST_AGAIN_SECONDS
        for attempt in range(_TRIES):
            if attempt:
                await asyncio.sleep(wait)
                wait *= 2
                await self.pacer.turn(len(content.message_ids))
            try:
                end = await self.call(recipient, content)
            except TelegramRetryAfter as error:
                await self._pause(float(error.retry_after))
                end = self.again(recipient)
            except TelegramServerError as error:
                if attempt + 1 < _TRIES:
                    continue
                end = self.end_of(recipient, error)
            except TelegramNetworkError as error:
                if never_went_out(error):
                    self.pacer.pause(_CONNECT_AGAIN_SECONDS)
                    end = self.again(recipient)
                else:
                    end = self.end_of(recipient, error)
            except TelegramAPIError as error:
                end = self.end_of(recipient, error)
            self._ends.append(end)  # only now: while the call was made, the list may have become another
            return

    async def _pause(self, seconds: float) -> None:
        """Telegram's word counts for everything that this broadcast sends, also in the next step or process."""
        if self.pacer.paused < seconds:
            logger.warning("broadcast {}: Telegram asks to wait {} s", self.broadcast.id, seconds)
            self.pacer.pause(seconds)
            await patiently(partial(note_wait, self.studio.db, self.broadcast.id, seconds))

    async def _keep_writing(self) -> None:
        while not self._settling:
            await asyncio.sleep(_FLUSH_SECONDS)
            await self._write_now()

    async def _keep_looking(self) -> None:
        """Whether it still runs, and how far it is. The claim looks too; this is for when nothing is claimed."""
        loop = asyncio.get_running_loop()
        shown = loop.time() if self.broadcast.progress_message_id is not None else -_SHOW_SECONDS
        while True:
            now = await patiently(partial(get_broadcast, self.studio.db, self.broadcast.id))
            self._over = now is None or now.state != "running" or now.runner != self.runner
            if now is not None and not self._over and loop.time() - shown >= _SHOW_SECONDS:
                shown = loop.time()
                await show_progress(self.studio, now)
            await asyncio.sleep(_LOOK_SECONDS)

    async def _write_now(self) -> None:
        if self._ends:
            ends, self._ends = self._ends, []
            try:
                await patiently(partial(self.write, ends))
            except BaseException:
                self._ends = [*ends, *self._ends]  # whoever comes next writes them
                raise

    async def _settle(self, writer: asyncio.Task[None]) -> None:
        """What is in flight comes in, and is written down."""
        if self._in_flight:
            await asyncio.wait(set(self._in_flight))
        self._settling = True
        await asyncio.gather(writer, return_exceptions=True)
        await self._write_now()
