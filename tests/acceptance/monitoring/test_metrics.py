"""A running bot: real orders change the numbers of /metrics once, and an Inngest outage notifies the admin."""

import aiohttp

from tests.support.environments.environment import Environment, wait_until
from tests.support.processes.bot_process import BotProcess
from tests.support.test_data.metric_samples import MetricSamples


async def read_metrics(bot: BotProcess) -> MetricSamples:
    async with aiohttp.ClientSession() as session, session.get(f"{bot.url}/metrics") as response:
        assert response.status == 200
        return MetricSamples(await response.text())


async def test_metrics_count_orders_on_both_plans_once(environment: Environment) -> None:
    bot = await environment.start_bot()
    ann = environment.user()
    await ann.order_by_prompt()
    await environment.wait_for_ended_jobs(1)
    await environment.set_mode("b")
    await wait_until(lambda: has_plan(environment, bot, "B"), what="the mode has changed")
    await environment.telegram.add_fault(method="sendPhoto", code=429, retry_after=1)
    await ann.order_by_prompt("a castle")
    await environment.wait_for_ended_jobs(2)

    async def counted() -> MetricSamples | None:
        samples = await read_metrics(bot)
        return samples if samples.get("diptych_jobs_ended_total") == 2 else None

    samples = await wait_until(counted, what="both ends are counted")
    for plan in ("A", "B"):
        labels = {"service": "text_to_image", "plan": plan}
        assert samples.get("diptych_jobs_ended_total", end="succeeded", **labels) == 1
        assert samples.get("diptych_job_seconds_count", **labels) == 1
        assert samples.get("diptych_job_waiting_seconds_count", **labels) == 1
    assert samples.get("diptych_provider_calls_total", provider="replicate", method="start") == 2
    assert samples.get("diptych_provider_errors_total") is None
    assert samples.get("diptych_telegram_calls_total", method="sendPhoto", outcome="429") == 1
    assert samples.get("diptych_telegram_calls_total", method="sendPhoto", outcome="ok") == 2
    assert samples.get("diptych_telegram_wait_seconds_total") == 1
    assert samples.get("diptych_ledger_stars", account="revenue") == 2
    assert samples.get("diptych_jobs_open") is None, "nothing runs or waits"
    assert samples.get("diptych_plan_a_state", state="ok") == 1
    assert (samples.get("diptych_loop_lag_seconds_count") or 0) > 0


async def has_plan(environment: Environment, bot: BotProcess, plan: str) -> bool:
    return bool((await environment.health(bot))["plan"]["text_to_image"] == plan)


async def test_inngest_outage_notifies_the_admin(environment: Environment) -> None:
    await environment.start_bot(ADMIN_IDS="7", ALERT_QUIET_HOURS="0-23", METRICS_TOKEN="t0ken")
    admin = environment.user(7)
    await admin.send_text("/start")
    await environment.inngest.close_ports()
    message = await admin.wait_for_text("Inngest is away")
    assert "orders run on Plan B at once" in message["text"]
    async with aiohttp.ClientSession() as session, session.get(f"{environment.bots[0].url}/metrics") as response:
        assert response.status == 401
