"""Incidents: one per kind, with one message to each admin, however long the problem comes and goes."""

from datetime import timedelta
from typing import Any, cast

from bot.telegram.bots import create_bots
from services.billing.payments import Checkout, Payments
from services.messaging.bots import Bots
from services.messaging.stars import CURRENCY, StarsApi
from storage.incidents import AdminMessage, claim_notification, record_send_attempt
from tests.support.environments.environment import BOT_TOKEN, TEXTS
from tests.support.environments.incidents import ADMIN_EN, ADMIN_RU, USER, FakeInngest, IncidentSimulation
from tests.support.test_data.factories import add_job, add_user


async def test_ten_minutes_of_flapping_make_one_message_and_edits(simulation: IncidentSimulation) -> None:
    simulation.start_process()
    simulation.start_process()
    await simulation.check_once()
    started_at = simulation.clock()
    for round_ in range(30):  # unavailable and back every 10 s
        simulation.inngest.set_health(False, f"unavailable: ConnectTimeout {round_}")
        await simulation.add_fallbacks()
        await simulation.advance(10)
        simulation.inngest.set_health(True)
        await simulation.advance(10)
    passed = (simulation.clock() - started_at).total_seconds()
    assert passed == 600
    for admin in (ADMIN_EN, ADMIN_RU):
        assert len(await simulation.sent_messages(admin)) == 1
        assert 1 <= len(await simulation.edited_texts(admin)) <= passed / 15
    assert await simulation.open_incident_kinds() == ["fallback"]
    await simulation.wait_until_resolved()
    assert (await simulation.count_incidents(), await simulation.open_incident_kinds()) == (1, [])
    last = (await simulation.edited_texts())[-1]
    assert last.startswith("🟢 <b>Over: Inngest is away</b>")
    assert "30 orders fell back" in last
    assert "0 on Plan A, 30 on Plan B" in last
    assert (await simulation.edited_texts(ADMIN_RU))[-1].startswith("🟢 <b>Позади: Inngest недоступен</b>")
    edits = len(await simulation.edited_texts())
    await simulation.wait_until_resolved()
    assert len(await simulation.edited_texts()) == edits, "a resolved incident is not edited any more"


async def test_problem_after_recovery_is_a_new_incident(simulation: IncidentSimulation) -> None:
    simulation.start_process()
    await simulation.check_once()
    for _ in range(2):
        simulation.inngest.set_health(False)
        await simulation.check_once()
        simulation.inngest.set_health(True)
        await simulation.wait_until_resolved()
    assert await simulation.count_incidents() == 2
    assert len(await simulation.sent_messages()) == 2


async def test_problem_found_by_many_processes_is_one_incident(simulation: IncidentSimulation) -> None:
    for _ in range(5):
        simulation.start_process()
    await simulation.check_once()
    simulation.inngest.set_health(False)
    await simulation.check_once()
    await simulation.check_once()
    assert await simulation.count_incidents() == 1
    assert (len(await simulation.sent_messages(ADMIN_EN)), len(await simulation.sent_messages(ADMIN_RU))) == (1, 1)
    simulation.inngest.set_health(True)
    await simulation.wait_until_resolved()
    assert (len(await simulation.sent_messages(ADMIN_EN)), len(await simulation.edited_texts(ADMIN_EN))) == (
        1,
        2,
    ), "recovering, then resolved"


async def test_incident_stays_open_while_one_process_finds_the_problem(simulation: IncidentSimulation) -> None:
    simulation.start_process()
    other = simulation.start_process()
    await simulation.check_once()
    unavailable = FakeInngest(simulation.clock)
    unavailable.set_health(False)
    other.router.plan_a = cast("Any", unavailable)
    await simulation.advance(300, step=20)
    assert await simulation.open_incident_kinds() == ["fallback"]
    unavailable.set_health(True)
    await simulation.wait_until_resolved()
    assert await simulation.open_incident_kinds() == []


