"""All routers, in the order in which an update is offered to them: the first handler whose filters fit takes it."""

from typing import Final

from aiogram import Router

from handlers import fallback, game, history, menu, my_assets, onboarding, settings
from handlers.admin import broadcast, command_menu, dashboard, hello, plan, reconcile, refunds, stats, user_card
from handlers.billing import invite, payments, promo, statement, subscriptions
from handlers.media import uploads, voice_and_improve
from handlers.order import result_actions, wizard

_USER_TOPICS: Final = (subscriptions, payments, menu, settings, onboarding, invite, promo, statement)
_ADMIN_TOPICS: Final = (hello, command_menu, plan, broadcast, dashboard, refunds, reconcile, user_card, stats)
_ORDER_TOPICS: Final = (my_assets, history, game, voice_and_improve, uploads, wizard, result_actions)

ROUTERS: Final[tuple[Router, ...]] = tuple(
    topic.router for topic in (*_USER_TOPICS, *_ADMIN_TOPICS, *_ORDER_TOPICS, fallback)
)
"""Commands come before what a conversation waits for, so that every command works everywhere; `fallback` takes what
is left. Among the topics of orders the narrower filters come first: a voice message before any other file, and both
before `wizard`, which takes whatever else is sent while an input is asked for."""


def create_router() -> Router:
    """One router with all of them. They are single objects of their modules, so a process can call this once."""
    root = Router(name="diptych")
    root.include_routers(*ROUTERS)
    return root
