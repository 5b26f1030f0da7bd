"""The connection pool, which converts JSON columns to Python values, and the types of what runs SQL."""

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
"""What asyncpg raises if the server is unavailable, as opposed to what it raises for a wrong statement."""


async def _set_json_codecs(connection: Connection) -> None:
    for name in ("json", "jsonb"):
        await connection.set_type_codec(name, encoder=json.dumps, decoder=json.loads, schema="pg_catalog")


async def _skip_reset(connection: Connection) -> None:
    """Save a round trip when a connection is returned: our code leaves no settings or locks on it."""


async def create_pool(dsn: str, *, size: int = 10) -> Pool:
    """Open a pool.

    Args:
        dsn: The URL of the database.
        size: Maximum number of connections.

    Returns:
        The pool. Statements that take over 30 seconds raise TimeoutError.

    Raises:
        ValueError: The URL is invalid.
        asyncpg.PostgresError: The server rejects the connection.
        OSError: The server cannot be reached; or another one of DATABASE_UNAVAILABLE.
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
