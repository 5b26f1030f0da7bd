"""The Telegram server: Bot API, control API and chat page, in another application or on its own port."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from sandbox.background import BackgroundTasks
from sandbox.telegram.api.bot_api import BotApi
from sandbox.telegram.control.control_api import ControlApi
from sandbox.telegram.state.server_state import ServerState

_BODY_LIMIT = 64 * 1024 * 1024
_STATIC = Path(__file__).parent / "static"
_NO_CACHE = {"Cache-Control": "no-cache"}
_CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; "
    "style-src 'self' 'unsafe-inline'; connect-src 'self'; frame-ancestors 'self'"
)


class TelegramServer:
    """A replacement for Telegram. Call ``start`` before the first request and ``close`` at the end.

    Attributes:
        state: Bots, users, chats, files and payments; tests may read and change it.
    """

    def __init__(self, data_dir: Path | None = None) -> None:
        """Load the state.

        Args:
            data_dir: The folder that keeps the state through restarts; None keeps it in memory.
        """
        self.state = ServerState(data_dir)
        self._background = BackgroundTasks()
        self._api = BotApi(self.state, self._background)

    def add_routes(self, app: web.Application, prefix: str = "") -> None:
        """Add all routes to an application.

        Args:
            app: The application that serves them.
            prefix: ``"/sandbox"`` in a bot's process, an empty string in the sandbox's own.
        """
        app.router.add_route("*", prefix + r"/bot{token:[^/]+}/{method:[^/]+}", self._api.handle)
        app.router.add_get(prefix + r"/file/bot{token:[^/]+}/{path:.+}", self._api.download)
        ControlApi(self.state).add_routes(app.router, prefix)
        _add_page(app.router, prefix)
        app.on_shutdown.append(self._on_shutdown)

    async def start(self) -> None:
        """Start the delivery of updates to webhooks, including those left from the last run."""
        await self._api.start()

    async def _on_shutdown(self, _app: web.Application) -> None:
        self.state.wake_waiters()

    async def close(self) -> None:
        """Stop all deliveries and write the unsaved state."""
        self.state.wake_waiters()
        await self._api.close()
        await self._background.close()
        self.state.close()


def _add_page(router: web.UrlDispatcher, prefix: str) -> None:
    """Serve the chat page: static files, without a build step and without external resources."""
    html = (_STATIC / "index.html").read_text(encoding="utf-8").replace("{{prefix}}", prefix)

    async def page(_request: web.Request) -> web.Response:
        headers = {"Content-Security-Policy": _CONTENT_SECURITY_POLICY, **_NO_CACHE}
        return web.Response(text=html, content_type="text/html", headers=headers)

    async def redirect(_request: web.Request) -> web.Response:
        raise web.HTTPFound(f"{prefix}/")

    async def static_file(request: web.Request) -> web.StreamResponse:
        path = _STATIC / request.match_info["name"]
        if not path.is_file():
            raise web.HTTPNotFound
        return web.FileResponse(path, headers=_NO_CACHE)

    router.add_get(f"{prefix}/", page)
    router.add_get(f"{prefix}/chat", page)
    router.add_get(prefix + r"/static/{name:[\w.\-]+}", static_file)
    if prefix:
        router.add_get(prefix, redirect)


@asynccontextmanager
async def running_server(
    *, data_dir: Path | None = None, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[tuple[TelegramServer, str]]:
    """Run a server on its own port inside the block.

    Args:
        data_dir: The folder that keeps the state; None keeps it in memory.
        host: The address to listen on.
        port: The port to listen on; 0 takes a free one.

    Yields:
        The server, and its URL without a slash at the end.

    Raises:
        OSError: When the port is taken.
    """
    server = TelegramServer(data_dir)
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
