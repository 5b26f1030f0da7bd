"""What every update passes on its way to a handler: who it is from, how fast they write, what went wrong."""

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
from services.studio import Studio
from services.telegram_errors import person_is_gone
from storage.pool import DATABASE_AWAY
from storage.updates import Arrival

Handler = Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]]
_PEOPLE_REMEMBERED = 50_000
_ALBUM_PHOTO = 0.1
"""What one photo of an album counts: ten of them are one thing that a person does."""


class DeskMiddleware(BaseMiddleware):
    """Gives the handlers a `desk` for the person, and the conversation: `state`, and `raw_state` as it arrived."""

    def __init__(self, studio: Studio, dispatcher: Dispatcher, storage: BaseStorage, contact: str) -> None:
        self._studio = studio
        self._dispatcher = dispatcher
        self._storage = storage
        self._contact = contact

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
        return await handler(event, data)


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


def _is_payment(update: Update) -> bool:
    message = update.message
    return update.pre_checkout_query is not None or bool(
        message and (message.successful_payment or message.refunded_payment)
    )