# ---------------------------------------------------------------- processes that die


async def open_incident_without_notification(simulation: IncidentSimulation) -> int:
    """Let a process open an incident and die before it notifies anyone; return the incident's id."""
    first = simulation.start_process()
    await simulation.check_once()
    simulation.inngest.set_health(False)
    simulation.clock.advance(5)
    await first.incidents.run_due_checks()
    simulation.processes.clear()
    return int(await simulation.db.fetchval("SELECT id FROM incidents"))


async def test_incident_of_a_process_that_died_after_opening_it_is_sent_once(
    simulation: IncidentSimulation,
) -> None:
    await open_incident_without_notification(simulation)
    simulation.start_process()
    simulation.start_process()
    await simulation.check_once()
    assert (len(await simulation.sent_messages(ADMIN_EN)), len(await simulation.sent_messages(ADMIN_RU))) == (1, 1)


async def test_notification_claimed_by_a_dead_process_is_sent_after_the_claim_expires(
    simulation: IncidentSimulation,
) -> None:
    incident_id = await open_incident_without_notification(simulation)
    now = simulation.clock()
    assert await claim_notification(simulation.db, incident_id, now, now + timedelta(seconds=45))
    simulation.start_process()
    await simulation.advance(40)
    assert await simulation.sent_messages() == []
    await simulation.advance(10)
    assert len(await simulation.sent_messages()) == 1


async def test_notification_of_a_process_that_died_before_sending_is_sent_once(
    simulation: IncidentSimulation,
) -> None:
    incident_id = await open_incident_without_notification(simulation)
    now = simulation.clock()
    incident = await claim_notification(simulation.db, incident_id, now, now + timedelta(seconds=45))
    assert incident
    attempt = AdminMessage("main", unanswered=1, tried_at=now.isoformat())
    assert await record_send_attempt(simulation.db, incident, ADMIN_EN, attempt)
    simulation.start_process()
    await simulation.advance(120)
    assert (len(await simulation.sent_messages(ADMIN_EN)), len(await simulation.sent_messages(ADMIN_RU))) == (1, 1)


async def test_send_attempt_with_an_expired_claim_is_refused(simulation: IncidentSimulation) -> None:
    incident_id = await open_incident_without_notification(simulation)
    now = simulation.clock()
    slow = await claim_notification(simulation.db, incident_id, now, now + timedelta(seconds=45))
    assert slow
    simulation.start_process()
    await simulation.advance(60)
    assert not await record_send_attempt(
        simulation.db, slow, ADMIN_EN, AdminMessage("main", unanswered=1, tried_at=now.isoformat())
    )


async def test_newly_started_process_does_not_close_an_incident_at_once(simulation: IncidentSimulation) -> None:
    """It cannot know whether the problem was gone while no process checked."""
    await open_incident_without_notification(simulation)
    simulation.clock.advance(3600)
    simulation.inngest.set_health(True)
    simulation.start_process()
    await simulation.advance(100)
    assert await simulation.open_incident_kinds() == ["fallback"]
    await simulation.wait_until_resolved()
    assert await simulation.open_incident_kinds() == []
    assert (len(await simulation.sent_messages()), (await simulation.edited_texts())[-1][0]) == (1, "🟢")


# ---------------------------------------------------------------- each kind


async def test_fallback_incident_shows_cause_count_and_effect_without_secrets(
    simulation: IncidentSimulation,
) -> None:
    process = simulation.start_process()
    await simulation.check_once()
    simulation.inngest.set_health(False, "unavailable: Server error for https://inn.gs/e/s3cr3t-event-key")
    await simulation.add_fallbacks(2)
    await process.router.set_mode("a", service="speech")
    await simulation.check_once()
    text = (await simulation.sent_messages())[0]["text"]
    assert "2 orders fell back to Plan B" in text
    assert "nothing, as orders run on Plan B at once" in text
    assert "in mode A: their orders wait" in text
    assert "https://inn.gs/…" in text
    assert "s3cr3t" not in text
    await process.router.set_mode("b")
    await process.router.set_mode(None, service="speech")
    await simulation.wait_until_resolved()
    assert "Inngest is still away, but the mode is B now" in (await simulation.edited_texts())[-1]


