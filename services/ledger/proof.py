"""The proof of the ledger: every hour as a chore, and by hand.

    python -m services.ledger check [--dsn postgresql://…]

By hand it looks at DATABASE_URL, from the environment or .env, else at the embedded database in DATA_DIR. It
prints each count and ends with 0 where the ledger is right, 1 where it is wrong, 2 where it cannot be looked at.
"""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import asyncpg
from loguru import logger
from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.messaging.app_context import AppContext
from storage.embedded import EmbeddedPostgres, EmbeddedUnavailable
from storage.incidents import record_incident
from storage.money.ledger import LedgerCheck, check_ledger

_DESCRIPTIONS: Final = {
    "total": "sum of all postings (Stars)",
    "wrong_balances": "balances that differ from their postings",
    "unsettled_jobs": "ended orders not settled, or open ones settled",
    "uncredited_charges": "payments without their credit, or credits without their payment",
    "unposted_refunds": "refunds that were not taken back",
}


async def verify_ledger(studio: AppContext, scheduled_for: datetime) -> None:
    """The hourly chore: a ledger that is wrong is an incident, which the admins are told of."""
    check = await check_ledger(studio.db)
    if check.is_consistent:
        logger.info("the ledger is right")
        return
    logger.error("the ledger is wrong: {}", check)
    await record_incident(studio.db, "ledger", datetime.now(UTC), initial_facts={}, facts=vars(check))


class _Database(BaseSettings):
    """Where the bot's database is; the bot's own settings (bot/settings.py) name both the same."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", env_ignore_empty=True)

    database_url: SecretStr = SecretStr("")
    data_dir: Path = Path(".data")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m services.ledger", description=(__doc__ or "").splitlines()[0])
    check_parser = parser.add_subparsers(dest="command", required=True).add_parser(
        "check", help="prove the ledger"
    )
    check_parser.add_argument("--dsn", default="", help="the database; else DATABASE_URL, else the embedded one")
    args = parser.parse_args(arguments)
    try:
        result = asyncio.run(_check(args.dsn))
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError, EmbeddedUnavailable) as error:
        print(f"The ledger cannot be looked at. {type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201
        return 2
    for name, value in vars(result).items():
        print(f"{'ok' if not value else 'WRONG':<6}{value:>8}  {_DESCRIPTIONS[name]}")  # noqa: T201
    print(f"The ledger is {'right' if result.is_consistent else 'wrong'}.")  # noqa: T201
    return 0 if result.is_consistent else 1


async def _check(dsn: str) -> LedgerCheck:
    async with _connection(dsn) as connection:
        return await check_ledger(connection)


@asynccontextmanager
async def _connection(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection of its own, which may take as long as a large ledger needs."""
    settings, embedded = _Database(), None
    dsn = dsn or settings.database_url.get_secret_value()
    if not dsn:
        folder = settings.data_dir / "postgres"
        if not folder.is_dir():
            raise FileNotFoundError(f"DATABASE_URL is empty, and there is no database in {folder}")
        embedded = EmbeddedPostgres(folder)
        await embedded.start()
        dsn = embedded.dsn
    try:
        connection = await asyncpg.connect(dsn)
        try:
            yield connection
        finally:
            await connection.close()
    finally:
        if embedded is not None:
            await embedded.stop()
