"""Checks the ledger on demand. A scheduled task also checks it every hour.

    python -m bot.check_ledger [--dsn postgresql://…]

The database is `--dsn`, else DATABASE_URL from the environment or .env, else the embedded database in DATA_DIR. The
command prints each count and exits with 0 if the ledger is consistent, 1 if it is not, and 2 if it cannot be read.
"""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import asyncpg
from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from storage.money.ledger import LedgerCheck, check_ledger

_DESCRIPTIONS: Final = {
    "total": "sum of all postings (credits)",
    "wrong_balances": "balances that differ from their postings",
    "unsettled_jobs": "ended orders not settled, or open ones settled",
    "uncredited_payments": "payments without their credit, or credits without their payment",
    "unposted_refunds": "refunds that were not taken back",
}


class _DatabaseSettings(BaseSettings):
    """The settings that locate the database. They are also in bot/settings.py, which may require a bot's token too."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", env_ignore_empty=True)

    database_url: SecretStr = SecretStr("")
    data_dir: Path = Path(".data")


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the ledger and print the result.

    Args:
        arguments: The command-line arguments; None for those of the process.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(prog="python -m bot.check_ledger", description="Check the ledger.")
    parser.add_argument("--dsn", default="", help="the database; else DATABASE_URL, else the embedded one")
    args = parser.parse_args(arguments)
    try:
        result = asyncio.run(_check(args.dsn))
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        print(f"The ledger cannot be read. {type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201
        return 2
    for name, value in vars(result).items():
        print(f"{'ok' if not value else 'WRONG':<6}{value:>8}  {_DESCRIPTIONS[name]}")  # noqa: T201
    print(f"The ledger is {'consistent' if result.is_consistent else 'inconsistent'}.")  # noqa: T201
    return 0 if result.is_consistent else 1


async def _check(dsn: str) -> LedgerCheck:
    settings = _DatabaseSettings()
    dsn = dsn or settings.database_url.get_secret_value()
    if dsn:
        return await _check_database(dsn)
    async with _embedded_database(_existing(settings.data_dir / "postgres")) as embedded_dsn:
        return await _check_database(embedded_dsn)


async def _check_database(dsn: str) -> LedgerCheck:
    connection = await asyncpg.connect(dsn)  # not create_pool: a large ledger may need more than its 30 s
    try:
        return await check_ledger(connection)
    finally:
        await connection.close()


def _existing(folder: Path) -> Path:
    if not folder.is_dir():
        raise FileNotFoundError(f"DATABASE_URL is empty and there is no database in {folder}")
    return folder


@asynccontextmanager
async def _embedded_database(folder: Path) -> AsyncIterator[str]:
    from sandbox.postgres.client import EmbeddedPostgres  # not installed in production

    server = EmbeddedPostgres(folder)
    await server.start()
    try:
        yield server.dsn
    finally:
        await server.stop()


if __name__ == "__main__":
    sys.exit(main())
