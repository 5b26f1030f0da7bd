"""Incidents: one of each kind, one message of it to each admin, however long trouble comes and goes."""

from datetime import timedelta
from typing import Any, cast

from aiogram.types import PreCheckoutQuery, User

from services.billing.payments import Payments
from storage.incidents import Told, begin_to_tell, claim_telling
from tests.support.environments.incidents import ANN, BORIS, PERSON, House, Inngest
from tests.support.test_data.factories import add_job, add_user


async def test_ten_minutes_of_flapping_are_one_message_and_edits(house: House) -> None:
    house.start()
    house.start()
    await house.look()
    told = house.clock()
    for round_ in range(30):  # away and back every 10 s
        house.inngest.become(False, f"away: ConnectTimeout {round_}")
        await house.fall_back()
        await house.pass_time(10)
        house.inngest.become(True)
        await house.pass_time(10)
    passed = (house.clock() - told).total_seconds()
    assert passed == 600
    for admin in (ANN, BORIS):
        assert len(await house.sent(admin)) == 1
        assert 1 <= len(await house.edits(admin)) <= passed / 15
    assert await house.open() == ["fallback"]
    await house.calm()
    assert (await house.count(), await house.open()) == (1, [])
    last = (await house.edits())[-1]
    assert last.startswith("🟢 <b>Over: Inngest is away</b>")
    assert "30 orders fell back" in last
    assert "0 on Plan A, 30 on Plan B" in last
    assert (await house.edits(BORIS))[-1].startswith("🟢 <b>Позади: Inngest недоступен</b>")
    edits = len(await house.edits())
    await house.calm()
    assert len(await house.edits()) == edits, "nothing more is said of what is over"


async def test_trouble_after_the_calm_is_a_new_incident(house: House) -> None:
    house.start()
    await house.look()
    for _ in range(2):
        house.inngest.become(False)
        await house.look()
        house.inngest.become(True)
        await house.calm()
    assert await house.count() == 2
    assert len(await house.sent()) == 2


async def test_many_processes_that_see_it_at_once_make_one(house: House) -> None:
    for _ in range(5):
        house.start()
    await house.look()
    house.inngest.become(False)
    await house.look()
    await house.look()
    assert await house.count() == 1
    assert (len(await house.sent(ANN)), len(await house.sent(BORIS))) == (1, 1)
    house.inngest.become(True)
    await house.calm()
    assert (len(await house.sent(ANN)), len(await house.edits(ANN))) == (1, 2), "quiet, then over"


async def test_one_process_that_still_sees_it_keeps_it_open(house: House) -> None:
    house.start()
    other = house.start()
    await house.look()
    away = Inngest(house.clock)
    away.become(False)
    other.plans.plan_a = cast("Any", away)
    await house.pass_time(300, step=20)
    assert await house.open() == ["fallback"]
    away.become(True)
    await house.calm()
    assert await house.open() == []


# ---------------------------------------------------------------- tellers that die


async def opened_but_not_told(house: House) -> int:
    """The incident that a process has opened before it died."""
    first = house.start()
    await house.look()
    house.inngest.become(False)
    house.clock.forward(5)
    await first.incidents.look()
    house.processes.clear()
    return int(await house.db.fetchval("SELECT id FROM incidents"))


async def test_one_that_died_after_opening_it_is_told_by_another_once(house: House) -> None:
    await opened_but_not_told(house)
    house.start()
    house.start()
    await house.look()
    assert (len(await house.sent(ANN)), len(await house.sent(BORIS))) == (1, 1)


async def test_one_that_died_with_the_claim_is_followed_when_the_claim_has_run_out(house: House) -> None:
    incident_id = await opened_but_not_told(house)
    now = house.clock()
    assert await claim_telling(house.db, incident_id, now, now + timedelta(seconds=45))
    house.start()
    await house.pass_time(40)
    assert await house.sent() == []
    await house.pass_time(10)
    assert len(await house.sent()) == 1


async def test_one_that_died_before_its_message_left_is_followed_too(house: House) -> None:
    incident_id = await opened_but_not_told(house)
    now = house.clock()
    incident = await claim_telling(house.db, incident_id, now, now + timedelta(seconds=45))
    assert incident
    trying = Told("main", unanswered=1, tried_at=now.isoformat())
    assert await begin_to_tell(house.db, incident, ANN, trying)
    house.start()
    await house.pass_time(120)
    assert (len(await house.sent(ANN)), len(await house.sent(BORIS))) == (1, 1)


async def test_a_teller_whose_claim_has_run_out_sends_nothing(house: House) -> None:
    incident_id = await opened_but_not_told(house)
    now = house.clock()
    slow = await claim_telling(house.db, incident_id, now, now + timedelta(seconds=45))
    assert slow
    house.start()
    await house.pass_time(60)
    assert not await begin_to_tell(house.db, slow, ANN, Told("main", unanswered=1, tried_at=now.isoformat()))


async def test_a_process_that_was_just_started_does_not_call_it_over(house: House) -> None:
    """It cannot know that it was calm while nobody looked."""
    await opened_but_not_told(house)
    house.clock.forward(3600)
    house.inngest.become(True)
    house.start()
    await house.pass_time(100)
    assert await house.open() == ["fallback"]
    await house.calm()
    assert await house.open() == []
    assert (len(await house.sent()), (await house.edits())[-1][0]) == (1, "🟢")


# ---------------------------------------------------------------- each kind


