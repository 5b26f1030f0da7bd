"""Starts the parts of the process and stops them in reverse order, even if one of them fails to start."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final

from aiohttp import web
from loguru import logger

from bot.app import App
from bot.database import open_database
from bot.port import port_error
from bot.settings import Settings
from bot.telegram.polling import poll_updates
from bot.telegram.setup_calls import announce_commands
from services.core.metrics import measure_loop_lag
from services.messaging.command_menu import set_commands_for_admins
from services.messaging.progress import finalize_missed

_DRAIN_SECONDS: Final = 6.0
_CLEANUP_SECONDS: Final = 2.0
_REQUEST_DRAIN_SECONDS: Final = 1.0


@asynccontextmanager
async def running_app(settings: Settings, sockets: list[socket.socket]) -> AsyncIterator[App]:
    """Run the app until the context exits, then stop it within 10 s.

    While it stops, it takes no new work and lets running jobs finish. Jobs that do not finish in time are handed over.

    Args:
        settings: The settings of this process.
        sockets: The sockets that `bind_port` bound (bot/port.py).

    Yields:
        The running app.

    Raises:
        SettingsError: The port is in use, or another setting is wrong.
        OSError: The embedded database cannot start.
        DatabaseTooOld: The database was created by a version before 0.2.
        MigrationChanged: An applied migration was edited.
    """
    async with AsyncExitStack() as stack:
        pages = web.Application()
        if settings.sandbox:
            await _start_sandbox(stack, settings, pages)
        db = await stack.enter_async_context(open_database(settings))
        app = App(settings, db, pages)
        stack.push_async_callback(app.run_locks.close)
        stack.push_async_callback(app.providers.close)
        stack.push_async_callback(app.bots.close)
        await app.router.load()
        await _start_pages(stack, settings, pages, sockets)
        stack.push_async_callback(app.background.drain, _CLEANUP_SECONDS)
        stack.push_async_callback(_finish_jobs, app)
        stack.push_async_callback(app.loops.drain, 0)
        _start_loops(settings, app)
        yield app
        logger.info("stopping", jobs=app.worker.in_flight)
    logger.info("stopped")


async def _start_pages(
    stack: AsyncExitStack, settings: Settings, pages: web.Application, sockets: list[socket.socket]
) -> None:
    runner = web.AppRunner(pages, shutdown_timeout=_REQUEST_DRAIN_SECONDS, access_log=None)
    stack.push_async_callback(runner.cleanup)
    await runner.setup()
    for bound in sockets:
        try:
            await web.SockSite(runner, bound).start()
        except OSError as error:
            raise port_error(settings, error) from error


async def _start_sandbox(stack: AsyncExitStack, settings: Settings, pages: web.Application) -> None:
    from sandbox.telegram import TelegramServer  # not installed in production

    telegram = TelegramServer(data_dir=settings.data_dir / "sandbox")
    stack.push_async_callback(telegram.close)
    telegram.add_routes(pages, "/sandbox")
    await telegram.start()


async def _finish_jobs(app: App) -> None:
    """Wait up to `_DRAIN_SECONDS` for running jobs and calls from Inngest to finish."""
    drains = [app.worker.stop(_DRAIN_SECONDS)]
    if app.connection is not None:
        drains.append(app.connection.close(_DRAIN_SECONDS))
    await asyncio.gather(*drains)


def _start_loops(settings: Settings, app: App) -> None:
    """Start the loops that run until the process stops, and the calls that set up the bots."""
    loops = app.loops
    app.worker.start(loops)
    app.publisher.start(loops)
    loops.run_forever(app.listener.run, "listener")
    loops.run_periodically(app.router.load, "modes", seconds=10, wakeup=app.modes_changed)
    loops.run_periodically(app.plan_a.check, "inngest", seconds=2)
    if app.connection is not None:
        loops.run_forever(app.connection.run, "inngest connect")
    loops.run_forever(measure_loop_lag, "loop lag")
    loops.run_periodically(partial(finalize_missed, app.messenger), "progress reconciler", seconds=3)
    loops.run_periodically(app.scheduler.run_due, "scheduler", seconds=5)
    loops.run_periodically(app.refunds.process_due, "refunds", seconds=1)
    loops.run_periodically(app.incident_monitor.run_due_checks, "incidents", seconds=2)
    loops.run_periodically(app.alerts.notify, "alerts", seconds=2)
    named_bots = app.bots.by_name
    loops.spawn(announce_commands(named_bots, app.texts), "commands")
    loops.spawn(set_commands_for_admins(app.db, app.bots, app.texts, settings.admins), "commands for admins")
    if settings.telegram_mode == "webhook":
        loops.spawn(app.webhook.set(settings.public_url), "set webhook")
        return
    for name, bot in named_bots.items():
        polling = partial(poll_updates, bot, app.update_processor, app.background)
        with logger.contextualize(bot=name):
            loops.run_forever(polling, f"polling of {name}")
