"""The connection pool, JSON columns as Python values, and the types of everything that runs SQL."""

import json
from typing import TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"
Executor: TypeAlias = "Pool | Connection"
"""What runs a statement: the pool, or a connection inside a transaction."""

DATABASE_UNAVAILABLE = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a statement on a lost connection, before asyncpg has noticed the loss
    asyncpg.OperatorInterventionError,  # the server is shutting down or starting up
    asyncpg.TooManyConnectionsError,
)
"""What asyncpg raises when the server cannot be reached, as opposed to a wrong statement."""


async def _set_json_codecs(connection: Connection) -> None:
    for name in ("json", "jsonb"):
        await connection.set_type_codec(name, encoder=json.dumps, decoder=json.loads, schema="pg_catalog")


async def _skip_reset(connection: Connection) -> None:
    """Save a round trip when a connection is returned: nothing here leaves settings or locks on it."""


async def create_pool(dsn: str, *, size: int = 10) -> Pool:
    """Open a pool.

    Args:
        dsn: The database.
        size: How many connections there are at most.

    Raises:
        asyncpg.PostgresError: Or one of `DATABASE_UNAVAILABLE`. Statements that take over 30 seconds raise
            TimeoutError.
    """
    return await asyncpg.create_pool(
        dsn,
        min_size=1,
        max_size=size,
        init=_set_json_codecs,
        reset=_skip_reset,
        command_timeout=30,
        server_settings={"application_name": "diptych"},
    )
