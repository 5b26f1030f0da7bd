"""The loop of a broadcast, over recipients in memory: who is called, how often, and what is saved."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, cast
from uuid import uuid4

import pytest
from aiogram.exceptions import (
    TelegramAPIError,
    TelegramBadRequest,
    TelegramForbiddenError,
    TelegramNetworkError,
    TelegramRetryAfter,
    TelegramServerError,
)
from aiogram.methods import GetMe
from aiohttp import ClientConnectorError

from services.broadcast import delivery
from services.broadcast.content import Content
from services.broadcast.delivery import BroadcastDelivery
from services.broadcast.tasks import EditTask, SendTask
from services.core.background import BackgroundTasks
from services.messaging.rate_limiter import RateLimiter
from storage.messaging.broadcast_recipients import Recipient
from storage.messaging.broadcasts import Broadcast
from tests.support.environments.environment import wait_until

METHOD = GetMe()
CONTENT = Content(chat_id=1, message_ids=(5,), kind="text", html="News")
SERVER_ERROR = TelegramServerError(METHOD, "Bad Gateway")
RETRY_AFTER = TelegramRetryAfter(METHOD, "Too Many Requests", 1)
BLOCKED = TelegramForbiddenError(METHOD, "Forbidden: bot was blocked by the user")
CONTENT_GONE = TelegramBadRequest(METHOD, "Bad Request: message to copy not found")
NO_ANSWER = TelegramNetworkError(METHOD, "the connection broke")
UNSENT = TelegramNetworkError(METHOD, "no connection")
UNSENT.__cause__ = ClientConnectorError(cast("Any", None), OSError())


@dataclass
class FakeTask:
    """Recipients in memory. `errors` are raised by a user's calls, one after the other; then a call succeeds."""

    waiting: list[int]
    errors: dict[int, list[TelegramAPIError]] = field(default_factory=dict)
    call_seconds: float = 0.0
    calls: Counter[int] = field(default_factory=Counter)
    saved: dict[int, str] = field(default_factory=dict)

    async def claim(self, limit: int, after: int) -> list[Recipient]:
        claimed = sorted(user_id for user_id in self.waiting if user_id > after)[:limit]
        self.waiting = [user_id for user_id in self.waiting if user_id not in claimed]
        return [Recipient(user_id, "*", ()) for user_id in claimed]

    async def call(self, recipient: Recipient, content: Content) -> tuple[int, str]:
        assert content == CONTENT
        self.calls[recipient.user_id] += 1
        await asyncio.sleep(self.call_seconds)
        if errors := self.errors.get(recipient.user_id):
            raise errors.pop(0)
        return recipient.user_id, "sent"

    async def has_called(self) -> bool:
        return bool(self.calls)

    async def has_saved_all_calls(self) -> bool:
        return set(self.saved) == set(self.calls)

    def outcome_of_error(self, recipient: Recipient, error: TelegramAPIError) -> tuple[int, str]:
        task = SendTask(cast("Any", None), cast("Any", None), broadcast(), uuid4())
        return recipient.user_id, task.outcome_of_error(recipient, error).state

    async def save(self, outcomes: list[tuple[int, str]]) -> None:
        for user_id, state in outcomes:
            self.saved[user_id] = state
            if state == "waiting":
                self.waiting.append(user_id)


def broadcast(**changes: Any) -> Broadcast:
    values: dict[str, Any] = dict.fromkeys(Broadcast.__dataclass_fields__)
    values |= {
        "id": uuid4(),
        "admin_id": 1,
        "bot_name": "main",
        "state": "running",
        "task": "send",
        "content": {"*": CONTENT.model_dump(mode="json")},
        "worker_id": uuid4(),
        "progress_message_id": 9,
        "created_at": datetime.now(UTC),
    }
    return Broadcast(**{**values, **changes})


@dataclass
class FakeRow:
    """The broadcast's row."""

    broadcast: Broadcast
    throttled_seconds: list[float] = field(default_factory=list)

    async def get(self, db: Any, broadcast_id: Any) -> Broadcast:
        return self.broadcast

    async def pause(self, db: Any, broadcast_id: Any) -> None:
        self.broadcast = replace(self.broadcast, state="paused")

    async def throttle(self, db: Any, broadcast_id: Any, seconds: float) -> None:
        self.throttled_seconds.append(seconds)


