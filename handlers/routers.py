"""All routers in the order in which they are asked."""

from aiogram import F, Router

from handlers import menu, order, other, payments, results


def create_router() -> Router:
    """A router of the whole bot. Its parts are single objects of their modules, so call this once a process."""
    root = Router(name="diptych")
    for part in (payments.router, menu.router, order.router, results.router, other.router):
        part.message.filter(F.chat.type == "private")
        root.include_router(part)
    return root
