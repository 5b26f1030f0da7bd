"""A stand that listens on loopback: for ``python -m sandbox.telegram`` and for tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from sandbox.telegram.server import TelegramServer, create_telegram_server

BODY_LIMIT = 64 * 1024 * 1024


@asynccontextmanager
async def running_server(
    *, data_dir: Path | None = None, host: str = "127.0.0.1", port: int = 0, page_title: str = "Diptych sandbox"
) -> AsyncIterator[tuple[TelegramServer, str]]:
    """Run a stand alone; gives the stand and its URL without a slash at the end."""
    server = create_telegram_server(data_dir=data_dir, page_title=page_title)
    app = web.Application(client_max_size=BODY_LIMIT)
    server.add_routes(app)
    await server.start()
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=5)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        shown = f"[{host}]" if ":" in host else host
        yield server, f"http://{shown}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
        await server.close()
