"""The stand: a Bot API, the person's side and the chat page, to be mounted or run alone."""

from pathlib import Path

from aiohttp import web

from sandbox.telegram import page
from sandbox.telegram.api.bot_api import BotApi
from sandbox.telegram.background import BackgroundTasks
from sandbox.telegram.control.control_api import ControlApi
from sandbox.telegram.state.bots import parse_bot_id
from sandbox.telegram.state.server_state import ServerState


class TelegramServer:
    """A stand-in for Telegram. ``start`` before the first request, ``close`` at the end."""

    def __init__(self, data_dir: Path | None = None, page_title: str = "Diptych sandbox") -> None:
        self.background = BackgroundTasks()
        self.state = ServerState(data_dir)
        self.api = BotApi(self.state, self.background)
        self.control_api = ControlApi(self.state, self.api)
        self._page_title = page_title

    def add_routes(self, app: web.Application, prefix: str = "") -> None:
        """Mount everything under ``prefix``: ``"/sandbox"`` in a bot's process, ``""`` alone."""
        router = app.router
        router.add_route("*", prefix + r"/bot{token:[^/]+}/{method:[^/]+}", self.api.handle)
        router.add_get(prefix + r"/file/bot{token:[^/]+}/{path:.+}", self.api.download)
        self.control_api.add_routes(router, prefix)
        page.add_routes(router, prefix, self._page_title)
        app.on_shutdown.append(self._on_shutdown)

    def add_bot(self, token: str) -> int:
        """Make a bot known before its first call, so that people can write to it; its id."""
        bot = self.state.get_or_create_bot(parse_bot_id(token))
        self.state.store.commit()
        return bot.id

    async def start(self) -> None:
        """Begin to deliver."""
        await self.api.start()

    async def _on_shutdown(self, _app: web.Application) -> None:
        self._wake_waiters()

    def _wake_waiters(self) -> None:
        """Answer requests that wait, so that the server can stop at once."""
        self.control_api.views.closing = True
        self.state.outbox.condition.notify()
        for chat in self.state.chats.values():
            chat.condition.notify()
        for queue in self.state.queues.values():
            queue.end_poll()

    async def close(self) -> None:
        """End deliveries and write what is left."""
        self._wake_waiters()
        await self.api.close()
        await self.background.close()
        self.state.close()


def create_telegram_server(*, data_dir: Path | None = None, page_title: str = "Diptych sandbox") -> TelegramServer:
    """A stand that keeps its state in ``data_dir``, or in memory."""
    return TelegramServer(data_dir, page_title)
