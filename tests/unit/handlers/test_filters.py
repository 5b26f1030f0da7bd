"""Filters look at an update inline; none of them costs a thread."""

from datetime import UTC, datetime

import pytest
from aiogram import F
from aiogram.types import Chat, Message, Voice

from handlers.filters import PLAIN_TEXT, Matches
from handlers.routers import ROUTERS

VOICE = Voice(file_id="file", file_unique_id="unique", duration=3)


def message(text: str | None = None, *, voice: Voice | None = None) -> Message:
    chat = Chat(id=1, type="private")
    return Message(message_id=1, date=datetime.now(UTC), chat=chat, text=text, voice=voice)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [(message("a lighthouse"), True), (message("/start"), False), (message(voice=VOICE), False)],
)
async def test_plain_text_matches_text_that_is_not_a_command(sent: Message, expected: bool) -> None:
    assert await PLAIN_TEXT(sent) is expected


async def test_matches_of_several_kinds_matches_any_of_them() -> None:
    has_file = Matches(F.photo | F.document | F.voice)
    assert await has_file(message(voice=VOICE))
    assert not await has_file(message("no file"))


async def test_matches_negated_matches_messages_without_text() -> None:
    assert await Matches(~F.text)(message(voice=VOICE))
    assert not await Matches(~F.text)(message("text"))


def test_filters_of_all_handlers_run_without_a_thread() -> None:
    """A bare `F` or `State` in a decorator would be run in one: use Matches or StateFilter."""
    in_threads = [
        f"{handler.callback.__module__}.{handler.callback.__name__}"
        for router in ROUTERS
        for part in router.chain_tail
        for observer in part.observers.values()
        for handler in observer.handlers
        for each in handler.filters or ()
        if not each.awaitable
    ]
    assert in_threads == []
