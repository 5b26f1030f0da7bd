"""What every update passes on its way to a handler: who it is from, how fast they write, what went wrong."""

import asyncio
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

from aiogram import BaseMiddleware
from aiogram.dispatcher.middlewares.user_context import EVENT_CONTEXT_KEY
from aiogram.exceptions import TelegramAPIError
from aiogram.fsm.context import FSMContext
from aiogram.fsm.storage.base import BaseStorage, StorageKey
from aiogram.types import CallbackQuery, TelegramObject, Update
from aiolimiter import AsyncLimiter
from loguru import logger

from handlers.context import Desk, answer
from services.dispatch import Dispatcher
from services.messaging.app_context import Studio
from services.messaging.telegram_errors import person_is_gone
from storage.pool import DATABASE_AWAY
from storage.updates import Arrival

Handler = Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]]
_PEOPLE_REMEMBERED = 50_000
_ALBUM_PHOTO = 0.1
"""What one photo of an album counts: ten of them are one thing that a person does."""
_FOR_ALL = re.compile(r"/(support|paysupport|terms)(@\w+)?(\s|$)")
"""Commands that answer everybody: Telegram asks for them. https://core.telegram.org/bots/payments-stars"""
_TOLD_AGAIN = 60.0


class DeskMiddleware(BaseMiddleware):
    """Gives the handlers a `desk` for the person, and the conversation: `state`, and `raw_state` as it arrived."""

    def __init__(self, studio: Studio, dispatcher: Dispatcher, storage: BaseStorage, contact: str) -> None:
        self._studio = studio
        self._dispatcher = dispatcher
        self._storage = storage
        self._contact = contact
        self._blocked = BlockedMiddleware()

    async def __call__(self, handler: Handler, event: TelegramObject, data: dict[str, Any]) -> Any:
        arrival: Arrival = data["arrival"]
        user, bot, context = arrival.user, data["bot"], data[EVENT_CONTEXT_KEY]
        assert user is not None  # noqa: S101 - the intake welcomes everybody who is new
        chat_id = context.chat.id if context.chat else user.id
        data["desk"] = Desk(
            self._studio, self._dispatcher, user, user.bot_name, chat_id, arrival.balance, self._contact
        )
        data["state"] = FSMContext(self._storage, StorageKey(bot_id=bot.id, chat_id=chat_id, user_id=user.id))
        data["raw_state"] = arrival.state
        if user.blocked and user.id not in self._studio.admins:
            return await self._blocked(handler, event, data)
        return await handler(event, data)


class BlockedMiddleware(BaseMiddleware):
    """Who is blocked by an admin is told so, at most once a minute. What they ask of support is answered, and what
    they pay or paid goes its way: a payment is refused by its own handler, one that was made is theirs."""

    def __init__(self) -> None:
        self._told: OrderedDict[int, float] = OrderedDict()

    async def __call__(self, handler: Handler, event: TelegramObject, data: dict[str, Any]) -> Any:
        if not isinstance(event, Update) or _is_payment(event) or event.my_chat_member or _is_for_all(event):
            return await handler(event, data)
        desk: Desk = data["desk"]
        tap, news = event.callback_query, self._is_news(desk.user.id)
        try:
            if tap is not None:
                await answer(tap, desk.t("blocked.told") if news else None, alert=news)
            elif news:
                await desk.say(desk.t("blocked.told"))
        except TelegramAPIError as error:
            logger.warning("person {} was not told of the block: {}", desk.user.id, error.message)
        return None

    def _is_news(self, user_id: int) -> bool:
        now = asyncio.get_running_loop().time()
        if now - self._told.get(user_id, -_TOLD_AGAIN) < _TOLD_AGAIN:
            return False
        self._told[user_id] = now
        self._told.move_to_end(user_id)
        if len(self._told) > _PEOPLE_REMEMBERED:
            self._told.popitem(last=False)
        return True


class ThrottleMiddleware(BaseMiddleware):
    """At most `count` updates in `seconds` from one person; payments always pass. Tells them once."""

    def __init__(self, count: int = 30, seconds: float = 10.0) -> None:
        self._count = count
        self._seconds = seconds
        self._limits: OrderedDict[int, AsyncLimiter] = OrderedDict()
        self._told: set[int] = set()

    async def __call__(self, handler: Handler, event: TelegramObject, data: dict[str, Any]) -> Any:
        update, desk = event, data["desk"]
        if not isinstance(update, Update) or _is_payment(update):
            return await handler(event, data)
        limit = self._limit(desk.user.id)
        cost = _ALBUM_PHOTO if update.message and update.message.media_group_id else 1.0
        if limit.has_capacity(cost):
            await limit.acquire(cost)
            self._told.discard(desk.user.id)
            return await handler(event, data)
        if update.callback_query is not None:
            await answer(update.callback_query, desk.t("throttle"), alert=True)
        elif desk.user.id not in self._told:
            self._told.add(desk.user.id)
            await desk.say(desk.t("throttle"))
        return None

    def _limit(self, user_id: int) -> AsyncLimiter:
        limit = self._limits.setdefault(user_id, AsyncLimiter(self._count, self._seconds))
        self._limits.move_to_end(user_id)
        while len(self._limits) > _PEOPLE_REMEMBERED:
            forgotten, _ = self._limits.popitem(last=False)
            self._told.discard(forgotten)
        return limit


class ErrorMiddleware(BaseMiddleware):
    """Whatever a handler did not foresee is logged once, and the person is told. A database that is away is
    let through: the update is then not done, and Telegram brings it again."""

    async def __call__(self, handler: Handler, event: TelegramObject, data: dict[str, Any]) -> Any:
        try:
            return await handler(event, data)
        except DATABASE_AWAY:
            raise
        except Exception as error:  # noqa: BLE001 - the last fence before silence
            update_id = event.update_id if isinstance(event, Update) else None
            desk: Desk = data["desk"]
            if isinstance(error, TelegramAPIError):
                logger.warning("update {} from {}: Telegram says {}", update_id, desk.user.id, error.message)
            else:
                logger.opt(exception=error).error("update {} from {} failed", update_id, desk.user.id)
            await self._tell(desk, event, error)
            return None

    async def _tell(self, desk: Desk, event: TelegramObject, error: Exception) -> None:
        if isinstance(error, TelegramAPIError) and person_is_gone(error):
            return
        try:
            tap = event.callback_query if isinstance(event, Update) else None
            if isinstance(tap, CallbackQuery):
                await answer(tap)
            await desk.say(desk.t("failure.handler"))
        except TelegramAPIError as second:
            logger.warning("person {} could not be told: {}", desk.user.id, second.message)


def _is_for_all(update: Update) -> bool:
    return bool(update.message and _FOR_ALL.match(update.message.text or ""))


def _is_payment(update: Update) -> bool:
    message = update.message
    return update.pre_checkout_query is not None or bool(
        message and (message.successful_payment or message.refunded_payment)
    )
