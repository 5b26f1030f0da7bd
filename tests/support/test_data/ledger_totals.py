"""The sums of the ledger's accounts."""

from storage.pool import Executor

_TOTALS = "SELECT account, sum(amount)::bigint AS total FROM ledger_postings GROUP BY account"


async def ledger_totals(db: Executor) -> dict[str, int]:
    """Credits by account, over all users."""
    return {row["account"]: row["total"] for row in await db.fetch(_TOTALS)}
