"""The entry point: reads the settings and runs the app (bot/lifecycle.py) until a signal stops it."""

import argparse
import asyncio
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from loguru import logger

from bot.logs import configure_logging
from bot.port import bind_port
from bot.settings import Settings, SettingsError, read_settings
from storage.migrations import DatabaseTooOld, MigrationChanged

_HELP = "Runs the Diptych bot. Its settings come from the environment and .env; .env.example lists them."


async def run(settings: Settings, sockets: list[socket.socket]) -> None:
    """Run the app until SIGTERM or SIGINT.

    Args:
        settings: The settings of this process.
        sockets: The sockets that `bind_port` bound.

    Raises:
        SettingsError: models.toml or a setting is invalid.
        OSError: The embedded database cannot start.
        DatabaseTooOld: The database was created by a version before 0.2.
        MigrationChanged: An applied migration was edited.
    """
    try:
        from bot.lifecycle import running_app  # importing it takes seconds, so the port is bound first
    except ValueError as error:  # models.toml is read when the services are imported
        raise SettingsError(str(error)) from error
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stopping.set)
    async with running_app(settings, sockets):
        logger.info("bot is ready", url=settings.public_url or settings.local_url)
        await stopping.wait()


def main(arguments: Sequence[str] = ()) -> int:
    """Run the bot. Returns the process's exit code."""
    argparse.ArgumentParser(prog="python main.py", description=_HELP).parse_args(arguments)
    try:
        settings = read_settings()
        configure_logging(settings.log_level, settings.log_format)
        with ExitStack() as stack, asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(run(settings, bind_port(stack, settings)))
    except (SettingsError, DatabaseTooOld, MigrationChanged, OSError) as error:
        print(f"Diptych cannot start. {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
