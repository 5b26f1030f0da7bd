"""How incidents are reported: through a failing Telegram, in quiet hours, and to the webhook."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from loguru import logger

from services.monitoring.alert_messages import QuietHours
from tests.support.environments.incidents import ADMIN_EN, ADMIN_RU, USER, IncidentSimulation


async def test_admin_notified_late_is_notified_once(simulation: IncidentSimulation) -> None:
    """Telegram refuses for a minute: the message arrives later, and no other admin gets it twice."""
    simulation.start_process()
    await simulation.check_once()
    await simulation.telegram.add_fault(method="sendMessage", code=500, chat_id=ADMIN_EN, times=4)
    simulation.inngest.set_health(False)
    await simulation.advance(90)
    assert (len(await simulation.sent_messages(ADMIN_EN)), len(await simulation.sent_messages(ADMIN_RU))) == (1, 1)
    attempts = await simulation.telegram.api_calls("sendMessage")
    assert len(attempts) == 6, "at most one attempt every 15 s, and one for the admin who was notified at once"


async def test_lost_responses_of_telegram_cause_no_flood(simulation: IncidentSimulation) -> None:
    """Telegram accepts each message but the response is lost: it is sent again, less and less often."""
    simulation.start_process()
    await simulation.check_once()
    await simulation.telegram.add_fault(method="sendMessage", drop=True, after=True, chat_id=ADMIN_EN, times=100)
    simulation.inngest.set_health(False)
    await simulation.advance(600)
    attempts = [
        c for c in await simulation.telegram.api_calls("sendMessage") if c["params"]["chat_id"] == str(ADMIN_EN)
    ]
    assert 3 <= len(attempts) <= 5


async def test_admin_who_blocked_the_bot_is_tried_once(simulation: IncidentSimulation) -> None:
    simulation.start_process()
    await simulation.check_once()
    await simulation.telegram.add_fault(method="sendMessage", code=403, chat_id=ADMIN_EN, times=100)
    simulation.inngest.set_health(False)
    await simulation.advance(60)
    simulation.inngest.set_health(True)
    await simulation.wait_until_resolved()
    attempts = [
        c for c in await simulation.telegram.api_calls("sendMessage") if c["params"]["chat_id"] == str(ADMIN_EN)
    ]
    assert len(attempts) == 1
    assert len(await simulation.edited_texts(ADMIN_RU)) == 2


async def test_failed_edit_is_retried(simulation: IncidentSimulation) -> None:
    simulation.start_process()
    await simulation.check_once()
    simulation.inngest.set_health(False)
    await simulation.check_once()
    simulation.inngest.set_health(True)
    await simulation.telegram.add_fault(method="editMessageText", code=502, chat_id=ADMIN_EN, times=3)
    await simulation.wait_until_resolved()
    await simulation.wait_until_resolved()
    assert (await simulation.edited_texts())[-1].startswith("🟢")
    assert (len(await simulation.sent_messages()), await simulation.open_incident_kinds()) == (1, [])


async def test_quiet_hours_do_not_apply_to_money(simulation: IncidentSimulation) -> None:
    simulation.clock.now = simulation.clock.now.replace(hour=23)
    simulation.start_process(quiet_hours=QuietHours(23, 7))
    await simulation.check_once()
    simulation.inngest.set_health(False)
    await simulation.db.execute("UPDATE balances SET available = available + 1 WHERE user_id = $1", USER)
    await simulation.advance(300, step=60)
    sounds = {
        message["text"].split("</b>")[0]: message.get("disable_notification", "false")
        for message in await simulation.sent_messages()
    }
    assert sounds == {"🔴 <b>Inngest is away": "true", "🔴 <b>The ledger check failed": "false"}


@pytest.mark.parametrize(
    ("begin", "end", "quiet"),
    [(23, 7, [23, 0, 1, 2, 3, 6]), (1, 3, [1, 2]), (0, 0, [])],
    ids=["night", "day", "never"],
)
def test_quiet_hours_contain_the_hours_between_begin_and_end(begin: int, end: int, quiet: list[int]) -> None:
    day = datetime(2026, 5, 4, 0, 59, tzinfo=UTC)
    held = [
        hour for hour in (23, 0, 1, 2, 3, 6, 7, 12, 22) if QuietHours(begin, end).contains(day.replace(hour=hour))
    ]
    assert held == quiet


# ---------------------------------------------------------------- the webhook


@dataclass
class AlertReceiver:
    """What ALERT_WEBHOOK_URL points at. `refusals` are the statuses of its first answers."""

    refusals: list[int] = field(default_factory=list)
    attempts: int = 0
    accepted: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""

    async def receive(self, request: web.Request) -> web.Response:
        self.attempts += 1
        if self.refusals:
            return web.Response(status=self.refusals.pop(0), headers={"Location": "/other"})
        self.accepted.append(await request.json())
        return web.Response()


@pytest.fixture
async def receiver() -> AsyncIterator[AlertReceiver]:
    receiver = AlertReceiver()
    app = web.Application()
    app.router.add_post("/hook", receiver.receive)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield receiver
    await runner.cleanup()


async def test_webhook_gets_the_opening_and_the_closing_once(
    simulation: IncidentSimulation, receiver: AlertReceiver
) -> None:
    for _ in range(2):
        simulation.start_process(webhook=receiver.url)
    await simulation.check_once()
    simulation.inngest.set_health(False, "unavailable: https://inn.gs/e/s3cr3t")
    await simulation.advance(60)
    simulation.inngest.set_health(True)
    await simulation.wait_until_resolved()
    opened, closed = receiver.accepted
    assert (opened["kind"], opened["status"], opened["closed_at"]) == ("fallback", "opened", None)
    assert (closed["id"], closed["status"]) == (opened["id"], "closed")
    assert closed["closed_at"] > opened["opened_at"]
    assert opened["text"].startswith("🔴 Inngest is away\n")
    assert "s3cr3t" not in str(receiver.accepted) + str(opened)


async def test_webhook_is_retried_until_it_accepts(
    simulation: IncidentSimulation, receiver: AlertReceiver
) -> None:
    simulation.start_process(webhook=receiver.url)
    receiver.refusals = [500, 404, 302, 429]
    await simulation.check_once()
    simulation.inngest.set_health(False)
    await simulation.check_once()
    simulation.inngest.set_health(True)
    await simulation.advance(180)
    assert receiver.accepted == []
    await simulation.advance(240)
    assert [each["status"] for each in receiver.accepted] == ["opened", "closed"]
    assert receiver.attempts == 6
    assert len(await simulation.sent_messages()) == 1, (
        "the failing webhook did not keep the admins from being notified"
    )


async def test_unreachable_webhook_does_not_log_its_url(simulation: IncidentSimulation) -> None:
    lines: list[str] = []
    sink = logger.add(lines.append, level="DEBUG", format="{message} {extra}")
    simulation.start_process(webhook="http://127.0.0.1:9/s3cr3t")
    await simulation.check_once()
    simulation.inngest.set_health(False)
    await simulation.check_once()
    logger.remove(sink)
    assert any("alert webhook failed" in line for line in lines)
    assert not any("s3cr3t" in line for line in lines)
    assert len(await simulation.sent_messages()) == 1
