"""Promo codes, invitations, the account statement and subscription reminders, on a real database."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from services.billing.promo_codes import NewPromoCode, create_promo_code, redeem_promo_code
from services.billing.referrals import InvitationOutcome, accept_invitation, invite_payload, reward_inviter
from services.billing.subscriptions import send_subscription_reminders, subscription_refusal_key
from services.core.errors import InvalidRequest
from services.core.formatting import format_day, format_short_day
from services.core.i18n import Texts
from services.ledger import credits as ledger
from services.notifications.notices import Notice
from storage.money.ledger import Balance, check_ledger, get_balance, transfer
from storage.money.payments import add_payment
from storage.money.subscriptions import renew_subscription
from storage.money.topups import add_topup, mark_paid
from storage.pool import Pool
from storage.reports.account_statement import StatementPage, get_statement
from storage.users.referrals import ReferralCounts, count_referrals
from tests.support.environments.environment import TEXTS
from tests.support.test_data.factories import add_job, add_user

NOW = datetime(2026, 8, 13, 12, tzinfo=UTC)


# ---------------------------------------------------------------- promo codes


async def refusal_key(db: Pool, code: str, user_id: int) -> str:
    with pytest.raises(InvalidRequest) as refused:
        await redeem_promo_code(db, code, user_id)
    return refused.value.key


async def create_code(db: Pool, code: str = "SPRING", *, credits: int = 30, uses: int = 3) -> None:
    await create_promo_code(db, NewPromoCode.parse([code, str(credits), str(uses), "30d"]), 7)


async def test_promo_code_with_three_uses_raced_by_twenty_users_is_redeemed_by_three(db: Pool) -> None:
    users = [await add_user(db, 2000 + number, credits=0) for number in range(20)]
    await create_code(db)
    results = await asyncio.gather(
        *(redeem_promo_code(db, "spring", each) for each in users), return_exceptions=True
    )
    assert sorted(result for result in results if isinstance(result, int)) == [30, 30, 30]
    assert {e.key for e in results if isinstance(e, InvalidRequest)} == {"promo.used_up"}
    assert sum([(await get_balance(db, each)).available for each in users]) == 90
    uses = "SELECT array[use_count, (SELECT count(*) FROM promo_redemptions)] FROM promo_codes"
    assert await db.fetchval(uses) == [3, 3]
    assert (await check_ledger(db)).is_consistent


async def test_promo_code_redeemed_twenty_times_at_once_by_one_user_counts_once(db: Pool) -> None:
    await add_user(db, credits=0)
    await create_code(db, uses=100)
    results = await asyncio.gather(
        *(redeem_promo_code(db, "SPRING", 1001) for _ in range(20)), return_exceptions=True
    )
    assert [result for result in results if isinstance(result, int)] == [30]
    assert await refusal_key(db, "spring", 1001) == "promo.yours_already"
    assert await get_balance(db, 1001) == Balance(30, 0)
    assert await db.fetchval("SELECT use_count FROM promo_codes") == 1
    assert await db.fetchval("SELECT true FROM ledger_transactions WHERE key = 'promo:SPRING:1001'")


async def test_redeem_with_an_expired_or_unknown_code_is_refused(db: Pool) -> None:
    await add_user(db)
    await create_code(db, "LATE")
    await db.execute("UPDATE promo_codes SET expires_at = now() - interval '1 second'")
    assert await refusal_key(db, "LATE", 1001) == "promo.over"
    for nonsense in ("NOSUCH", "", "a b", "\x00", "x" * 500, "ПРИВЕТ"):
        assert await refusal_key(db, nonsense, 1001) == "promo.unknown"
    with pytest.raises(InvalidRequest, match=r"promo\.exists"):
        await create_code(db, "late")
    assert await get_balance(db, 1001) == Balance(100, 0)


def test_new_promo_code_is_parsed_from_the_arguments_of_the_command() -> None:
    made = NewPromoCode.parse(["spring", "50", "10", "2026-08-13"], now=NOW)
    assert (made.code, made.credits, made.max_uses) == ("SPRING", 50, 10)
    assert made.expires_at == datetime(2026, 8, 13, 23, 59, 59, 999999, tzinfo=UTC), "the whole day"
    assert NewPromoCode.parse(["A-1", "1", "1", "30d"], now=NOW).expires_at == NOW + timedelta(days=30)


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        ("SPRING 50 10", "promo.usage"),
        ("ab 50 10 30d", "promo.bad_code"),
        ("list 50 10 30d", "promo.bad_code"),
        ("ВЕСНА 50 10 30d", "promo.bad_code"),
        ("SPRING 0 10 30d", "promo.bad_number"),
        ("SPRING 1.5 10 30d", "promo.bad_number"),
        ("SPRING 99999999999 10 30d", "promo.bad_number"),
        ("SPRING 50 many 30d", "promo.bad_number"),
        ("SPRING 50 10 2026-08-12", "promo.bad_day"),
        ("SPRING 50 10 2026-13-40", "promo.bad_day"),
        ("SPRING 50 10 9999-12-31", ""),
        ("SPRING 50 10 0d", "promo.bad_day"),
        ("SPRING 50 10 soon", "promo.bad_day"),
    ],
)
def test_new_promo_code_with_invalid_arguments_is_refused(arguments: str, key: str) -> None:
    if not key:
        assert NewPromoCode.parse(arguments.split(), now=NOW)
        return
    with pytest.raises(InvalidRequest) as refused:
        NewPromoCode.parse(arguments.split(), now=NOW)
    assert refused.value.key == key
    assert "{" not in TEXTS.t("en", key, **refused.value.params)


# ---------------------------------------------------------------- invitations


async def test_new_user_is_invited_once_and_the_inviter_rewarded_once(db: Pool) -> None:
    for user_id in (1001, 1002, 1003):
        await add_user(db, user_id, credits=0)
    assert await accept_invitation(db, 1002, invite_payload(1001)) is InvitationOutcome.ACCEPTED
    assert await accept_invitation(db, 1002, invite_payload(1001)) is InvitationOutcome.TOO_LATE
    assert await accept_invitation(db, 1002, invite_payload(1003)) is InvitationOutcome.TOO_LATE
    assert await count_referrals(db, 1001) == ReferralCounts(invited=1, rewarded=0)
    rewards = await asyncio.gather(*(reward_inviter(db, 1002) for _ in range(5)))
    assert len([reward for reward in rewards if reward]) == 1
    assert await count_referrals(db, 1001) == ReferralCounts(invited=1, rewarded=1)
    assert await count_referrals(db, 1003) == ReferralCounts(invited=0, rewarded=0)
    assert await get_balance(db, 1001) == Balance(20, 0)


async def test_invitation_by_own_link_loop_unknown_user_or_customer_is_not_accepted(db: Pool) -> None:
    for user_id in (1001, 1002, 1003, 1004, 1005):
        await add_user(db, user_id)
    assert await accept_invitation(db, 1001, invite_payload(1001)) is InvitationOutcome.OWN_LINK
    assert await accept_invitation(db, 1002, invite_payload(1001)) is InvitationOutcome.ACCEPTED
    assert await accept_invitation(db, 1001, invite_payload(1002)) is InvitationOutcome.TOO_LATE
    assert await accept_invitation(db, 1003, invite_payload(1002)) is InvitationOutcome.ACCEPTED
    assert await accept_invitation(db, 1001, invite_payload(1003)) is InvitationOutcome.TOO_LATE, "a loop of three"
    await add_job(db, 1004)
    assert await accept_invitation(db, 1004, invite_payload(1001)) is InvitationOutcome.TOO_LATE, "has ordered"
    await add_payment(db, "stx1", topup_id=None, user_id=1005, bot_name="main", stars=1, recurring=False)
    assert await accept_invitation(db, 1005, invite_payload(1001)) is InvitationOutcome.TOO_LATE, "has paid"
    assert await accept_invitation(db, 1001, invite_payload(4040)) is InvitationOutcome.TOO_LATE, (
        "no user has this id"
    )
    for payload in (None, "", "ref_", "ref_zz", "ref_-1", "ref_" + "f" * 60, "promo"):
        assert await accept_invitation(db, 1001, payload) is InvitationOutcome.NONE
    assert await db.fetchval("SELECT array_agg(id ORDER BY id) FROM users WHERE invited_by IS NOT NULL") == [
        1002,
        1003,
    ]


async def test_two_users_accepting_each_others_invitation_at_once_form_no_loop(db: Pool) -> None:
    for round_ in range(5):
        ann, bob = 2000 + round_, 3000 + round_
        await add_user(db, ann)
        await add_user(db, bob)
        both = await asyncio.gather(
            accept_invitation(db, ann, invite_payload(bob)),
            accept_invitation(db, bob, invite_payload(ann)),
        )
        assert sorted(outcome.value for outcome in both) == ["late", "taken"]


# ---------------------------------------------------------------- the statement


async def statement_page(db: Pool, number: int = 0, size: int = 10) -> StatementPage:
    return await get_statement(db, 1001, page=number, size=size)


async def test_statement_lines_sum_to_the_balance_with_one_line_per_order(db: Pool) -> None:
    await add_user(db, credits=10)
    made, failed, open_ = [await add_job(db, price=price) for price in (4, 3, 2)]
    await ledger.capture(db, made)
    await ledger.release(db, failed)
    refund = {"key": f"refund:{made.id}", "kind": "refund_job", "source": "revenue", "target": "available"}
    await transfer(db, **refund, user_id=1001, amount=4, job_id=made.id)
    found = await statement_page(db)
    assert [(line.kind, line.settled, line.amount, line.balance) for line in found.lines] == [
        ("refund_job", None, 4, 8),
        ("hold", "open", -2, 4),
        ("hold", "release", 0, 6),
        ("hold", "capture", -4, 6),
        ("welcome", None, 10, 10),
    ]
    assert {line.service for line in found.lines} == {None, "text_to_image"}
    assert await get_balance(db, 1001) == Balance(sum(line.amount for line in found.lines), open_.price)


async def test_statement_shows_a_subscription_a_refund_and_a_debt(db: Pool) -> None:
    await add_user(db, credits=0)
    topup_id = await add_subscription(db, "stx1")
    await transfer(
        db, key="charge:stx1", kind="topup", user_id=1001, source="stars", target="available", amount=150
    )
    await add_payment(db, "stx1", topup_id=topup_id, user_id=1001, bot_name="main", stars=150, recurring=False)
    await ledger.give_bonus(db, key="subscription:stx1", kind="subscription_bonus", user_id=1001, amount=30)
    await ledger.capture(db, await add_job(db, price=100))
    assert await ledger.claw_back(db, "stx1", 1001, 150) == 100, "the bonus goes back as well"
    await ledger.give_bonus(db, key="grant:1", kind="grant", user_id=1001, amount=100)
    assert await ledger.settle_debt(db, "x", 1001) == 100
    found = (await statement_page(db)).lines
    assert [(line.kind, line.amount, line.owed, line.balance) for line in found] == [
        ("debt", -100, -100, 0),
        ("grant", 100, 0, 100),
        ("refund", 0, 30, 0),
        ("refund", -80, 70, 0),
        ("hold", -100, 0, 80),
        ("subscription_bonus", 30, 0, 180),
        ("topup", 150, 0, 150),
    ]
    assert [line.tier for line in found] == [None, None, None, None, None, "light", "light"]
    assert (await get_balance(db, 1001)) == Balance(0, 0)


async def test_statement_pages_run_from_newest_to_oldest(db: Pool) -> None:
    await add_user(db, credits=1)
    await add_user(db, 1002, credits=5)
    for number in range(11):
        await ledger.give_bonus(db, key=f"grant:{number}", kind="grant", user_id=1001, amount=1)
    first, second = await statement_page(db), await statement_page(db, 1)
    assert (len(first.lines), len(second.lines), first.total, second.total) == (10, 2, 12, 12)
    assert [line.balance for line in (*first.lines, *second.lines)] == list(range(12, 0, -1))
    assert await statement_page(db, 2) == StatementPage([], 0)


# ---------------------------------------------------------------- subscriptions


async def add_subscription(db: Pool, charge_id: str, *, days: float = 2, user_id: int = 1001) -> UUID:
    topup_id = uuid4()
    await add_topup(db, topup_id, user_id=user_id, bot_name="main", stars=150, tier="light")
    await mark_paid(db, topup_id, charge_id)
    await renew_subscription(
        db, topup_id, user_id=user_id, bot_name="main", tier="light", charge_id=charge_id,
        expires_at=datetime.now(UTC) + timedelta(days=days), discount=5,
    )  # fmt: skip
    return topup_id


async def test_second_subscription_while_one_runs_is_refused(db: Pool) -> None:
    await add_user(db)
    offer, pack = uuid4(), uuid4()
    await add_topup(db, offer, user_id=1001, bot_name="main", stars=450, tier="studio")
    await add_topup(db, pack, user_id=1001, bot_name="main", stars=50)
    assert await subscription_refusal_key(db, 1001, f"{offer.hex}.x") is None
    running = await add_subscription(db, "stx1")
    assert await subscription_refusal_key(db, 1001, f"{offer.hex}.x") == "subscription.one_at_a_time"
    assert await subscription_refusal_key(db, 1001, f"{pack.hex}.x") is None
    assert await subscription_refusal_key(db, 1001, "nonsense") is None
    await db.execute("UPDATE subscriptions SET expires_at = now() - interval '1 second'")
    assert await subscription_refusal_key(db, 1001, f"{offer.hex}.x") is None
    assert await subscription_refusal_key(db, 1001, f"{running.hex}.x") == "subscription.old_link"


async def notices_of(db: Pool, user_id: int) -> list[str]:
    """The texts of the notifications enqueued for this user."""
    rows = await db.fetch("SELECT inputs FROM jobs WHERE internal AND user_id = $1 ORDER BY created_at", user_id)
    notices = [Notice.model_validate(row["inputs"]["notice"]) for row in rows]
    return ["\n".join(line.render(Texts(), "en") for line in notice.lines) for notice in notices]


async def test_subscription_reminder_within_three_days_is_sent_once(db: Pool) -> None:
    for user_id in (1001, 1002, 1003):
        await add_user(db, user_id)
    renews = await add_subscription(db, "stx1")
    ends = await add_subscription(db, "stx2", user_id=1002)
    await add_subscription(db, "stx3", user_id=1003, days=4)
    await db.execute("UPDATE subscriptions SET cancelled = true WHERE id = $1", ends)
    for _ in range(2):
        await send_subscription_reminders(db, TEXTS, NOW)
    (first,), (second,) = await notices_of(db, 1001), await notices_of(db, 1002)
    assert "<b>Light</b> renews on" in first
    assert "takes 150 Stars" in first
    assert "<b>Light</b> ends on" in second
    assert await notices_of(db, 1003) == []

    next_month = datetime.now(UTC) + timedelta(days=2, hours=5)
    await db.execute("UPDATE subscriptions SET expires_at = $2 WHERE id = $1", renews, next_month)
    await send_subscription_reminders(db, TEXTS, NOW)
    assert len(await notices_of(db, 1001)) == 2, "and again before the next one"


# ---------------------------------------------------------------- texts


@pytest.mark.parametrize(
    ("language", "long", "this_year", "last_year"),
    [("en", "13 August 2026", "13 Aug", "31 Dec 2025"), ("ru", "13 августа 2026", "13 авг.", "31 дек. 2025")],
)
def test_format_day_follows_the_language(language: str, long: str, this_year: str, last_year: str) -> None:
    before = datetime(2025, 12, 31, 23, 59, tzinfo=UTC)
    shown = [
        format_day(language, NOW),
        format_short_day(language, NOW, today=NOW.date()),
        format_short_day(language, before, today=NOW.date()),
    ]
    assert [each.replace("\N{NO-BREAK SPACE}", " ") for each in shown] == [long, this_year, last_year]


@pytest.mark.parametrize(
    ("n", "redeemed", "renews", "came"),
    [
        (1, "Вам 1 звезда!", "спишет 1 звезду.", "пришёл 1 человек"),
        (2, "Вам 2 звезды!", "спишет 2 звезды.", "пришли 2 человека"),
        (5, "Вам 5 звёзд!", "спишет 5 звёзд.", "пришло 5 человек"),
        (11, "Вам 11 звёзд!", "спишет 11 звёзд.", "пришло 11 человек"),
        (21, "Вам 21 звезда!", "спишет 21 звезду.", "пришёл 21 человек"),
    ],
)
def test_russian_texts_use_the_right_plural_forms(n: int, redeemed: str, renews: str, came: str) -> None:
    assert redeemed in TEXTS.t("ru", "promo.redeemed", n)
    assert renews in TEXTS.t("ru", "subscription.renews", n, day="13 августа")
    assert came in TEXTS.t("ru", "invite.came", n, rewarded=0)


def test_callback_answers_fit_into_200_characters() -> None:
    """The limit is 200 characters: https://core.telegram.org/bots/api#answercallbackquery"""
    for language in TEXTS.languages:
        for key in ("subscription.cancelled", "subscription.resumed", "subscription.refused"):
            assert len(TEXTS.t(language, key)) <= 200, (language, key)