@pytest.fixture
def row(monkeypatch: pytest.MonkeyPatch) -> FakeRow:
    row = FakeRow(broadcast())
    monkeypatch.setattr(delivery, "get_broadcast", row.get)
    monkeypatch.setattr(delivery, "pause_broadcast", row.pause)
    monkeypatch.setattr(delivery, "set_throttled", row.throttle)
    monkeypatch.setattr(delivery, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(delivery, "RETRY_SECONDS", (0.01, 0.01, 0.01))
    monkeypatch.setattr(delivery, "RECONNECT_SECONDS", 0.2)
    monkeypatch.setattr(delivery, "CONTENT_GONE_SECONDS", 0.2)
    return row


def deliver(row: FakeRow, task: FakeTask, seconds: float = 5.0) -> asyncio.Task[None]:
    background = BackgroundTasks()
    parts = cast("Any", None), cast("Any", None), background, row.broadcast, task, RateLimiter(1000)
    return background.spawn(BroadcastDelivery(*parts).run(seconds), "delivery")


async def test_delivery_calls_each_recipient_once_and_saves_it(row: FakeRow) -> None:
    task = FakeTask(list(range(1, 201)), call_seconds=0.01)
    await deliver(row, task)
    assert task.calls == Counter(range(1, 201))
    assert task.saved == dict.fromkeys(range(1, 201), "sent")


async def test_delivery_after_a_5xx_retries_three_times(row: FakeRow) -> None:
    task = FakeTask([1, 2], {1: [SERVER_ERROR] * 3, 2: [SERVER_ERROR] * 9})
    await deliver(row, task)
    assert task.calls == {1: 4, 2: 4}
    assert task.saved == {1: "sent", 2: "failed"}


async def test_delivery_after_a_429_pauses_all_calls_and_retries_the_recipient(row: FakeRow) -> None:
    task = FakeTask(list(range(1, 101)), {1: [RETRY_AFTER]})
    started_at = asyncio.get_running_loop().time()
    await deliver(row, task)
    assert asyncio.get_running_loop().time() - started_at >= 1
    assert row.throttled_seconds == [1.0]
    assert task.calls[1] == 2
    assert set(task.saved.values()) == {"sent"}


async def test_delivery_with_a_pause_of_an_earlier_step_keeps_it(row: FakeRow) -> None:
    row.broadcast = replace(row.broadcast, throttled_until=datetime.fromtimestamp(4e9, UTC))
    task = FakeTask([1])
    await deliver(row, task, 0.1)
    assert not task.calls


@pytest.mark.parametrize(
    ("error", "calls", "state"), [(UNSENT, 2, "sent"), (NO_ANSWER, 1, "unknown"), (BLOCKED, 1, "blocked")]
)
async def test_delivery_after_an_error_retries_only_if_nothing_was_sent(
    row: FakeRow, error: TelegramAPIError, calls: int, state: str
) -> None:
    task = FakeTask([1], {1: [error]})
    await deliver(row, task)
    assert (task.calls[1], task.saved[1]) == (calls, state)


async def test_delivery_of_deleted_content_pauses_the_broadcast_and_fails_no_recipient(row: FakeRow) -> None:
    task = FakeTask(list(range(1, 101)), {user_id: [CONTENT_GONE] for user_id in range(1, 101)})
    await deliver(row, task)
    assert row.broadcast.state == "paused"
    assert set(task.saved.values()) == {"waiting"}
    assert len(task.calls) < 100


async def test_delivery_ends_once_another_step_has_the_broadcast(row: FakeRow) -> None:
    task = FakeTask(list(range(1, 10_000)))
    running = deliver(row, task)
    await wait_until(task.has_called, what="the delivery has begun")
    row.broadcast = replace(row.broadcast, worker_id=uuid4())
    await asyncio.wait_for(running, 1)
    assert 0 < task.calls.total() < 1000
    assert set(task.saved) == set(task.calls)


async def test_cancelled_delivery_saves_the_calls_in_flight(row: FakeRow) -> None:
    task = FakeTask(list(range(1, 10_000)), call_seconds=0.2)
    running = deliver(row, task)
    await wait_until(task.has_called, what="a call is in flight")
    running.cancel()
    await asyncio.wait([running])
    await wait_until(task.has_saved_all_calls, what="the calls in flight are saved")


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (RETRY_AFTER, "waiting"),
        (UNSENT, "waiting"),
        (NO_ANSWER, "refused"),
        (TelegramBadRequest(METHOD, "Bad Request: message is not modified"), "done"),
        (TelegramBadRequest(METHOD, "Bad Request: message to delete not found"), "done"),
        (BLOCKED, "refused"),
    ],
)
def test_outcome_of_error_for_an_edit(error: TelegramAPIError, state: str) -> None:
    task = EditTask(cast("Any", None), cast("Any", None), broadcast(task="edit"), uuid4())
    assert task.outcome_of_error(Recipient(1, "*", (5,)), error).state == state
