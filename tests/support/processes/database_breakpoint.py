"""Stops the bot inside one certain write to the database, so that it can be killed just there."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from storage.pool import Connection, Pool
from tests.support.environments.environment import wait_until

_LOCK = 4711

_CREATE_TRIGGERS = f"""
CREATE TABLE IF NOT EXISTS breakpoints (name text PRIMARY KEY);
CREATE OR REPLACE FUNCTION stop_at_breakpoint() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE name_now text := CASE TG_TABLE_NAME
    WHEN 'journal' THEN 'step ' || (to_jsonb(NEW) ->> 'step')
    WHEN 'jobs' THEN 'end'
    WHEN 'ledger_transactions' THEN CASE to_jsonb(NEW) ->> 'kind' WHEN 'hold' THEN 'accept' ELSE 'settle' END
    WHEN 'outbox' THEN CASE TG_OP WHEN 'INSERT' THEN 'outbox' ELSE 'sent' END
    WHEN 'payments' THEN 'credit'
    WHEN 'updates' THEN 'handled' END;
BEGIN
    IF EXISTS (SELECT FROM breakpoints WHERE name = name_now) THEN
        PERFORM pg_advisory_xact_lock({_LOCK});
    END IF;
    RETURN coalesce(NEW, OLD);
END $$;
CREATE OR REPLACE TRIGGER stop_journal BEFORE INSERT OR UPDATE ON journal
    FOR EACH ROW WHEN (NEW.ended_at IS NOT NULL) EXECUTE FUNCTION stop_at_breakpoint();
CREATE OR REPLACE TRIGGER stop_jobs BEFORE UPDATE ON jobs
    FOR EACH ROW WHEN (NEW.ended_at IS NOT NULL) EXECUTE FUNCTION stop_at_breakpoint();
CREATE OR REPLACE TRIGGER stop_accept BEFORE INSERT ON ledger_transactions
    FOR EACH ROW WHEN (NEW.kind IN ('hold', 'capture', 'release')) EXECUTE FUNCTION stop_at_breakpoint();
CREATE OR REPLACE TRIGGER stop_outbox BEFORE INSERT OR DELETE ON outbox
    FOR EACH ROW EXECUTE FUNCTION stop_at_breakpoint();
CREATE OR REPLACE TRIGGER stop_credit BEFORE INSERT ON payments
    FOR EACH ROW EXECUTE FUNCTION stop_at_breakpoint();
CREATE OR REPLACE TRIGGER stop_handled BEFORE UPDATE ON updates
    FOR EACH ROW WHEN (NEW.done_at IS NOT NULL) EXECUTE FUNCTION stop_at_breakpoint();
"""

_BLOCKED_BACKENDS = (
    f"SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = {_LOCK} AND NOT granted AND database = "
    "(SELECT oid FROM pg_database WHERE datname = current_database())"
)


class Breakpoint:
    """A write to the database.

    `step <id>`: the end of a step. `end`: the end of a job. `accept`: the hold of an order. `settle`: its capture or
    release. `outbox`: a row of the outbox is written. `sent`: it is removed. `credit`: a payment is recorded.
    `handled`: an update is done.
    """

    def __init__(self, connection: Connection, name: str) -> None:
        self._name = name
        self._connection = connection

    async def wait_until_reached(self) -> None:
        """Wait until the bot has reached the breakpoint."""

        async def look() -> list[object]:
            return list(await self._connection.fetch(_BLOCKED_BACKENDS))

        await wait_until(look, what=f"the breakpoint {self._name} is reached")

    async def drop_connection(self) -> None:
        """The write never happened: its connection broke."""
        for row in await self._connection.fetch(_BLOCKED_BACKENDS):
            await self._connection.execute("SELECT pg_terminate_backend($1)", row["pid"])


@asynccontextmanager
async def set_breakpoint(db: Pool, name: str) -> AsyncIterator[Breakpoint]:
    """Armed inside; a write that waits at the end is let through."""
    async with db.acquire() as connection:
        await connection.execute(_CREATE_TRIGGERS)
        await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
        await connection.execute("INSERT INTO breakpoints VALUES ($1)", name)
        try:
            yield Breakpoint(connection, name)
        finally:
            await connection.execute("DELETE FROM breakpoints")
            await connection.execute("SELECT pg_advisory_unlock($1)", _LOCK)
