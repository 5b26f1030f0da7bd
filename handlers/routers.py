"""All routers in the order in which they are asked."""

from collections.abc import Awaitable, Callable
from typing import Any

from aiogram import Router

from handlers import fallback, game, history, menu, my_assets, onboarding, settings
from handlers.admin import broadcast, command_menu, dashboard, hello, plan, reconcile, refunds, stats, user_card
from handlers.billing import invite, payments, promo, statement, subscriptions
from handlers.media import uploads, voice_and_improve
from handlers.order import result_actions, wizard


def create_router() -> Router:
    """A router of the whole bot. Its parts are single objects of their modules, so call this once a process."""
    root = Router(name="diptych")
    users = (subscriptions, payments, menu, settings, onboarding, invite, promo, statement)
    admin_topics = (hello, command_menu, plan, broadcast, dashboard, refunds, reconcile, user_card, stats)
    orders = (my_assets, history, game, voice_and_improve, uploads, wizard, result_actions)
    for topic in (*users, *admin_topics, *orders, fallback):
        root.include_router(topic.router)
    run_filters_inline(root)
    return root


def run_filters_inline(root: Router) -> None:
    """aiogram asks every plain filter in a thread of its own, which costs more than the filter (about a sixth of
    `/start`, see bench/updates.py). Ours only look at the update, so they are asked where they stand."""
    for router in root.chain_tail:
        for observer in router.observers.values():
            for handler in observer.handlers:
                for handler_filter in handler.filters or ():
                    if not handler_filter.awaitable:
                        handler_filter.callback, handler_filter.awaitable = (
                            _as_coroutine(handler_filter.callback),
                            True,
                        )


def _as_coroutine(check: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    async def ask(*args: Any, **kwargs: Any) -> Any:
        return check(*args, **kwargs)

    return ask
