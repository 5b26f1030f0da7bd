"""Databases on the tests' PostgreSQL."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

TEMPLATE = "template"
"""The database that has all migrations."""


def with_database(dsn: str, name: str) -> str:
    """The address of another database on the same server."""
    return f"{dsn.rpartition('/')[0]}/{name}"


@asynccontextmanager
async def new_database(postgres: str) -> AsyncIterator[str]:
    """A fresh, migrated database, which is dropped at the end. Yields its address."""
    name = f"test_{secrets.token_hex(6)}"
    server = await asyncpg.connect(postgres)
    await server.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} STRATEGY file_copy")
    try:
        yield with_database(postgres, name)
    finally:
        await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await server.close()
