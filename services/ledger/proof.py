"""The proof of the ledger, run every hour. To run it by hand: `python -m bot.check_ledger`."""

from datetime import UTC, datetime

from loguru import logger

from storage.incidents import record_incident
from storage.money.ledger import check_ledger
from storage.pool import Pool


async def verify_ledger(db: Pool, scheduled_for: datetime) -> None:
    """Check the ledger, and open an incident if it is inconsistent. An hourly scheduled task.

    Args:
        db: The database.
        scheduled_for: The time for which this scheduled task was due.
    """
    check = await check_ledger(db)
    if check.is_consistent:
        logger.info("ledger is consistent")
        return
    logger.error("ledger is inconsistent", facts=vars(check))
    await record_incident(db, "ledger", datetime.now(UTC), initial_facts={}, facts=vars(check))
