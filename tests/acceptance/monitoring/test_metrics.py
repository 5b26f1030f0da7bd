"""A running bot: a real order moves the numbers of /metrics, each once; an admin is told that Inngest is away."""

import aiohttp

from tests.support.environments.environment import Stage, until
from tests.support.processes.bot_process import BotProcess
from tests.support.test_data.metric_samples import Samples


async def read(bot: BotProcess) -> Samples:
    async with aiohttp.ClientSession() as session, session.get(f"{bot.url}/metrics") as response:
        assert response.status == 200
        return Samples(await response.text())


async def test_orders_on_both_plans_move_the_numbers_once_each(stage: Stage) -> None:
    bot = await stage.start_bot()
    ann = stage.person()
    await ann.quick_order()
    await stage.ended_jobs(1)
    await stage.set_mode("b")
    await until(lambda: goes_to(stage, bot, "B"), what="the mode is obeyed")
    await stage.telegram.fault(method="sendPhoto", code=429, retry_after=1)
    await ann.quick_order("a castle")
    await stage.ended_jobs(2)

    async def counted() -> Samples | None:
        samples = await read(bot)
        return samples if samples.get("diptych_jobs_ended_total") == 2 else None

    samples = await until(counted, what="both ends are counted")
    for plan in ("A", "B"):
        about = {"service": "text_to_image", "plan": plan}
        assert samples.get("diptych_jobs_ended_total", end="succeeded", **about) == 1
        assert samples.get("diptych_job_seconds_count", **about) == 1
        assert samples.get("diptych_job_waiting_seconds_count", **about) == 1
    assert samples.get("diptych_provider_calls_total", provider="replicate", method="start") == 2
    assert samples.get("diptych_provider_errors_total") is None
    assert samples.get("diptych_telegram_calls_total", method="sendPhoto", outcome="429") == 1
    assert samples.get("diptych_telegram_calls_total", method="sendPhoto", outcome="ok") == 2
    assert samples.get("diptych_telegram_wait_seconds_total") == 1
    assert samples.get("diptych_ledger_stars", account="revenue") == 2
    assert samples.get("diptych_jobs_open") is None, "nothing runs or waits"
    assert samples.get("diptych_plan_a_state", state="ok") == 1
    assert (samples.get("diptych_loop_lag_seconds_count") or 0) > 0


async def goes_to(stage: Stage, bot: BotProcess, plan: str) -> bool:
    return bool((await stage.health(bot))["plan"]["text_to_image"] == plan)


async def test_an_admin_hears_that_inngest_is_away(stage: Stage) -> None:
    await stage.start_bot(ADMIN_IDS="7", ALERT_QUIET_HOURS="0-23", METRICS_TOKEN="t0ken")
    admin = stage.person(7)
    await admin.say("/start")
    await stage.inngest.unplug()
    message = await admin.sees("Inngest is away")
    assert "orders run on Plan B at once" in message["text"]
    async with aiohttp.ClientSession() as session, session.get(f"{stage.bots[0].url}/metrics") as response:
        assert response.status == 401
