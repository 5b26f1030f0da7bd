"""All routers in the order in which they are asked."""

from aiogram import F, Router

from handlers import history, menu, order, other, own, payments, results, uploads, words


def create_router() -> Router:
    """A router of the whole bot. Its parts are single objects of their modules, so call this once a process."""
    root = Router(name="diptych")
    topics = (payments, menu, own, history, words, uploads, order, results, other)
    for part in (topic.router for topic in topics):
        part.message.filter(F.chat.type == "private")
        root.include_router(part)
    return root
