"""The connection pool, JSON as Python values, and the names other modules give to what runs SQL."""

import json
from typing import TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"
Executor: TypeAlias = "Pool | Connection"
"""Whatever runs a statement: the pool, or a connection inside a transaction."""

DATABASE_UNAVAILABLE = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a statement on a connection whose loss asyncpg has not noticed yet
    asyncpg.OperatorInterventionError,  # it shuts down, or is starting up
    asyncpg.TooManyConnectionsError,
)
"""What asyncpg raises when the server cannot be reached, as against a statement that is wrong."""


async def _set_json_codecs(connection: Connection) -> None:
    for name in ("json", "jsonb"):
        await connection.set_type_codec(name, encoder=json.dumps, decoder=json.loads, schema="pg_catalog")


async def _skip_reset(connection: Connection) -> None:
    """No round trip when a connection goes back: nothing here leaves settings or locks on one behind itself."""


async def create_pool(dsn: str, *, size: int = 10) -> Pool:
    """A pool of at most `size` connections. A statement that takes over 30 s is given up."""
    return await asyncpg.create_pool(
        dsn,
        min_size=1,
        max_size=size,
        init=_set_json_codecs,
        reset=_skip_reset,
        command_timeout=30,
        server_settings={"application_name": "diptych"},
    )
