"""The stand's limits: as many messages as Telegram allows go through, and a 429 for every one beyond."""

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


def limits(**order: float) -> RateLimits:
    made = RateLimits()
    made.set(RateLimitSettings.model_validate(order))
    return made


def refused(made: RateLimits, chats: range, *, paid: bool | None = None) -> int:
    before = made.refused
    for chat in chats:
        with suppress(ApiError):
            made.check(1, CopyMessage(chat_id=chat, from_chat_id=9, message_id=1, allow_paid_broadcast=paid))
    return made.refused - before


def test_thirty_a_second_in_all_and_a_thousand_when_paid(clock: Clock) -> None:
    made = limits(per_second=30)
    assert refused(made, range(100)) == 70
    assert refused(made, range(2000), paid=True) == 1000
    clock.now += 0.5
    assert refused(made, range(100)) == 85, "it refills evenly"
    assert made.snapshot()["refused"] == 1155


def test_one_a_second_in_a_chat(clock: Clock) -> None:
    made = limits(per_chat=1)
    made.check(1, SendMessage(chat_id=5, text="a"))
    with pytest.raises(ApiError, match="retry after 1"):
        made.check(1, SendMessage(chat_id=5, text="b"))
    made.check(1, SendMessage(chat_id=6, text="c"))
    clock.now += 1
    made.check(1, SendMessage(chat_id=5, text="b"))


def test_an_album_counts_each_message_and_other_calls_none(clock: Clock) -> None:
    made = limits(per_second=30)
    made.check(1, CopyMessages(chat_id=5, from_chat_id=9, message_ids=list(range(1, 11))))
    for _ in range(100):
        made.check(1, GetMe())
    assert refused(made, range(100)) == 80


def test_without_an_order_there_is_no_limit() -> None:
    assert refused(RateLimits(), range(500)) == 0