async def test_unavailable_inngest_that_nothing_needs_is_no_incident(simulation: IncidentSimulation) -> None:
    simulation.inngest.set_health(False)
    process = simulation.start_process()
    await simulation.advance(60)
    assert await simulation.open_incident_kinds() == [], "it was never available, and nothing fell back"
    await simulation.add_fallbacks()
    await simulation.check_once()
    assert await simulation.open_incident_kinds() == ["fallback"]
    await process.router.set_mode("b")
    await simulation.wait_until_resolved()
    assert await simulation.open_incident_kinds() == [], "nothing is meant to run on it"


async def fail_at_provider(
    simulation: IncidentSimulation, failed: int, succeeded: int = 0, failure: str = "failure.provider"
) -> None:
    for number in range(failed + succeeded):
        job = await add_job(simulation.db, price=0)
        await simulation.end_job(job.id, *(("failed", failure) if number < failed else ("succeeded", None)))


async def test_failing_provider_opens_an_incident_above_the_threshold(simulation: IncidentSimulation) -> None:
    simulation.start_process()
    await fail_at_provider(simulation, 4, 0)
    await fail_at_provider(simulation, 9, 0, "failure.moderation")
    await simulation.advance(30)
    assert await simulation.open_incident_kinds() == [], (
        "four of thirteen are too few, and a refused prompt is not a provider's failure"
    )
    await fail_at_provider(simulation, 1, 7)
    await simulation.advance(15)
    assert await simulation.open_incident_kinds() == []
    await fail_at_provider(simulation, 3)
    await simulation.advance(15)
    assert await simulation.open_incident_kinds() == ["provider"]
    text = (await simulation.sent_messages())[0]["text"]
    assert "8 of 24 failed at a provider" in text
    assert "Text to image: 8 of 24" in text
    await simulation.advance(900, step=30)
    assert await simulation.open_incident_kinds() == []
    assert (await simulation.edited_texts())[-1].startswith("🟢 <b>Over: A provider is failing")


async def test_queue_waiting_for_two_minutes_opens_an_incident(simulation: IncidentSimulation) -> None:
    simulation.start_process()
    await add_user(simulation.db, 1002)
    for _ in range(3):
        waiting = await add_job(simulation.db)
        await simulation.db.execute(
            "UPDATE jobs SET created_at = $2 WHERE id = $1", waiting.id, simulation.clock()
        )
    for _ in range(2):  # a user with as many running as allowed waits for their own orders
        await add_job(simulation.db, 1002)
    await simulation.db.execute(
        "UPDATE jobs SET state = 'running', claimable_at = now() + interval '1 hour' WHERE user_id = 1002"
    )
    own = await add_job(simulation.db, 1002)
    await simulation.db.execute(
        "UPDATE jobs SET created_at = $2 WHERE id = $1", own.id, simulation.clock() - timedelta(hours=1)
    )
    await simulation.advance(120)
    assert await simulation.open_incident_kinds() == []
    await simulation.check_once()
    assert await simulation.open_incident_kinds() == ["queue"]
    assert "3 orders wait, the oldest for 2 min." in (await simulation.sent_messages())[0]["text"]
    await simulation.db.execute("UPDATE jobs SET state = 'running' WHERE user_id = $1", USER)
    await simulation.wait_until_resolved()
    assert await simulation.open_incident_kinds() == []


