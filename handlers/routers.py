"""All routers, in the order in which they are asked: the first handler whose filters match gets the update."""

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
"""Commands come before the messages of conversations, so that every command works everywhere. `fallback` comes last.
Among the topics of orders, narrower filters come first: voice messages before other files, and both before `wizard`,
which takes whatever else is sent while an input is asked for."""


def create_router() -> Router:
    """Create the root router with all others. Call it only once per process: a router can have only one parent."""
    root = Router(name="diptych")
    root.include_routers(*ROUTERS)
    return root
