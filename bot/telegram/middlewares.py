"""The middlewares that every update passes through: user context, block, throttle, errors."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from aiogram import BaseMiddleware
from aiogram.dispatcher.middlewares.user_context import EVENT_CONTEXT_KEY
from aiogram.exceptions import TelegramAPIError
from aiogram.fsm.context import FSMContext
from aiogram.fsm.storage.base import BaseStorage, StorageKey
from aiogram.types import TelegramObject, Update
from aiolimiter import AsyncLimiter
from cachetools import LRUCache, TTLCache
from loguru import logger

from handlers.context import AppContext, UserContext, answer_callback
from services.messaging.stars import StarsError
from services.messaging.telegram_errors import is_user_unreachable
from storage.pool import DATABASE_UNAVAILABLE
from storage.updates import ClaimedUpdate

Handler = Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]]
_MAX_REMEMBERED_USERS: Final = 50_000
_ALBUM_PHOTO_COST: Final = 0.1
"""What part of an update one photo of an album counts as: a full album of ten counts as one."""
_PUBLIC_COMMANDS: Final = re.compile(r"/(support|paysupport|terms)(@\w+)?(\s|$)")
"""Commands that even blocked users get an answer to. Telegram requires it:
https://core.telegram.org/bots/payments-stars"""
_BLOCK_NOTICE_SECONDS: Final = 60.0


class UserContextMiddleware(BaseMiddleware):
    """Passes `ctx` (the user), `state` (the conversation) and `raw_state` (its state on arrival) to the handlers.

    Args:
        app: The parts of the app that handlers use.
        storage: Stores the conversations.
        support_contact: Where users get help; empty for none.
    """

    def __init__(self, app: AppContext, storage: BaseStorage, support_contact: str) -> None:
        self._app = app
        self._storage = storage
        self._support_contact = support_contact
        self._blocked = BlockedMiddleware()

    async def __call__(self, handler: Handler, event: TelegramObject, data: dict[str, Any]) -> Any:
        """Build the context and call the handler. For blocked users (except admins), BlockedMiddleware decides."""
        arrival: ClaimedUpdate = data["arrival"]
        user, bot, context = arrival.user, data["bot"], data[EVENT_CONTEXT_KEY]
        assert user is not None  # noqa: S101 - UpdateProcessor registers new users before it feeds an update
        chat_id = context.chat.id if context.chat else user.id
        ctx = UserContext(self._app, user, user.bot_name, chat_id, arrival.balance, self._support_contact)
        data["ctx"] = ctx
        data["state"] = FSMContext(self._storage, StorageKey(bot_id=bot.id, chat_id=chat_id, user_id=user.id))
        data["raw_state"] = arrival.state
        if user.blocked and not ctx.is_admin:
            return await self._blocked(handler, event, data)
        return await handler(event, data)


class BlockedMiddleware(BaseMiddleware):
    """Drops updates of users blocked by an admin, and tells the user so at most once per minute.

    Commands about support and terms pass, and so do updates about payments: the payment handlers refuse new payments
    and credit completed ones. Changes of the chat's membership pass too.
    """

    def __init__(self) -> None:
        self._notified: TTLCache[int, bool] = TTLCache(_MAX_REMEMBERED_USERS, _BLOCK_NOTICE_SECONDS)

    async def __call__(self, handler: Handler, event: TelegramObject, data: dict[str, Any]) -> Any:
        """Call the handler if the update passes; otherwise answer with the notice."""
        if (
            not isinstance(event, Update)
            or _is_payment(event)
            or event.my_chat_member
            or _is_public_command(event)
        ):
            return await handler(event, data)
        await self._notify(data["ctx"], event)
        return None

    async def _notify(self, ctx: UserContext, update: Update) -> None:
        """Show the notice unless it was shown within the last minute. A callback is answered in any case."""
        is_due = ctx.user.id not in self._notified
        if is_due:
            self._notified[ctx.user.id] = True
        try:
            if update.callback_query is not None:
                await answer_callback(
                    update.callback_query, ctx.t("blocked.told") if is_due else None, alert=is_due
                )
            elif is_due:
                await ctx.send(ctx.t("blocked.told"))
        except TelegramAPIError as error:
            logger.warning("block notice not delivered", error=error.message)


@dataclass
class _Throttle:
    """The limiter of one user, and whether they have been notified since they last exceeded it."""

    limiter: AsyncLimiter
    notified: bool = False


class ThrottleMiddleware(BaseMiddleware):
    """Limits how many updates of one user are handled. Payments always pass.

    Args:
        count: How many updates may come within `seconds`, even all at once.
        seconds: The length of the period.
    """

    def __init__(self, count: int = 30, seconds: float = 10.0) -> None:
        self._count = count
        self._seconds = seconds
        self._throttles: LRUCache[int, _Throttle] = LRUCache(_MAX_REMEMBERED_USERS)

    async def __call__(self, handler: Handler, event: TelegramObject, data: dict[str, Any]) -> Any:
        """Call the handler, or tell the user that they sent too much: once for messages, each time for callbacks."""
        if not isinstance(event, Update) or _is_payment(event):
            return await handler(event, data)
        ctx: UserContext = data["ctx"]
        throttle = self._throttle_of(ctx.user.id)
        cost = _ALBUM_PHOTO_COST if event.message and event.message.media_group_id else 1.0
        if throttle.limiter.has_capacity(cost):
            await throttle.limiter.acquire(cost)
            throttle.notified = False
            return await handler(event, data)
        if event.callback_query is not None:
            await answer_callback(event.callback_query, ctx.t("throttle"), alert=True)
        elif not throttle.notified:
            throttle.notified = True
            await ctx.send(ctx.t("throttle"))
        return None

    def _throttle_of(self, user_id: int) -> _Throttle:
        throttle = self._throttles.get(user_id)
        if throttle is None:
            throttle = self._throttles[user_id] = _Throttle(AsyncLimiter(self._count, self._seconds))
        return throttle


class ErrorMiddleware(BaseMiddleware):
    """Logs unexpected errors of handlers and apologizes to the user.

    DATABASE_UNAVAILABLE is raised: the update is then not done, and Telegram delivers it again.
    """

    async def __call__(self, handler: Handler, event: TelegramObject, data: dict[str, Any]) -> Any:
        """Call the handler. Raises only DATABASE_UNAVAILABLE."""
        try:
            return await handler(event, data)
        except DATABASE_UNAVAILABLE:
            raise
        except Exception as error:  # noqa: BLE001 - without this the user would get no answer at all
            update = event if isinstance(event, Update) else None
            ctx: UserContext = data["ctx"]
            cause = error.__cause__ if isinstance(error, StarsError) else error
            if isinstance(cause, TelegramAPIError):
                logger.warning("update failed at Telegram", error=cause.message)
                if is_user_unreachable(cause):
                    return None
            else:
                logger.opt(exception=error).error("update failed")
            await _apologize(ctx, update)
            return None


async def _apologize(ctx: UserContext, update: Update | None) -> None:
    try:
        if update is not None and update.callback_query is not None:
            await answer_callback(update.callback_query)
        await ctx.send(ctx.t("failure.handler"))
    except TelegramAPIError as error:
        logger.warning("apology not delivered", error=error.message)


def _is_public_command(update: Update) -> bool:
    return bool(update.message and _PUBLIC_COMMANDS.match(update.message.text or ""))


def _is_payment(update: Update) -> bool:
    message = update.message
    return update.pre_checkout_query is not None or bool(
        message and (message.successful_payment or message.refunded_payment)
    )
