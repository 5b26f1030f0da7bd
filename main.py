"""Reads the settings, builds the app, runs it until it is told to stop."""

import asyncio
import signal
import sys
from collections.abc import Callable

from loguru import logger

from bot.logs import configure_logging
from bot.settings import Settings, SettingsError, read_settings
from storage.migrations import DatabaseTooOld, MigrationChanged

try:
    from bot.app import App
except ValueError as error:  # models.toml is read when the services are imported
    sys.exit(f"Diptych cannot start. {error}")


async def run(settings: Settings) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopping.set)
    app = App(settings)
    await app.start()
    logger.info("Diptych is ready: {}", settings.public_url or settings.local_url)
    await stopping.wait()
    await app.stop()


def main() -> int:
    try:
        settings = read_settings()
        configure_logging(settings.log_level)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(run(settings))
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
    sys.exit(main())
