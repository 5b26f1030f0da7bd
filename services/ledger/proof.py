"""The proof of the ledger, every hour as a scheduled task. By hand: `python -m bot.check_ledger`."""

from datetime import UTC, datetime

from loguru import logger

from services.messaging.app_context import AppContext
from storage.incidents import record_incident
from storage.money.ledger import check_ledger


async def verify_ledger(studio: AppContext, scheduled_for: datetime) -> None:
    """The hourly task: a ledger that is wrong is an incident, which the admins are told of."""
    check = await check_ledger(studio.db)
    if check.is_consistent:
        logger.info("the ledger is right")
        return
    logger.error("the ledger is wrong: {}", check)
    await record_incident(studio.db, "ledger", datetime.now(UTC), initial_facts={}, facts=vars(check))
