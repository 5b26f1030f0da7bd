"""Statistics and the ledger check: the totals, what an order costs us, and what the check reports."""

import asyncio
import csv
import io
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from bot.check_ledger import main as check_by_hand
from services.generation.catalogue import order_cost_usd
from services.jobs.settlement import end_and_settle
from services.ledger.proof import verify_ledger
from services.monitoring.stats import collect_stats
from services.monitoring.stats_image import render_stats_image
from storage.incidents import open_incidents
from storage.jobs.jobs import JobState, claim_job
from storage.money.ledger import transfer
from storage.pool import Pool
from tests.support.test_data.factories import add_job, add_user


async def add_ended_order(db: Pool, state: JobState, **job: Any) -> None:
    """Add an order that has just ended in this state."""
    made = await add_job(db, **job)
    claimed = await claim_job(db, made.id, "worker", "B", seconds=30)
    assert claimed
    await end_and_settle(db, claimed, state, result={})


async def test_stats_table_has_the_right_totals_and_the_image_is_a_png(db: Pool) -> None:
    for user_id in (1, 2):
        await add_user(db, user_id, credits=0)
    for key, user_id, stars in (("charge:a", 1, 500), ("charge:b", 2, 100)):
        await transfer(
            db, key=key, kind="topup", user_id=user_id, source="stars", target="available", amount=stars
        )
    await transfer(db, key="refund:b", kind="refund", user_id=2, source="available", target="stars", amount=60)
    images = {"model": "flux-dev", "prompt": "x", "size": "1:1", "count": "3"}
    video = {"model": "kling-1.6-pro", "prompt": "x", "size": "1:1", "seconds": "10"}
    await add_ended_order(db, "succeeded", user_id=1, price=12, inputs=images)
    await add_ended_order(db, "succeeded", user_id=1, price=154, service="text_to_video", inputs=video)
    await add_ended_order(
        db, "succeeded", user_id=2, price=25, service="speech", inputs={"text": "x", "voice": "y"}
    )
    await add_ended_order(db, "failed", user_id=2, price=4)
    await add_ended_order(db, "cancelled", user_id=2, price=4)
    await add_job(db, 1, price=0, internal=True)
    await db.execute("UPDATE jobs SET ended_at = ended_at - interval '1 day' WHERE service = 'speech'")
    stats = await collect_stats(db, "month")
    rows = list(csv.DictReader(io.StringIO(stats.csv)))
    assert len(rows) == 31
    *days, total = rows
    assert total["begin"] == "total"
    for name in set(total) - {"begin", "active_users"}:
        assert Decimal(total[name]) == sum(Decimal(day[name]) for day in days), name
    cost = 3 * Decimal("0.025") + 10 * Decimal("0.098") + 25 * Decimal("0.016") / Decimal("2.5")
    expected: dict[str, int | Decimal] = {
        "new_users": 2, "active_users": 2, "orders": 5, "succeeded": 3, "failed": 1, "cancelled": 1,
        "earned_stars": 191, "paid_stars": 600, "refunded_stars": 60,
        "earned_usd": 191 * Decimal("0.013"), "cost_usd": cost, "margin_usd": 191 * Decimal("0.013") - cost,
    }  # fmt: skip
    assert {name: Decimal(total[name]) for name in expected} == {k: Decimal(v) for k, v in expected.items()}
    assert (days[-1]["succeeded"], days[-2]["succeeded"]) == ("2", "1")
    assert [(each.service, each.succeeded, each.failed, each.cancelled) for each in stats.service_outcomes] == [
        ("text_to_image", 1, 1, 1), ("speech", 1, 0, 0), ("text_to_video", 1, 0, 0),
    ]  # fmt: skip
    image = render_stats_image(stats)
    assert image[:8] == b"\x89PNG\r\n\x1a\n"
    nothing = await collect_stats(db, "today", datetime.now(UTC) + timedelta(days=40))
    assert (len(nothing.rows), nothing.total.margin) == (24, Decimal())


@pytest.mark.parametrize(
    ("service", "values", "usd"),
    [
        ("text_to_image", {"model": "ideogram-v2", "count": "4"}, "0.32"),
        ("text_to_video", {"model": "minimax-01", "seconds": "5"}, "0.5"),
        ("lip_sync", {}, "0.358"),
        ("neuro_image_v2", {"count": "2"}, "0.16"),
        ("model_training", {"steps": "1500"}, "2.4"),
        ("image_to_prompt", {}, "0.0128"),
    ],
)
def test_order_cost_usd(service: str, values: dict[str, str], usd: str) -> None:
    assert order_cost_usd(service, values, price=2) == Decimal(usd)


# ---------------------------------------------------------------- the check
async def test_ledger_check_reports_a_wrong_balance_and_opens_an_incident(
    db: Pool, dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await add_user(db)
    await verify_ledger(db, datetime.now(UTC))
    assert await open_incidents(db) == {}
    assert await asyncio.to_thread(check_by_hand, ["--dsn", dsn]) == 0
    assert "The ledger is consistent." in capsys.readouterr().out
    await db.execute("UPDATE balances SET available = available + 1")
    await verify_ledger(db, datetime.now(UTC))
    assert (await open_incidents(db))["ledger"].facts["wrong_balances"] == 1
    assert await asyncio.to_thread(check_by_hand, ["--dsn", dsn]) == 1
    printed = capsys.readouterr().out
    assert "WRONG        1  balances that differ from their postings" in printed
    assert "The ledger is inconsistent." in printed
    nowhere = ["--dsn", "postgresql://nobody@127.0.0.1:1/nothing"]
    assert await asyncio.to_thread(check_by_hand, nowhere) == 2
    assert "cannot be read" in capsys.readouterr().err
