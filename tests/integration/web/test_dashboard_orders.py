"""Orders on the dashboard: the search, and each order in full detail, without secrets."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from storage.jobs.journal import finish_step
from storage.pool import Pool
from tests.support.environments.dashboard import ADMIN, DashboardApp, open_dashboard_app, page_text
from tests.support.test_data.factories import add_job, add_user
from web.dashboard.formatting import format_duration
from web.dashboard.order_detail import DetailEntry, fold_polls


@pytest.fixture
async def dashboard_app(db: Pool, tmp_path: Path) -> AsyncIterator[DashboardApp]:
    async with open_dashboard_app(db, tmp_path, admins=frozenset({ADMIN})) as dashboard_app:
        await dashboard_app.login()
        yield dashboard_app


async def test_orders_are_found_by_id_user_state_service_and_plan(dashboard_app: DashboardApp, db: Pool) -> None:
    for user in (1001, 1002):
        await add_user(db, user)
    image = await dashboard_app.add_finished_job("succeeded", plan="A")
    speech = await add_job(db, 1002, service="speech")
    failed = await dashboard_app.add_finished_job("failed", user_id=1002, failure="failure.busy")

    async def found(query: str) -> set[str]:
        answer = await dashboard_app.get(f"/dashboard/jobs?{query}")
        assert answer.status == 200
        return {str(job.id) for job in (image, speech, failed) if f"/jobs/{job.id}" in answer.text}

    every = {str(job.id) for job in (image, speech, failed)}
    assert await found("") == every
    assert await found(f"q={str(image.id)[:11].upper()}") == {str(image.id)}
    assert await found(f"q={image.id.hex[:5]}") >= {str(image.id)}
    assert await found("q=1002") == {str(speech.id), str(failed.id)}
    assert await found("q=1002&state=failed") == {str(failed.id)}
    assert await found("service=speech") == {str(speech.id)}
    assert await found("plan=A") == {str(image.id)}
    assert await found("q=1001&plan=B") == set()
    for nothing in ("q=%27%3B+drop", "q=-", "q=" + "9" * 40, "older=nonsense_x&state=none"):
        assert await found(nothing) == set()


async def test_older_page_continues_after_the_last_order(dashboard_app: DashboardApp, db: Pool) -> None:
    await add_user(db, credits=1000)
    jobs = [await add_job(db) for _ in range(30)]
    first = await dashboard_app.get("/dashboard/jobs?q=1001")
    (older,) = {part.split('"')[0] for part in first.text.split('href="') if "older=" in part.split('"')[0]}
    second = await dashboard_app.get(older.replace("&amp;", "&"))
    on_first = [job for job in jobs if f"/jobs/{job.id}" in first.text]
    on_second = [job for job in jobs if f"/jobs/{job.id}" in second.text]
    assert (len(on_first), len(on_second)) == (25, 5)
    assert not {job.id for job in on_first} & {job.id for job in on_second}
    assert "data-refresh" in first.text
    assert "data-refresh" not in second.text, "an older page does not move under the reader"


async def test_order_page_shows_steps_events_transfers_and_messages_without_secrets(
    dashboard_app: DashboardApp, db: Pool
) -> None:
    await add_user(db)
    secret = "https://api.telegram.org/file/bot1000000001:acceptance-tests-only/photos/1.jpg"
    job = await dashboard_app.add_finished_job(
        "succeeded",
        result={"media": [{"kind": "photo", "output": secret}], "message_ids": [41], "file_ids": ["f"]},
        progress_message_id=40,
    )
    stored = {"value": {"outputs": [secret], "token": "abc", "detail": "Bearer r8_abcdefghij"}}
    add_step = (
        "INSERT INTO journal (job_id, step, epoch, plan, ended_at, result) VALUES ($1, $2, 1, 'B', now(), $3)"
    )
    await db.execute(add_step, job.id, "poll-1", stored)
    text = page_text((await dashboard_app.get(f"/dashboard/jobs/{job.id}")).text)
    for part in (
        "Accepted",
        "Started",
        "Ended: succeeded",
        "moderate",
        "deliver",
        "epoch 1",
        "4 ⭐ set aside",
        "4 ⭐ paid",
        "message 40",
        "message 41",
        "Done · 4 ⭐",
        "−4 ⭐ · balance 96 ⭐",
        "1 photo",
        "a lighthouse",
        "https://api.telegram.org/…",
    ):
        assert part in text, part
    for hidden in ("acceptance-tests-only", "photos/1.jpg", "abc", "r8_"):
        assert hidden not in text, hidden
    assert (await dashboard_app.get(f"/dashboard/jobs/{'1' * 32}")).status == 404
    assert (await dashboard_app.get("/dashboard/jobs/nonsense")).status == 404


async def test_order_page_shows_a_failure_in_the_users_language(dashboard_app: DashboardApp, db: Pool) -> None:
    await add_user(db)
    job = await add_job(db, language="ru", progress_message_id=5)
    await db.execute("UPDATE jobs SET state = 'running', epoch = 1, worker_id = 'x' WHERE id = $1", job.id)
    failure = {
        "type": "InvalidRequest",
        "key": "input.too_large",
        "detail": "",
        "params": {"size": "21.0", "limit": 20},
    }
    assert await finish_step(db, job.id, "moderate", 1, {"failure": failure})
    assert await finish_step(db, job.id, "notify", 1, {"value": None})
    await db.execute("UPDATE jobs SET state = 'failed', failure = 'input.too_large', ended_at = now()")
    text = page_text((await dashboard_app.get(f"/dashboard/jobs/{job.id}")).text)
    assert dashboard_app.texts.t("ru", "input.too_large", size="21.0", limit=20) in text
    assert "Ended: failed input.too_large" in text


def test_fold_polls_with_many_in_a_row_makes_one_entry() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)

    def lines(count: int, **more: Any) -> list[DetailEntry]:
        return [DetailEntry("step", f"poll-{number}", moment, "+1 s", **more) for number in range(count)]

    begin, end = DetailEntry("step", "start-1", moment, "+0 s"), DetailEntry("event", "Ended", moment, "+9 s")
    folded = fold_polls([begin, *lines(9), end])
    assert [line.title for line in folded] == ["start-1", "8 provider polls", "poll-8", "Ended"]
    assert [line.title for line in folded[1].folded] == [f"poll-{number}" for number in range(8)]
    assert len(fold_polls([begin, *lines(4), end])) == 6
    assert len(fold_polls([begin, *lines(9, trouble=True), end])) == 11, "entries with trouble are never folded"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (-1, "0 ms"), (0.0424, "42 ms"), (0.9999, "1.0 s"), (9.96, "10 s"), (59.6, "1 min"),
     (61, "1 min 1 s"), (3599.7, "1 h"), (7260, "2 h 1 min")],
)  # fmt: skip
def test_format_duration_units(seconds: float | None, text: str) -> None:
    assert format_duration(seconds) == text
