"""What the database guarantees for the ledger: balanced, never negative, each transfer once, history immutable."""

import asyncio

import asyncpg
import pytest

from services.ledger import credits as ledger
from storage.jobs.jobs import claim_job, end_job
from storage.money.ledger import Balance, BalanceTooLow, check_ledger, get_balance, transfer
from storage.pool import Pool
from tests.support.test_data.factories import add_job, add_user, new_job
from tests.support.test_data.ledger_totals import ledger_totals


async def test_new_user_gets_the_welcome_credits_once(db: Pool) -> None:
    await add_user(db, credits=25)
    await ledger.give_welcome_credits(db, 1001, 25)
    assert await get_balance(db, 1001) == Balance(25, 0)
    assert await ledger_totals(db) == {"available": 25, "bonuses": -25}


async def test_hold_is_captured_once_and_then_never_released(db: Pool) -> None:
    await add_user(db)
    job = await add_job(db)
    assert await get_balance(db, 1001) == Balance(96, 4)
    assert await ledger.capture(db, job)
    assert not await ledger.capture(db, job)
    assert not await ledger.release(db, job), "a captured hold must not be released as well"
    assert await get_balance(db, 1001) == Balance(96, 0)
    assert (await ledger_totals(db))["revenue"] == 4


async def test_release_returns_the_whole_hold(db: Pool) -> None:
    await add_user(db)
    job = await add_job(db)
    assert await ledger.release(db, job)
    assert await get_balance(db, 1001) == Balance(100, 0)


async def test_hold_of_more_than_the_balance_is_refused(db: Pool) -> None:
    await add_user(db, credits=3)
    with pytest.raises(BalanceTooLow):
        await ledger.hold(db, new_job())
    assert await get_balance(db, 1001) == Balance(3, 0)


async def test_concurrent_holds_cannot_spend_the_same_credit_twice(db: Pool) -> None:
    await add_user(db, credits=10)
    results = await asyncio.gather(*(ledger.hold(db, new_job()) for _ in range(20)), return_exceptions=True)
    assert sum(isinstance(result, BalanceTooLow) for result in results) == 18
    assert await get_balance(db, 1001) == Balance(2, 8)


async def test_concurrent_transfers_with_one_key_are_applied_once(db: Pool) -> None:
    await add_user(db)
    results = await asyncio.gather(
        *(
            transfer(db, key="k", kind="test", user_id=1001, source="available", target="held", amount=7)
            for _ in range(10)
        )
    )
    assert sorted(results) == [False] * 9 + [True]
    assert await get_balance(db, 1001) == Balance(93, 7)


@pytest.mark.parametrize(
    "postings",
    [
        [("available", 1001, 5)],
        [("available", 1001, 5), ("bonuses", None, -4)],
        [],
    ],
    ids=["one posting", "unequal postings", "no postings"],
)
async def test_unbalanced_transaction_is_refused_by_the_database(
    db: Pool, postings: list[tuple[str, int | None, int]]
) -> None:
    await add_user(db)
    with pytest.raises(asyncpg.CheckViolationError, match="does not balance"):
        async with db.acquire() as connection, connection.transaction():
            transaction = await connection.fetchval(
                "INSERT INTO ledger_transactions (key, kind, user_id) VALUES ('x', 'test', 1001) RETURNING id"
            )
            for posting in postings:
                await connection.execute(
                    "INSERT INTO ledger_postings (transaction_id, account, user_id, amount) "
                    "VALUES ($1, $2, $3, $4)",
                    transaction,
                    *posting,
                )
    assert await get_balance(db, 1001) == Balance(100, 0)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_postings SET amount = amount + 1",
        "DELETE FROM ledger_postings",
        "UPDATE ledger_transactions SET user_id = 1001",
        "INSERT INTO ledger_postings (transaction_id, account, user_id, amount) SELECT id, 'held', 1001, 5 "
        "FROM ledger_transactions",
        "UPDATE balances SET available = -1",
    ],
)
async def test_change_of_ledger_history_is_refused_by_the_database(db: Pool, statement: str) -> None:
    await add_user(db)
    with pytest.raises(asyncpg.PostgresError):
        await db.execute(statement)
    assert (await check_ledger(db)).is_consistent


async def test_check_ledger_counts_unsettled_jobs_and_wrong_balances(db: Pool) -> None:
    await add_user(db)
    job = await add_job(db)
    assert (await check_ledger(db)).is_consistent
    claimed = await claim_job(db, job.id, "me", "B", seconds=10)
    assert claimed
    await end_job(db, job.id, claimed.epoch, "succeeded", failure=None, result={})
    assert (await check_ledger(db)).unsettled_jobs == 1, "an ended job whose hold is not settled"
    await db.execute("UPDATE balances SET available = available + 1")
    assert (await check_ledger(db)).wrong_balances == 1
