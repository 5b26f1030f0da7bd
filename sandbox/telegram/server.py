"""The stand: a Bot API, the person's side and the chat page, to be mounted or run alone."""

from pathlib import Path

from aiohttp import web

from sandbox.telegram import page
from sandbox.telegram.api.bot_api import BotApi
from sandbox.telegram.background import Background
from sandbox.telegram.control.control_api import Sim
from sandbox.telegram.state.bots import bot_id_of
from sandbox.telegram.state.server_state import World


class TelegramStand:
    """A stand-in for Telegram. ``start`` before the first request, ``close`` at the end."""

    def __init__(self, data_dir: Path | None = None, page_title: str = "Diptych sandbox") -> None:
        self.background = Background()
        self.world = World(data_dir)
        self.api = BotApi(self.world, self.background)
        self.sim = Sim(self.world, self.api)
        self._page_title = page_title

    def add_routes(self, app: web.Application, prefix: str = "") -> None:
        """Mount everything under ``prefix``: ``"/sandbox"`` in a bot's process, ``""`` alone."""
        router = app.router
        router.add_route("*", prefix + r"/bot{token:[^/]+}/{method:[^/]+}", self.api.handle)
        router.add_get(prefix + r"/file/bot{token:[^/]+}/{path:.+}", self.api.download)
        self.sim.add_routes(router, prefix)
        page.add_routes(router, prefix, self._page_title)
        app.on_shutdown.append(self._release)

    def add_bot(self, token: str) -> int:
        """Make a bot known before its first call, so that people can write to it; its id."""
        bot = self.world.bot(bot_id_of(token))
        self.world.store.commit()
        return bot.id

    async def start(self) -> None:
        """Begin to deliver."""
        await self.api.start()

    async def _release(self, _app: web.Application) -> None:
        self._let_go()

    def _let_go(self) -> None:
        """Answer requests that wait, so that the server can stop at once."""
        self.sim.views.closing = True
        self.world.outbox.notice.notify()
        for chat in self.world.chats.values():
            chat.notice.notify()
        for queue in self.world.queues.values():
            queue.release()

    async def close(self) -> None:
        """End deliveries and write what is left."""
        self._let_go()
        await self.api.close()
        await self.background.close()
        self.world.close()


def create_telegram(*, data_dir: Path | None = None, page_title: str = "Diptych sandbox") -> TelegramStand:
    """A stand that keeps its state in ``data_dir``, or in memory."""
    return TelegramStand(data_dir, page_title)
