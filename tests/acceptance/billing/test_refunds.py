"""Refunds and reconciliation by admins: Telegram's failures, spent credits, and payments that differ."""

import itertools
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from sandbox.telegram.state.payments import Payment
from storage.money.ledger import Balance, check_ledger, get_balance, transfer
from tests.acceptance.billing.admin_chat import (
    ADMIN,
    buy_pack,
    create_user,
    open_admin_environment,
    send_as_admin,
    spend_credits,
)
from tests.support.environments.environment import (
    Environment,
    SandboxUser,
    button_labels,
    chat_text,
    wait_until,
)
from tests.support.environments.factory import EnvironmentFactory

_ids = itertools.count(2001)


@pytest.fixture(scope="module")
async def environment(environments: EnvironmentFactory) -> AsyncIterator[Environment]:
    async with open_admin_environment(environments) as environment:
        yield environment


@pytest.fixture
async def ann(environment: Environment) -> AsyncIterator[SandboxUser]:
    """A new user, who has accepted the terms."""
    yield await create_user(environment, next(_ids))
    await environment.telegram.api.clear_faults()


async def tap_refund(environment: Environment, charge: str, stars: int = 50) -> None:
    """Tap the button of the card and wait until the refund is completed; retries are due at once."""
    tapped_at = await environment.db.fetchval("SELECT now()")
    await environment.user(ADMIN).tap(chat_text("refund.sure", stars=stars))
    query = "SELECT count(*) FROM refunds WHERE charge_id = $1 AND requested_at >= $2 AND done_at IS NOT NULL"
    make_due = "UPDATE refunds SET next_attempt_at = now() WHERE done_at IS NULL AND error <> ''"

    async def done() -> bool:
        await environment.db.execute(make_due)
        return bool(await environment.db.fetchval(query, charge, tapped_at))

    await wait_until(done, what="the refund is completed")


async def refund(environment: Environment, charge: str, stars: int = 50) -> int:
    """Request a refund as an admin. Returns the id of the request's message."""
    admin, after = await send_as_admin(environment, f"/refund {charge}")
    await admin.wait_for_button(chat_text("refund.sure", stars=stars), after=after)
    await tap_refund(environment, charge, stars)
    return after


async def test_refund_after_three_telegram_failures_is_completed_once(
    environment: Environment, ann: SandboxUser
) -> None:
    charge = await buy_pack(environment, ann)
    admin, after = await send_as_admin(environment, "/refund")
    label = f"50 ⭐ · {ann.id}"
    await admin.wait_for_button(label, after=after)
    await admin.tap(label)
    card = await admin.wait_for_text(charge, after=after)
    assert "Nothing of it is spent" in card["text"]
    await environment.telegram.add_fault(method="refundStarPayment", code=500, times=3)
    calls = len(await environment.telegram.api_calls("refundStarPayment"))
    await tap_refund(environment, charge)
    assert len(await environment.telegram.api_calls("refundStarPayment")) == calls + 4
    assert await get_balance(environment.db, ann.id) == Balance(0, 0)
    await ann.wait_for_text("Your payment of 50 Stars was refunded")
    message = await admin.wait_for_text(f"Refunded 50 ⭐ to {ann.id}; all of it was still there", after=after)
    assert str(ADMIN) in message["text"]

    admin, after = await send_as_admin(environment, f"/refund {charge}")
    again = await admin.wait_for_text("It was refunded", after=after)
    assert chat_text("refund.sure", stars=50) not in button_labels(again)
    await admin.tap(chat_text("refund.list_button"))
    await admin.wait_for_button("✔︎ 50 ⭐", after=after)
    assert len([m for m in await ann.bot_messages() if "was refunded" in (m["text"] or "")]) == 1
    assert (await check_ledger(environment.db)).is_consistent


async def test_refund_already_made_at_telegram_counts_as_completed(
    environment: Environment, ann: SandboxUser
) -> None:
    """The refund of a subscription's month takes its bonus back as well."""
    charge = await buy_pack(environment, ann)
    bonus = f"subscription:{charge}"
    await transfer(
        environment.db, key=bonus, kind="test", user_id=ann.id, source="bonuses", target="available", amount=30
    )
    admin, after = await send_as_admin(environment, f"/refund {charge}")
    card = await admin.wait_for_text("all 80 ⭐ are taken back", after=after)
    assert "its bonus of 30 ⭐" in card["text"]
    await environment.telegram.add_fault(
        method="refundStarPayment", code=400, description="Bad Request: CHARGE_ALREADY_REFUNDED"
    )
    await refund(environment, charge)
    assert await get_balance(environment.db, ann.id) == Balance(0, 0)
    assert await environment.db.fetchval("SELECT refunded_at IS NOT NULL FROM payments WHERE id = $1", charge)


