"""Opens the database: the configured one or, if none is configured, the embedded one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import asyncpg
from loguru import logger

from bot.settings import Settings, SettingsError
from storage.migrations import migrate
from storage.pool import Pool, create_pool

_CLOSE_SECONDS: Final = 2.0


@asynccontextmanager
async def open_database(settings: Settings) -> AsyncIterator[Pool]:
    """Open the database and apply missing migrations. An embedded server stops when the context exits.

    Args:
        settings: DATABASE_URL, DATABASE_POOL_SIZE and DATA_DIR are used.

    Yields:
        The connection pool.

    Raises:
        SettingsError: DATABASE_URL is wrong, or its server cannot be reached.
        OSError: The embedded server cannot start.
        DatabaseTooOld: The database was created by a version before 0.2.
        MigrationChanged: An applied migration was edited.
    """
    async with AsyncExitStack() as stack:
        url = settings.database_url.get_secret_value()
        if not url:
            from sandbox.postgres.client import EmbeddedPostgres  # not installed in production

            embedded = EmbeddedPostgres(settings.data_dir / "postgres")
            stack.push_async_callback(embedded.stop)
            await embedded.start()
            url = embedded.dsn
        try:
            db = await create_pool(url, size=settings.database_pool_size)
        except (ValueError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise SettingsError(f"DATABASE_URL: {type(error).__name__}: {error}") from None
        stack.push_async_callback(_close_pool, db)
        async with db.acquire() as connection:
            if applied := await migrate(connection):
                logger.info("migrations applied", count=applied)
        yield db


async def _close_pool(db: Pool) -> None:
    try:
        await asyncio.wait_for(db.close(), _CLOSE_SECONDS)
    except TimeoutError:
        logger.warning("database does not answer, dropping its connections", seconds=_CLOSE_SECONDS)
        db.terminate()
