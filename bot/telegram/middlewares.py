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

from handlers.context import UserContext, answer_callback
from services.dispatch import OrderDispatcher
from services.messaging.app_context import AppContext
from services.messaging.telegram_errors import is_user_unreachable
from storage.pool import DATABASE_UNAVAILABLE
from storage.updates import ClaimedUpdate

Handler = Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]]
_MAX_REMEMBERED_USERS = 50_000
_ALBUM_PHOTO_COST = 0.1
"""What one photo of an album counts: ten of them are one thing that a person does."""
_PUBLIC_COMMANDS = re.compile(r"/(support|paysupport|terms)(@\w+)?(\s|$)")
"""Commands that answer everybody: Telegram asks for them. https://core.telegram.org/bots/payments-stars"""
_NOTIFY_INTERVAL_SECONDS = 60.0


class UserContextMiddleware(BaseMiddleware):
    """Gives the handlers a `ctx` for the person, and the conversation: `state`, and `raw_state` as it arrived."""

    def __init__(
        self, studio: AppContext, dispatcher: OrderDispatcher, storage: BaseStorage, support_contact: str
    ) -> None:
        self._studio = studio
        self._dispatcher = dispatcher
        self._storage = storage
        self._support_contact = support_contact
        self._blocked = BlockedMiddleware()

    async def __call__(self, handler: Handler, event: TelegramObject, data: dict[str, Any]) -> Any:
        arrival: ClaimedUpdate = data["arrival"]
        user, bot, context = arrival.user, data["bot"], data[EVENT_CONTEXT_KEY]
        assert user is not None  # noqa: S101 - the intake welcomes everybody who is new
        chat_id = context.chat.id if context.chat else user.id
        data["ctx"] = UserContext(
            self._studio, self._dispatcher, user, user.bot_name, chat_id, arrival.balance, self._support_contact
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
        self._notified_at: OrderedDict[int, float] = OrderedDict()

    async def __call__(self, handler: Handler, event: TelegramObject, data: dict[str, Any]) -> Any:
        if (
            not isinstance(event, Update)
            or _is_payment(event)
            or event.my_chat_member
            or _is_public_command(event)
        ):
            return await handler(event, data)
        ctx: UserContext = data["ctx"]
        callback, should_notify = event.callback_query, self._should_notify(ctx.user.id)
        try:
            if callback is not None:
                await answer_callback(
                    callback, ctx.t("blocked.told") if should_notify else None, alert=should_notify
                )
            elif should_notify:
                await ctx.send(ctx.t("blocked.told"))
        except TelegramAPIError as error:
            logger.warning("person {} was not told of the block: {}", ctx.user.id, error.message)
        return None

    def _should_notify(self, user_id: int) -> bool:
        now = asyncio.get_running_loop().time()
        if now - self._notified_at.get(user_id, -_NOTIFY_INTERVAL_SECONDS) < _NOTIFY_INTERVAL_SECONDS:
            return False
        self._notified_at[user_id] = now
        self._notified_at.move_to_end(user_id)
        if len(self._notified_at) > _MAX_REMEMBERED_USERS:
            self._notified_at.popitem(last=False)
        return True


class ThrottleMiddleware(BaseMiddleware):
    """At most `count` updates in `seconds` from one person; payments always pass. Tells them once."""

    def __init__(self, count: int = 30, seconds: float = 10.0) -> None:
        self._count = count
        self._seconds = seconds
        self._limits: OrderedDict[int, AsyncLimiter] = OrderedDict()
        self._notified: set[int] = set()

    async def __call__(self, handler: Handler, event: TelegramObject, data: dict[str, Any]) -> Any:
        update, ctx = event, data["ctx"]
        if not isinstance(update, Update) or _is_payment(update):
            return await handler(event, data)
        limit = self._limit(ctx.user.id)
        cost = _ALBUM_PHOTO_COST if update.message and update.message.media_group_id else 1.0
        if limit.has_capacity(cost):
            await limit.acquire(cost)
            self._notified.discard(ctx.user.id)
            return await handler(event, data)
        if update.callback_query is not None:
            await answer_callback(update.callback_query, ctx.t("throttle"), alert=True)
        elif ctx.user.id not in self._notified:
            self._notified.add(ctx.user.id)
            await ctx.say(ctx.t("throttle"))
        return None

    def _limit(self, user_id: int) -> AsyncLimiter:
        limit = self._limits.setdefault(user_id, AsyncLimiter(self._count, self._seconds))
        self._limits.move_to_end(user_id)
        while len(self._limits) > _MAX_REMEMBERED_USERS:
            forgotten, _ = self._limits.popitem(last=False)
            self._notified.discard(forgotten)
        return limit


class ErrorMiddleware(BaseMiddleware):
    """Whatever a handler did not foresee is logged once, and the person is told. A database that is away is
    let through: the update is then not done, and Telegram brings it again."""

    async def __call__(self, handler: Handler, event: TelegramObject, data: dict[str, Any]) -> Any:
        try:
            return await handler(event, data)
        except DATABASE_UNAVAILABLE:
            raise
        except Exception as error:  # noqa: BLE001 - the last fence before silence
            update_id = event.update_id if isinstance(event, Update) else None
            ctx: UserContext = data["ctx"]
            if isinstance(error, TelegramAPIError):
                logger.warning("update {} from {}: Telegram says {}", update_id, ctx.user.id, error.message)
            else:
                logger.opt(exception=error).error("update {} from {} failed", update_id, ctx.user.id)
            await self._notify(ctx, event, error)
            return None

    async def _notify(self, ctx: UserContext, event: TelegramObject, error: Exception) -> None:
        if isinstance(error, TelegramAPIError) and is_user_unreachable(error):
            return
        try:
            callback = event.callback_query if isinstance(event, Update) else None
            if isinstance(callback, CallbackQuery):
                await answer_callback(callback)
            await ctx.send(ctx.t("failure.handler"))
        except TelegramAPIError as send_error:
            logger.warning("person {} could not be told: {}", ctx.user.id, send_error.message)


def _is_public_command(update: Update) -> bool:
    return bool(update.message and _PUBLIC_COMMANDS.match(update.message.text or ""))


def _is_payment(update: Update) -> bool:
    message = update.message
    return update.pre_checkout_query is not None or bool(
        message and (message.successful_payment or message.refunded_payment)
    )