async def test_alerts_with_internal_jobs_that_fail_or_wait_open_no_incident(
    simulation: IncidentSimulation,
) -> None:
    simulation.start_process()
    internal: dict[str, Any] = {"service": "notification", "price": 0, "internal": True}
    for _ in range(10):
        failed = await add_job(simulation.db, **internal)
        await simulation.end_job(failed.id, "failed", "failure.provider")
        waiting = await add_job(simulation.db, **internal)
        created_at = simulation.clock() - timedelta(hours=1)
        await simulation.db.execute("UPDATE jobs SET created_at = $2 WHERE id = $1", waiting.id, created_at)
    await simulation.advance(60)
    assert await simulation.open_incident_kinds() == []
    await fail_at_provider(simulation, 5, 1)
    order = await add_job(simulation.db)
    await simulation.db.execute("UPDATE jobs SET created_at = $2 WHERE id = $1", order.id, created_at)
    await simulation.advance(15)
    assert await simulation.open_incident_kinds() == ["provider", "queue"]
    texts = [message["text"] for message in await simulation.sent_messages()]
    assert any("5 of 6 failed at a provider" in text for text in texts)
    assert any("1 order waits, for 61 min." in text for text in texts), texts


async def test_orders_waiting_for_inngest_are_one_incident(simulation: IncidentSimulation) -> None:
    process = simulation.start_process()
    await process.router.set_mode("a")
    await simulation.check_once()
    simulation.inngest.set_health(False)
    job = await add_job(simulation.db, plan="A")
    await simulation.db.execute("INSERT INTO outbox (job_id) VALUES ($1)", job.id)
    await simulation.db.execute("UPDATE jobs SET created_at = $1", simulation.clock())
    await simulation.advance(300, step=20)
    assert await simulation.open_incident_kinds() == ["fallback"]
    assert (
        "1 order waits to be sent to Inngest"
        in (await simulation.edited_texts() or [(await simulation.sent_messages())[0]["text"]])[-1]
    )


async def test_wrong_ledger_opens_an_incident_until_it_is_right(simulation: IncidentSimulation) -> None:
    simulation.start_process()
    await simulation.check_once()
    await simulation.db.execute("UPDATE balances SET available = available + 1 WHERE user_id = $1", USER)
    await simulation.advance(600, step=20)
    assert await simulation.open_incident_kinds() == ["ledger"]
    (message,) = await simulation.sent_messages()
    assert "Wrong balances: 1" in message["text"]
    await simulation.db.execute("UPDATE balances SET available = available - 1 WHERE user_id = $1", USER)
    await simulation.advance(300, step=20)
    assert await simulation.open_incident_kinds() == []
    assert len(await simulation.sent_messages()) == 1


async def test_unconfirmed_payments_open_an_incident_after_five_minutes(simulation: IncidentSimulation) -> None:
    simulation.start_process()
    bots = Bots(create_bots({"main": BOT_TOKEN}, simulation.telegram.url))
    payments = Payments(simulation.db, StarsApi(bots), TEXTS, {"main": BOT_TOKEN})
    for stars in (100, 250):
        await payments.send_invoice(user_id=USER, bot_name="main", chat_id=USER, language="en", stars=stars)
    for call in await simulation.telegram.api_calls("sendInvoice"):
        assert await payments.validate_checkout(checkout_of(call["params"]), "main") is None
    await bots.get("main").session.close()
    assert await simulation.db.fetchval("SELECT count(*) FROM topups WHERE approved_at IS NOT NULL") == 2
    await simulation.db.execute("UPDATE topups SET approved_at = $1", simulation.clock())
    await simulation.advance(270, step=30)
    assert await simulation.open_incident_kinds() == []
    await simulation.advance(60, step=30)
    assert "2 payments, 350 ⭐ in all" in (await simulation.sent_messages())[0]["text"]
    await simulation.db.execute("UPDATE topups SET paid_at = now()")
    await simulation.wait_until_resolved()
    assert (await simulation.open_incident_kinds(), (await simulation.edited_texts())[-1][0]) == ([], "🟢")


def checkout_of(invoice: dict[str, Any]) -> Checkout:
    return Checkout(USER, CURRENCY, 100 if "100" in invoice["title"] else 250, invoice["payload"])
