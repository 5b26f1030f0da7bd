"""Incidents: one of each kind, one message of it to each admin, however long trouble comes and goes.

Time is simulated: ten minutes of flapping take as long as their database statements.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import asyncpg
import pytest
from aiogram.types import PreCheckoutQuery, User
from aiohttp import web
from loguru import logger

from bot.telegram import create_bots
from services.alert_messages import QuietHours
from services.alert_webhook import AlertWebhook
from services.alerts import Alerts
from services.conditions import Conditions
from services.i18n import Texts
from services.incidents import Incidents
from services.payments import Payments
from services.plans import Plans
from services.studio import Studio
from storage.incidents import Told, begin_to_tell, claim_telling, open_incidents
from storage.pool import Pool, create_pool
from storage.users import set_language
from tests.support.rows import add_job, add_user
from tests.support.stage import BOT_TOKEN, TelegramStand

ANN, BORIS = 7, 8
PERSON = 1001


@dataclass
class Clock:
    now: datetime = field(default_factory=lambda: datetime(2026, 5, 4, 12, 0, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class Inngest:
    clock: Clock
    healthy: bool = True
    state: str = "ok"
    since: datetime = field(init=False)

    def __post_init__(self) -> None:
        self.since = self.clock()

    def become(self, healthy: bool, why: str = "away: ConnectTimeout") -> None:
        if healthy != self.healthy:
            self.healthy, self.state, self.since = healthy, "ok" if healthy else why, self.clock()


@dataclass
class Process:
    incidents: Incidents
    alerts: Alerts
    plans: Plans


@dataclass
class House:
    """Telegram, the database, a clock, and any number of processes of ours."""

    db: Pool
    telegram: TelegramStand
    studio: Studio
    clock: Clock
    inngest: Inngest
    processes: list[Process] = field(default_factory=list)

    def start(self, *, webhook: str = "", quiet: QuietHours | None = None) -> Process:
        plans = Plans(self.db, cast("Any", self.inngest))
        incidents = Incidents(self.studio, Conditions(self.studio, plans), clock=self.clock)
        caller = AlertWebhook(webhook, self.studio.texts) if webhook else None
        alerts = Alerts(self.studio, quiet=quiet, webhook=caller, clock=self.clock)
        self.processes.append(Process(incidents, alerts, plans))
        return self.processes[-1]

    async def pass_time(self, seconds: float, step: float = 5.0) -> None:
        """All processes look and tell at each step, side by side."""
        for _ in range(int(seconds / step)):
            self.clock.forward(step)
            await asyncio.gather(*(each.incidents.look() for each in self.processes))
            await asyncio.gather(*(each.alerts.tell() for each in self.processes))

    async def look(self) -> None:
        await self.pass_time(5.0)

    async def calm(self) -> None:
        """Long enough for what was seen before to be over, and for that to be told."""
        await self.pass_time(160.0, step=20.0)

    async def sent(self, admin: int = ANN) -> list[dict[str, Any]]:
        calls = await self.telegram.calls("sendMessage")
        return [c["params"] for c in calls if c["params"]["chat_id"] == str(admin) and c["status"] == 200]

    async def edits(self, admin: int = ANN) -> list[str]:
        calls = await self.telegram.calls("editMessageText")
        return [call["params"]["text"] for call in calls if call["params"]["chat_id"] == str(admin)]

    async def count(self) -> int:
        return int(await self.db.fetchval("SELECT count(*) FROM incidents"))

    async def open(self) -> list[str]:
        return sorted(await open_incidents(self.db))

    async def fall_back(self, count: int = 1) -> None:
        """Orders that went to Plan B only because Inngest was away, now on the simulated clock."""
        for _ in range(count):
            job = await add_job(self.db, fell_back=True, price=0)
            await self.db.execute("UPDATE job_events SET at = $2 WHERE job_id = $1", job.id, self.clock())
            await self.end(job.id, "succeeded")

    async def end(self, job_id: Any, state: str, failure: str | None = None, *, ago: float = 0) -> None:
        at = self.clock() - timedelta(seconds=ago)
        query = "UPDATE jobs SET state = $2, failure = $3, created_at = $4, ended_at = $4 WHERE id = $1"
        await self.db.execute(query, job_id, state, failure, at)


@pytest.fixture(scope="module")
async def telegram() -> AsyncIterator[TelegramStand]:
    stand = TelegramStand()
    await stand.start()
    yield stand
    await stand.close()


@pytest.fixture(scope="module")
async def studio(postgres: str, telegram: TelegramStand) -> AsyncIterator[Studio]:
    """One for all tests here, with a database of their own: each house begins by emptying it."""
    server, name = await asyncpg.connect(postgres), f"incidents_{secrets.token_hex(6)}"
    await server.execute(f"CREATE DATABASE {name} TEMPLATE template")
    db = await create_pool(f"{postgres.rpartition('/')[0]}/{name}", size=10)
    bots = create_bots({"main": BOT_TOKEN}, telegram.url)
    yield Studio(db, bots, Texts(), cast("Any", None), frozenset({ANN, BORIS}))
    await bots["main"].session.close()
    await db.close()
    await server.execute(f"DROP DATABASE {name}")
    await server.close()


@pytest.fixture
async def house(studio: Studio, telegram: TelegramStand) -> House:
    db = studio.db
    await db.execute("TRUNCATE users, settings, incidents RESTART IDENTITY CASCADE")
    await telegram.call("POST", "/sim/reset")
    await studio.bots["main"].get_me()
    for user_id in (ANN, BORIS, PERSON):
        await telegram.call("POST", "/sim/message", {"text": "/start", "user_id": user_id})
        await add_user(db, user_id)
    await set_language(db, BORIS, "ru")
    clock = Clock()
    return House(db, telegram, studio, clock, Inngest(clock))


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


# ---------------------------------------------------------------- Telegram


async def test_an_admin_who_is_told_late_is_told_once(house: House) -> None:
    """Telegram refuses for a minute: the message comes when it can, and nobody else gets theirs twice."""
    house.start()
    await house.look()
    await house.telegram.fault(method="sendMessage", code=500, chat_id=ANN, times=4)
    house.inngest.become(False)
    await house.pass_time(90)
    assert (len(await house.sent(ANN)), len(await house.sent(BORIS))) == (1, 1)
    tries = await house.telegram.calls("sendMessage")
    assert len(tries) == 6, "at most one try every 15 s, and one for who was told at once"


async def test_lost_answers_do_not_make_a_flood(house: House) -> None:
    """Telegram takes each message and never says so: that cannot be known, so it is sent again, ever seldomer."""
    house.start()
    await house.look()
    await house.telegram.fault(method="sendMessage", drop=True, after=True, chat_id=ANN, times=100)
    house.inngest.become(False)
    await house.pass_time(600)
    tries = [c for c in await house.telegram.calls("sendMessage") if c["params"]["chat_id"] == str(ANN)]
    assert 3 <= len(tries) <= 5


async def test_who_has_blocked_the_bot_is_tried_once(house: House) -> None:
    house.start()
    await house.look()
    await house.telegram.fault(method="sendMessage", code=403, chat_id=ANN, times=100)
    house.inngest.become(False)
    await house.pass_time(60)
    house.inngest.become(True)
    await house.calm()
    tries = [c for c in await house.telegram.calls("sendMessage") if c["params"]["chat_id"] == str(ANN)]
    assert len(tries) == 1
    assert len(await house.edits(BORIS)) == 2


async def test_an_edit_that_failed_is_made_again(house: House) -> None:
    house.start()
    await house.look()
    house.inngest.become(False)
    await house.look()
    house.inngest.become(True)
    await house.telegram.fault(method="editMessageText", code=502, chat_id=ANN, times=3)
    await house.calm()
    await house.calm()
    assert (await house.edits())[-1].startswith("🟢")
    assert (len(await house.sent()), await house.open()) == (1, [])


async def test_quiet_hours_do_not_apply_to_money(house: House) -> None:
    house.clock.now = house.clock.now.replace(hour=23)
    house.start(quiet=QuietHours(23, 7))
    await house.look()
    house.inngest.become(False)
    await house.db.execute("UPDATE balances SET available = available + 1 WHERE user_id = $1", PERSON)
    await house.pass_time(300, step=60)
    sounds = {message["text"].split("</b>")[0]: message["disable_notification"] for message in await house.sent()}
    assert sounds == {"🔴 <b>Inngest is away": "true", "🔴 <b>The ledger check failed": "false"}


@pytest.mark.parametrize(
    ("begin", "end", "quiet"),
    [(23, 7, [23, 0, 1, 2, 3, 6]), (1, 3, [1, 2]), (0, 0, [])],
    ids=["night", "day", "never"],
)
def test_quiet_hours(begin: int, end: int, quiet: list[int]) -> None:
    day = datetime(2026, 5, 4, 0, 59, tzinfo=UTC)
    held = [hour for hour in (23, 0, 1, 2, 3, 6, 7, 12, 22) if QuietHours(begin, end).hold(day.replace(hour=hour))]
    assert held == quiet


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


# ---------------------------------------------------------------- the webhook


@dataclass
class Receiver:
    """What ALERT_WEBHOOK_URL points at. `refusals` are the statuses of its first answers."""

    refusals: list[int] = field(default_factory=list)
    asked: int = 0
    taken: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""

    async def receive(self, request: web.Request) -> web.Response:
        self.asked += 1
        if self.refusals:
            return web.Response(status=self.refusals.pop(0), headers={"Location": "/other"})
        self.taken.append(await request.json())
        return web.Response()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/hook", receiver.receive)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield receiver
    await runner.cleanup()


async def test_the_webhook_is_told_of_the_beginning_and_the_end(house: House, receiver: Receiver) -> None:
    for _ in range(2):
        house.start(webhook=receiver.url)
    await house.look()
    house.inngest.become(False, "away: https://inn.gs/e/s3cr3t")
    await house.pass_time(60)
    house.inngest.become(True)
    await house.calm()
    opened, closed = receiver.taken
    assert (opened["kind"], opened["status"], opened["closed_at"]) == ("fallback", "opened", None)
    assert (closed["id"], closed["status"]) == (opened["id"], "closed")
    assert closed["closed_at"] > opened["opened_at"]
    assert opened["text"].startswith("🔴 Inngest is away\n")
    assert "s3cr3t" not in str(receiver.taken) + str(opened)


async def test_the_webhook_is_asked_until_it_accepts(house: House, receiver: Receiver) -> None:
    house.start(webhook=receiver.url)
    receiver.refusals = [500, 404, 302, 429]
    await house.look()
    house.inngest.become(False)
    await house.look()
    house.inngest.become(True)
    await house.pass_time(180)
    assert receiver.taken == []
    await house.pass_time(240)
    assert [each["status"] for each in receiver.taken] == ["opened", "closed"]
    assert receiver.asked == 6
    assert len(await house.sent()) == 1, "it did not keep the admins from being told"


async def test_a_webhook_that_is_not_there_says_nothing_of_its_address(house: House) -> None:
    lines: list[str] = []
    sink = logger.add(lines.append, level="DEBUG")
    house.start(webhook="http://127.0.0.1:9/s3cr3t")
    await house.look()
    house.inngest.become(False)
    await house.look()
    logger.remove(sink)
    assert any("did not take incident" in line for line in lines)
    assert not any("s3cr3t" in line for line in lines)
    assert len(await house.sent()) == 1
