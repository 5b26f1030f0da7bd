"""The Telegram server: Bot API, control API and chat page, in another application or on its own port."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from sandbox.background import BackgroundTasks
from sandbox.telegram import page
from sandbox.telegram.api.bot_api import BotApi
from sandbox.telegram.control.control_api import ControlApi
from sandbox.telegram.state.server_state import ServerState

_BODY_LIMIT = 64 * 1024 * 1024
_PAGE_TITLE = "Diptych sandbox"


class TelegramServer:
    """A replacement for Telegram. Call ``start`` before the first request and ``close`` at the end.

    Attributes:
        state: Bots, users, chats, files and payments; tests may read and change it.
        api: The Bot API.
        control_api: The routes by which tests and the chat page act for users.
    """

    def __init__(self, data_dir: Path | None = None, page_title: str = _PAGE_TITLE) -> None:
        """Load the state.

        Args:
            data_dir: The folder that keeps the state through restarts; None keeps it in memory.
            page_title: The title of the chat page.
        """
        self._background = BackgroundTasks()
        self.state = ServerState(data_dir)
        self.api = BotApi(self.state, self._background)
        self.control_api = ControlApi(self.state, self.api)
        self._page_title = page_title

    def add_routes(self, app: web.Application, prefix: str = "") -> None:
        """Add all routes to an application.

        Args:
            app: The application that serves them.
            prefix: ``"/sandbox"`` in a bot's process, an empty string in the sandbox's own.
        """
        router = app.router
        router.add_route("*", prefix + r"/bot{token:[^/]+}/{method:[^/]+}", self.api.handle)
        router.add_get(prefix + r"/file/bot{token:[^/]+}/{path:.+}", self.api.download)
        self.control_api.add_routes(router, prefix)
        page.add_routes(router, prefix, self._page_title)
        app.on_shutdown.append(self._on_shutdown)

    async def start(self) -> None:
        """Start the delivery of updates to webhooks, including those left from the last run."""
        await self.api.start()

    async def _on_shutdown(self, _app: web.Application) -> None:
        self._wake_waiters()

    def _wake_waiters(self) -> None:
        """Answer requests that wait for a change, so that the server can stop at once."""
        self.control_api.views.closing = True
        self.state.outbox.condition.notify()
        for chat in self.state.chats.values():
            chat.condition.notify()
        for queue in self.state.queues.values():
            queue.end_poll()

    async def close(self) -> None:
        """Stop all deliveries and write the unsaved state."""
        self._wake_waiters()
        await self.api.close()
        await self._background.close()
        self.state.close()


def create_telegram_server(*, data_dir: Path | None = None, page_title: str = _PAGE_TITLE) -> TelegramServer:
    """Create a server that is not started yet; for the arguments see ``TelegramServer``."""
    return TelegramServer(data_dir, page_title)


@asynccontextmanager
async def running_server(
    *, data_dir: Path | None = None, host: str = "127.0.0.1", port: int = 0, page_title: str = _PAGE_TITLE
) -> AsyncIterator[tuple[TelegramServer, str]]:
    """Run a server on its own port inside the block.

    Args:
        data_dir: The folder that keeps the state; None keeps it in memory.
        host: The address to listen on.
        port: The port to listen on; 0 takes a free one.
        page_title: The title of the chat page.

    Yields:
        The server, and its URL without a slash at the end.

    Raises:
        OSError: When the port is taken.
    """
    server = create_telegram_server(data_dir=data_dir, page_title=page_title)
    app = web.Application(client_max_size=_BODY_LIMIT)
    server.add_routes(app)
    await server.start()
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=5)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        url_host = f"[{host}]" if ":" in host else host
        yield server, f"http://{url_host}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
        await server.close()
