"""How incidents are told: by a Telegram that fails, in quiet hours, and to the webhook."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from loguru import logger

from services.monitoring.alert_messages import QuietHours
from tests.support.environments.incidents import ANN, BORIS, PERSON, House


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
