"""The log of a bot process as a machine reads it: each failure once, with the ids of what it belongs to."""

import json
from typing import Any

import pytest

from tests.support.environments.environment import Environment, PlanName, wait_until
from tests.support.processes.bot_process import BotProcess


def read_log(bot: BotProcess) -> list[dict[str, Any]]:
    return [json.loads(line) for line in bot.log.read_text().splitlines()]


def ids_of(line: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: line.get(name) for name in names}


@pytest.mark.parametrize("plan", ["A", "B"])
async def test_failed_order_is_logged_once_with_its_ids(environment: Environment, plan: PlanName) -> None:
    if plan == "B":
        await environment.inngest.close_ports()
    bot = await environment.start_bot(ready=plan == "A", LOG_FORMAT="json")
    ann = environment.user()
    await environment.telegram.add_fault(method="sendPhoto", code=400, description="Bad Request: PHOTO_INVALID")
    await ann.order_by_prompt()
    (job,) = await environment.wait_for_ended_jobs()

    async def job_lines() -> list[dict[str, Any]]:
        lines = [line for line in read_log(bot) if line.get("job") == str(job["id"])]
        return lines if lines and lines[-1]["event"] == "job ended" else []

    lines = await wait_until(job_lines)
    assert [line["event"] for line in lines] == ["job accepted", "job claimed", "step failed", "job ended"]
    expected = {"service": "text_to_image", "user": ann.id, "plan": plan}
    assert all(ids_of(line, "service", "user", "plan") == expected for line in lines)
    failed, ended = lines[2:]
    assert (failed["step"], failed["level"]) == ("deliver", "WARNING")
    assert "PHOTO_INVALID" in failed["error"]
    assert ids_of(ended, "state", "failure") == {"state": "failed", "failure": "failure.delivery"}


async def test_failed_update_is_logged_with_its_ids(environment: Environment) -> None:
    bot = await environment.start_bot(ready=False, LOG_FORMAT="json")
    ann = environment.user()
    await environment.telegram.add_fault(method="sendMessage", code=500)
    await ann.send_text("/start")
    await ann.wait_for_text(ann.text("failure.handler"))
    (line,) = [line for line in read_log(bot) if line["event"].startswith("update failed")]
    assert ids_of(line, "bot", "user", "chat") == {"bot": "main", "user": ann.id, "chat": ann.id}
    assert line["update"] > 0