async def test_a_fallback_says_why_how_many_and_what_people_notice(house: House) -> None:
    process = house.start()
    await house.look()
    house.inngest.become(False, "away: Server error for https://inn.gs/e/s3cr3t-event-key")
    await house.fall_back(2)
    await process.plans.set_mode("a", service="speech")
    await house.look()
    text = (await house.sent())[0]["text"]
    assert "2 orders fell back to Plan B" in text
    assert "nothing, as orders run on Plan B at once" in text
    assert "in mode A: their orders wait" in text
    assert "https://inn.gs/…" in text
    assert "s3cr3t" not in text
    await process.plans.set_mode("b")
    await process.plans.set_mode(None, service="speech")
    await house.calm()
    assert "Inngest is still away, but the mode is B now" in (await house.edits())[-1]


async def test_an_inngest_that_nobody_misses_is_no_incident(house: House) -> None:
    house.inngest.become(False)
    process = house.start()
    await house.pass_time(60)
    assert await house.open() == [], "it was never there, and nothing fell back"
    await house.fall_back()
    await house.look()
    assert await house.open() == ["fallback"]
    await process.plans.set_mode("b")
    await house.calm()
    assert await house.open() == [], "nothing is to run on it"


async def fail_at_provider(
    house: House, failed: int, succeeded: int = 0, failure: str = "failure.provider"
) -> None:
    for number in range(failed + succeeded):
        job = await add_job(house.db, price=0)
        await house.end(job.id, *(("failed", failure) if number < failed else ("succeeded", None)))


async def test_a_provider_that_fails(house: House) -> None:
    house.start()
    await fail_at_provider(house, 4, 0)
    await fail_at_provider(house, 9, 0, "failure.moderation")
    await house.pass_time(30)
    assert await house.open() == [], "four of thirteen are too few, and refused words are nobody's failure"
    await fail_at_provider(house, 1, 7)
    await house.pass_time(15)
    assert await house.open() == []
    await fail_at_provider(house, 3)
    await house.pass_time(15)
    assert await house.open() == ["provider"]
    text = (await house.sent())[0]["text"]
    assert "8 of 24 failed at a provider" in text
    assert "Text to image: 8 of 24" in text
    await house.pass_time(900, step=30)
    assert await house.open() == []
    assert (await house.edits())[-1].startswith("🟢 <b>Over: A provider is failing")


async def test_a_queue_that_grows(house: House) -> None:
    house.start()
    await add_user(house.db, 1002)
    for _ in range(3):
        waiting = await add_job(house.db)
        await house.db.execute("UPDATE jobs SET created_at = $2 WHERE id = $1", waiting.id, house.clock())
    for _ in range(2):  # who has as many running as a person may have waits for themselves
        await add_job(house.db, 1002)
    await house.db.execute(
        "UPDATE jobs SET state = 'running', lease_until = now() + interval '1 hour' WHERE user_id = 1002"
    )
    own = await add_job(house.db, 1002)
    await house.db.execute(
        "UPDATE jobs SET created_at = $2 WHERE id = $1", own.id, house.clock() - timedelta(hours=1)
    )
    await house.pass_time(120)
    assert await house.open() == []
    await house.look()
    assert await house.open() == ["queue"]
    assert "3 orders wait, the oldest for 2 min." in (await house.sent())[0]["text"]
    await house.db.execute("UPDATE jobs SET state = 'running' WHERE user_id = $1", PERSON)
    await house.calm()
    assert await house.open() == []


async def test_orders_that_wait_for_inngest_are_one_incident_and_not_two(house: House) -> None:
    process = house.start()
    await process.plans.set_mode("a")
    await house.look()
    house.inngest.become(False)
    job = await add_job(house.db, plan="A")
    await house.db.execute("INSERT INTO outbox (job_id) VALUES ($1)", job.id)
    await house.db.execute("UPDATE jobs SET created_at = $1", house.clock())
    await house.pass_time(300, step=20)
    assert await house.open() == ["fallback"]
    assert "1 order waits to be sent to Inngest" in (await house.edits() or [(await house.sent())[0]["text"]])[-1]


async def test_a_ledger_that_is_wrong(house: House) -> None:
    house.start()
    await house.look()
    await house.db.execute("UPDATE balances SET available = available + 1 WHERE user_id = $1", PERSON)
    await house.pass_time(600, step=20)
    assert await house.open() == ["ledger"]
    (message,) = await house.sent()
    assert "Wrong balances: 1" in message["text"]
    await house.db.execute("UPDATE balances SET available = available - 1 WHERE user_id = $1", PERSON)
    await house.pass_time(300, step=20)
    assert await house.open() == []
    assert len(await house.sent()) == 1


async def test_payments_that_are_not_confirmed(house: House) -> None:
    house.start()
    payments = Payments(house.studio)
    for stars in (100, 250):
        await payments.send_invoice(user_id=PERSON, bot_name="main", chat_id=PERSON, language="en", stars=stars)
    for call in await house.telegram.calls("sendInvoice"):
        assert await payments.check(question(call["params"]), "main") is None
    assert await house.db.fetchval("SELECT count(*) FROM topups WHERE checked_at IS NOT NULL") == 2
    await house.db.execute("UPDATE topups SET checked_at = $1", house.clock())
    await house.pass_time(270, step=30)
    assert await house.open() == []
    await house.pass_time(60, step=30)
    assert "2 payments, 350 ⭐ in all" in (await house.sent())[0]["text"]
    await house.db.execute("UPDATE topups SET paid_at = now()")
    await house.calm()
    assert (await house.open(), (await house.edits())[-1][0]) == ([], "🟢")


def question(invoice: dict[str, Any]) -> PreCheckoutQuery:
    stars = 100 if "100" in invoice["title"] else 250
    person = User(id=PERSON, is_bot=False, first_name="Ann")
    return PreCheckoutQuery(
        id="1", from_user=person, currency="XTR", total_amount=stars, invoice_payload=invoice["payload"]
    )
