"""Rate limits: messages within Telegram's limits pass, and every further one is answered 429."""

import time
from contextlib import suppress

import pytest
from aiogram.methods import CopyMessage, CopyMessages, GetMe, SendMessage

from sandbox.telegram.errors import ApiError
from sandbox.telegram.state.rate_limits import RateLimits, RateLimitSettings


class Clock:
    now = 1000.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", lambda: clock.now)
    return clock


def limits(**settings: float) -> RateLimits:
    limiter = RateLimits()
    limiter.set(RateLimitSettings.model_validate(settings))
    return limiter


def count_refused(limiter: RateLimits, chats: range, *, paid: bool | None = None) -> int:
    before = limiter.refused
    for chat in chats:
        with suppress(ApiError):
            limiter.check(1, CopyMessage(chat_id=chat, from_chat_id=9, message_id=1, allow_paid_broadcast=paid))
    return limiter.refused - before


def test_limit_per_second_applies_to_free_and_paid_messages(clock: Clock) -> None:
    limiter = limits(per_second=30)
    assert count_refused(limiter, range(100)) == 70
    assert count_refused(limiter, range(2000), paid=True) == 1000
    clock.now += 0.5
    assert count_refused(limiter, range(100)) == 85, "it refills evenly"
    assert limiter.snapshot()["refused"] == 1155


def test_limit_per_chat_allows_one_message_per_second(clock: Clock) -> None:
    limiter = limits(per_chat=1)
    limiter.check(1, SendMessage(chat_id=5, text="a"))
    with pytest.raises(ApiError, match="retry after 1"):
        limiter.check(1, SendMessage(chat_id=5, text="b"))
    limiter.check(1, SendMessage(chat_id=6, text="c"))
    clock.now += 1
    limiter.check(1, SendMessage(chat_id=5, text="b"))


def test_album_counts_each_message_and_other_methods_count_nothing(clock: Clock) -> None:
    limiter = limits(per_second=30)
    limiter.check(1, CopyMessages(chat_id=5, from_chat_id=9, message_ids=list(range(1, 11))))
    for _ in range(100):
        limiter.check(1, GetMe())
    assert count_refused(limiter, range(100)) == 80


def test_without_settings_nothing_is_limited() -> None:
    assert count_refused(RateLimits(), range(500)) == 0
