"""The block and the throttle: a user is notified once, and never kept from paying."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from aiogram.exceptions import TelegramForbiddenError, TelegramServerError
from aiogram.methods import GetMe
from aiogram.types import CallbackQuery, Chat, Message, PreCheckoutQuery, Update
from aiogram.types import User as TelegramUser

from bot.telegram.middlewares import BlockedMiddleware, ErrorMiddleware, ThrottleMiddleware
from bot.telegram.sender import get_sender, to_profile
from bot.telegram.update_processor import KeyedLock
from services.core.i18n import Texts
from services.messaging.stars import StarsError

ANN = TelegramUser(id=7, is_bot=False, first_name="Ann", username="ann", language_code="pt-br")


class Recorder:
    """Replaces the user's context, and the handler behind the middlewares."""

    def __init__(self) -> None:
        self.user = SimpleNamespace(id=7)
        self.sent: list[str] = []
        self.handled = 0

    def t(self, key: str) -> str:
        return key

    async def send(self, text: str) -> None:
        self.sent.append(text)

    async def handle(self, event: Any, data: dict[str, Any]) -> str:
        self.handled += 1
        return "handled"

    async def pass_through(self, middleware: Any, update: Update) -> Any:
        return await middleware(self.handle, update, {"ctx": self})


def text_update(text: str = "hello", *, chat_type: str = "private") -> Update:
    chat = Chat(id=7, type=chat_type)
    return Update(
        update_id=1,
        message=Message(message_id=1, date=datetime.now(UTC), chat=chat, from_user=ANN, text=text),
    )


def checkout_update() -> Update:
    query = PreCheckoutQuery(id="1", from_user=ANN, currency="XTR", total_amount=50, invoice_payload="x")
    return Update(update_id=2, pre_checkout_query=query)


async def test_throttle_over_the_limit_notifies_the_user_once() -> None:
    user, throttle = Recorder(), ThrottleMiddleware(count=3, seconds=60)
    for _ in range(6):
        await user.pass_through(throttle, text_update())
    assert (user.handled, user.sent) == (3, ["throttle"])


async def test_throttle_and_block_of_a_payment_let_it_through() -> None:
    user, throttle, blocked = Recorder(), ThrottleMiddleware(count=1, seconds=60), BlockedMiddleware()
    await user.pass_through(throttle, text_update())
    assert await user.pass_through(throttle, checkout_update()) == "handled"
    assert await user.pass_through(blocked, checkout_update()) == "handled"


async def test_block_notifies_the_user_once_and_lets_support_through() -> None:
    user, blocked = Recorder(), BlockedMiddleware()
    for _ in range(3):
        await user.pass_through(blocked, text_update())
    assert (user.handled, user.sent) == (0, ["blocked.told"])
    assert await user.pass_through(blocked, text_update("/paysupport")) == "handled"


async def test_block_of_repeated_taps_answers_each_and_notifies_once(monkeypatch: Any) -> None:
    answers: list[str | None] = []

    async def answer(self: CallbackQuery, text: str | None = None, show_alert: bool | None = None) -> bool:
        answers.append(text)
        return True

    monkeypatch.setattr(CallbackQuery, "answer", answer)
    user, blocked = Recorder(), BlockedMiddleware()
    tap = Update(
        update_id=3, callback_query=CallbackQuery(id="1", from_user=ANN, chat_instance="1", data="m:menu")
    )
    await user.pass_through(blocked, tap)
    await user.pass_through(blocked, tap)
    assert answers == ["blocked.told", None]


def test_get_sender_outside_private_chats_finds_none() -> None:
    assert get_sender(text_update()) == (ANN, 7)
    assert get_sender(text_update(chat_type="group")) == (None, None)
    assert get_sender(checkout_update()) == (ANN, 7)


def test_to_profile_takes_a_language_that_the_bot_has() -> None:
    texts = Texts()
    profile = to_profile(ANN, "main", texts)
    assert (profile.id, profile.bot_name, profile.username) == (7, "main", "ann")
    assert profile.language == ("pt" if "pt" in texts.languages else "en")


async def test_keyed_lock_after_release_is_forgotten() -> None:
    locks = KeyedLock()
    async with locks.hold(1), locks.hold(2):
        assert len(locks) == 2
    assert len(locks) == 0


@pytest.mark.parametrize(
    ("cause", "sent"),
    [
        (TelegramForbiddenError(GetMe(), "bot was blocked by the user"), []),
        (TelegramServerError(GetMe(), "Internal Server Error"), ["failure.handler"]),
    ],
)
async def test_error_middleware_after_a_refused_invoice_apologizes_only_to_reachable_users(
    cause: Exception, sent: list[str]
) -> None:
    async def fail(event: Any, data: dict[str, Any]) -> None:
        raise StarsError("not sent") from cause

    user = Recorder()
    await ErrorMiddleware()(fail, text_update(), {"ctx": user})
    assert user.sent == sent