async def test_refund_refused_by_telegram_is_reported_and_can_be_repeated(
    environment: Environment, ann: SandboxUser
) -> None:
    charge = await buy_pack(environment, ann)
    await environment.telegram.add_fault(
        method="refundStarPayment", code=400, description="Bad Request: BALANCE_TOO_LOW"
    )
    after = await refund(environment, charge)
    admin = environment.user(ADMIN)
    await admin.wait_for_text("Telegram refuses to refund", after=after)
    assert await get_balance(environment.db, ann.id) == Balance(50, 0)
    admin, after = await send_as_admin(environment, f"/refund {charge}")
    await admin.wait_for_text("BALANCE_TOO_LOW. It can be asked for again", after=after)
    await refund(environment, charge)
    assert await get_balance(environment.db, ann.id) == Balance(0, 0)


async def test_refund_of_spent_credits_is_owed_until_the_next_payment(
    environment: Environment, ann: SandboxUser
) -> None:
    charge = await buy_pack(environment, ann)
    await spend_credits(environment, ann, 30)
    admin, after = await send_as_admin(environment, f"/refund {charge}")
    card = await admin.wait_for_text("20 ⭐ are still there", after=after)
    assert "30 ⭐ are spent" in card["text"]
    await refund(environment, charge)
    assert await get_balance(environment.db, ann.id) == Balance(0, 0, 30)
    await admin.wait_for_text(f"to {ann.id}, who had spent 30 of them", after=after)
    await buy_pack(environment, ann)
    assert await get_balance(environment.db, ann.id) == Balance(20, 0)
    assert (await check_ledger(environment.db)).is_consistent


async def test_refund_of_an_unknown_payment_is_refused(environment: Environment) -> None:
    admin, after = await send_as_admin(environment, "/refund stx-nobody's")
    await admin.wait_for_text("There is no payment with this id", after=after)


async def test_reconcile_credits_lost_payments_and_takes_back_external_refunds(
    environment: Environment, ann: SandboxUser
) -> None:
    """Eight payments: one is correct, the others each differ in another way."""
    correct, refunded_elsewhere, other_amount, unlisted, refunded_here_only = [
        await buy_pack(environment, ann, 100) for _ in range(5)
    ]
    await spend_credits(environment, ann, 250)
    await environment.telegram.add_fault(
        method="refundStarPayment", code=400, description="Bad Request: CHARGE_ALREADY_REFUNDED"
    )
    await refund(environment, refunded_here_only, 100)  # which Telegram knows nothing of
    server_state = environment.telegram.state
    listed = server_state.payments.payments
    lost = environment.telegram.pay_without_update(ann.id, 70, "not ours, but paid")
    lost_and_refunded = environment.telegram.pay_without_update(
        ann.id, 71, "lost, and refunded before we knew of it"
    )
    of_unknown_user = environment.telegram.pay_without_update(999_999_999, 72, "of an unknown user")
    for charge in (refunded_elsewhere, lost_and_refunded):
        listed[charge].refunded = int(datetime.now(UTC).timestamp())
    listed[other_amount].amount = 90
    del listed[unlisted]
    await environment.db.execute(
        """UPDATE payments SET created_at = created_at - interval '1 hour',
        refunded_at = refunded_at - interval '1 hour' WHERE user_id = $1""",
        ann.id,
    )
    admin, after = await send_as_admin(environment, "/reconcile")
    report = (await admin.wait_for_text("Payments at Telegram", after=after))["text"]
    assert "Missing in the ledger: 1 (credited now)" in report
    assert "Refunded elsewhere: 1 (taken back now)" in report
    assert "Of people unknown here: 1" in report
    assert f"{other_amount}: 90 ≠ 100" in report
    assert unlisted in report
    assert refunded_here_only in report
    assert correct not in report
    assert "All the same" not in report
    assert await get_balance(environment.db, ann.id) == Balance(120, 0)
    assert await environment.db.fetchval("SELECT count(*) FROM payments WHERE id = $1", lost) == 1
    assert (
        await environment.db.fetchval(
            "SELECT count(*) FROM payments WHERE id = ANY($1::text[])", [lost_and_refunded, of_unknown_user]
        )
        == 0
    )

    listed[other_amount].amount = 100
    del listed[of_unknown_user]
    listed[unlisted] = Payment(unlisted, listed[correct].bot_id, ann.id, 100, "", listed[correct].date)
    listed[unlisted].payload = "found again"
    admin, after = await send_as_admin(environment, "/reconcile")
    report = (await admin.wait_for_text("Payments at Telegram", after=after))["text"]
    assert "Missing in the ledger: 0" in report
    assert "Refunded elsewhere: 0" in report
    assert await get_balance(environment.db, ann.id) == Balance(120, 0), (
        "a corrected payment is not corrected again"
    )
    assert (await check_ledger(environment.db)).is_consistent


async def test_reconcile_without_an_answer_from_telegram_says_so(
    environment: Environment, ann: SandboxUser
) -> None:
    await environment.telegram.add_fault(method="getStarTransactions", code=500)
    admin, after = await send_as_admin(environment, "/reconcile")
    await admin.wait_for_text("Telegram did not answer", after=after)
