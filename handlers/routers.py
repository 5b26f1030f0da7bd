"""All routers in the order in which they are asked."""

from collections.abc import Awaitable, Callable
from typing import Any

from aiogram import Router

from handlers import (
    admin,
    admin_menu,
    broadcast,
    dashboard,
    first_minute,
    history,
    invite,
    leela,
    menu,
    order,
    other,
    own,
    payments,
    plan,
    promo,
    reconcile,
    refunds,
    results,
    settings,
    statement,
    stats,
    subscriptions,
    uploads,
    user_card,
    words,
)


def create_router() -> Router:
    """A router of the whole bot. Its parts are single objects of their modules, so call this once a process."""
    root = Router(name="diptych")
    people = (subscriptions, payments, menu, settings, first_minute, invite, promo, statement)
    admins = (admin, admin_menu, plan, broadcast, dashboard, refunds, reconcile, user_card, stats)
    for topic in (*people, *admins, own, history, leela, words, uploads, order, results, other):
        root.include_router(topic.router)
    ask_filters_inline(root)
    return root


def ask_filters_inline(root: Router) -> None:
    """aiogram asks every plain filter in a thread of its own, which costs more than the filter (about a sixth of
    `/start`, see bench/updates.py). Ours only look at the update, so they are asked where they stand."""
    for router in root.chain_tail:
        for observer in router.observers.values():
            for handler in observer.handlers:
                for rule in handler.filters or ():
                    if not rule.awaitable:
                        rule.callback, rule.awaitable = _awaitable(rule.callback), True


def _awaitable(rule: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    async def ask(*args: Any, **kwargs: Any) -> Any:
        return rule(*args, **kwargs)

    return ask
