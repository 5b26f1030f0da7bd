"""One environment for all tests of a module: their bots need to start only once."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from storage.pool import create_pool
from tests.support.environments.environment import Environment
from tests.support.processes.bot_process import ProcessPool


@asynccontextmanager
async def open_module_environment(
    postgres: str, folder: Path, process_pool: ProcessPool
) -> AsyncIterator[Environment]:
    """An open environment with a database of its own and no bot yet. The database is dropped at the end."""
    name = f"test_{secrets.token_hex(6)}"
    server = await asyncpg.connect(postgres)
    await server.execute(f"CREATE DATABASE {name} TEMPLATE template")
    dsn = urlunsplit(urlsplit(postgres)._replace(path=f"/{name}"))
    db = await create_pool(dsn, size=5)
    environment = Environment(db, dsn, folder, process_pool)
    await environment.open()
    try:
        yield environment
    finally:
        await environment.close()
        await db.close()
        await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await server.close()
