"""The dashboard: who may log in, what it shows of real rows, and that no other site can change anything."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from storage.dashboard_links import add_link, use_link
from storage.pool import Pool
from storage.reports.dashboard import ended_stats
from tests.support.environments.dashboard import (
    ADMIN,
    PUBLIC_URL,
    DashboardApp,
    open_dashboard_app,
    page_text,
)
from tests.support.test_data.factories import add_job, add_user
from web.dashboard import live_snapshot as live_snapshot_module
from web.dashboard import stream as stream_module
from web.dashboard.access import COOKIE

PAGES = ("/dashboard", "/dashboard/jobs", f"/dashboard/jobs/{'0' * 32}", "/dashboard/stream")
ACTIONS = ("mode", "leave", *(f"jobs/{'0' * 32}/{what}" for what in ("retry", "cancel", "refund")))


@pytest.fixture
async def dashboard_app(db: Pool, tmp_path: Path) -> AsyncIterator[DashboardApp]:
    async with open_dashboard_app(db, tmp_path, admins=frozenset({ADMIN})) as dashboard_app:
        yield dashboard_app


def path_of(link: str) -> str:
    assert link.startswith(f"{PUBLIC_URL}/dashboard/enter/")
    return link.removeprefix(PUBLIC_URL)


# ---------------------------------------------------------------- links and sessions
async def test_link_shows_a_button_and_logs_in_once(dashboard_app: DashboardApp) -> None:
    link = path_of(await dashboard_app.auth.create_link(ADMIN))
    for _ in range(2):  # Telegram's link preview requests it first, and must not use it up
        page = await dashboard_app.get(link)
        assert page.status == 200
        assert "Open the dashboard" in page.text
        assert page.cookies == {}
    entered = await dashboard_app.request("POST", link, headers={})
    assert (entered.status, entered.headers["Location"]) == (303, "/dashboard")
    cookie = entered.headers["Set-Cookie"]
    for flag in ("HttpOnly", "SameSite=Lax", "Secure", "Path=/dashboard", "Max-Age=43200"):
        assert flag in cookie
    again = await dashboard_app.request("POST", link, headers={})
    assert again.status == 403
    assert "has been used" in page_text(again.text)
    assert again.cookies == {}
    dashboard_app.cookie = entered.cookies[COOKIE]
    assert (await dashboard_app.get("/dashboard")).status == 200


async def test_link_used_many_times_at_once_logs_in_once(dashboard_app: DashboardApp) -> None:
    link = path_of(await dashboard_app.auth.create_link(ADMIN))
    answers = await asyncio.gather(*(dashboard_app.request("POST", link, headers={}) for _ in range(8)))
    assert sorted(answer.status for answer in answers) == [303] + [403] * 7


async def test_use_link_concurrently_succeeds_once_and_never_after_expiry(db: Pool) -> None:
    await add_link(db, b"good", ADMIN, seconds=60)
    await add_link(db, b"late", ADMIN, seconds=0)
    assert sorted(await asyncio.gather(*(use_link(db, b"good") for _ in range(5))), key=str) == [
        ADMIN,
        *[None] * 4,
    ]
    assert await use_link(db, b"late") is None
    assert await use_link(db, b"none") is None


async def test_forged_and_expired_links_are_refused(dashboard_app: DashboardApp, db: Pool) -> None:
    link = path_of(await dashboard_app.auth.create_link(ADMIN))
    assert await db.fetchval("SELECT octet_length(token_hash) FROM dashboard_links") == 32
    forged = [
        f"{link[:-1]}{'0' if link[-1] != '0' else '1'}",
        "/dashboard/enter/x",
        f"/dashboard/enter/%ff{link[20:]}",
    ]
    for path in forged:
        for method in ("GET", "POST"):
            answer = await dashboard_app.request(method, path, headers={})
            assert answer.status == 403, path
            assert "not one of our links" in page_text(answer.text)
            assert "/dashboard" in answer.text, "the page explains how to get a valid one"
    await db.execute("UPDATE dashboard_links SET expires_at = now()")
    for method in ("GET", "POST"):
        answer = await dashboard_app.request(method, link, headers={})
        assert answer.status == 403
        assert "has run out" in page_text(answer.text)
    await dashboard_app.auth.create_link(ADMIN)
    assert await db.fetchval("SELECT count(*) FROM dashboard_links WHERE used_at IS NOT NULL") == 0


@pytest.mark.parametrize(
    ("host", "headers", "status"),
    [
        ("127.0.0.1", {}, 200),
        ("127.0.0.1", {"Host": "evil.example"}, 403),
        ("127.0.0.1", {"Host": "127.0.0.1.evil.example:3001"}, 403),
        ("127.0.0.1", {"X-Forwarded-For": "127.0.0.1"}, 403),
        ("0.0.0.0", {}, 403),
        (None, {}, 403),
    ],
)
async def test_dashboard_without_login_is_open_only_in_a_sandbox_on_loopback(
    db: Pool, tmp_path: Path, host: str | None, headers: dict[str, str], status: int
) -> None:
    async with open_dashboard_app(db, tmp_path, sandbox_host=host, admins=frozenset({ADMIN})) as dashboard_app:
        answer = await dashboard_app.get("/dashboard", **headers)
        assert answer.status == status
        if status == 200:
            dashboard_app.cookie = answer.cookies[COOKIE]
            assert (await dashboard_app.get("/dashboard/jobs")).status == 200
            assert (await dashboard_app.submit("/dashboard/mode", mode="b")).status == 303


async def test_pages_forbid_inline_and_foreign_content(dashboard_app: DashboardApp) -> None:
    await dashboard_app.login()
    for path in ("/dashboard", "/dashboard/jobs", "/dashboard/nothing", "/dashboard/static/live.js"):
        answer = await dashboard_app.get(path)
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'self';")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert not any(
            word in answer.text for word in ("<style", "style=", "onclick=", "<script>", "http://", "https://")
        )
    assert (await dashboard_app.get("/dashboard/")).headers["Location"] == "/dashboard"


# ---------------------------------------------------------------- actions need their token
async def test_action_without_its_token_is_refused(dashboard_app: DashboardApp, db: Pool) -> None:
    paths = [f"/dashboard/{action}" for action in ACTIONS]
    for path in paths:
        assert (await dashboard_app.request("POST", path, headers={}, data={"mode": "b"})).status == 403, (
            "no session"
        )
    await dashboard_app.login()
    other = dashboard_app.auth.action_token(dashboard_app.auth.start_session(ADMIN))
    refused: list[dict[str, Any]] = [
        {"token": ""},
        {"token": "0" * 32},
        {"token": other},
        {"headers": {"Origin": "https://evil.example"}},
        {"headers": {"Origin": "null"}},
        {"headers": {"Sec-Fetch-Site": "cross-site"}},
        {"headers": {"Sec-Fetch-Site": "same-site"}},
    ]
    for path in paths:
        for wrong in refused:
            answer = await dashboard_app.submit(path, **wrong, mode="b")
            assert (answer.status, "Not done" in answer.text) == (403, True), (path, wrong)
        assert (await dashboard_app.get(path)).status == 405
    assert await db.fetchval("SELECT count(*) FROM settings") == 0


async def test_mode_change_is_applied_and_logged_with_its_admin(dashboard_app: DashboardApp, db: Pool) -> None:
    await dashboard_app.login()
    origin = {"Origin": PUBLIC_URL, "Sec-Fetch-Site": "same-origin"}
    assert (await dashboard_app.submit("/dashboard/mode", headers=origin, mode="b")).status == 303
    router = dashboard_app.router
    assert router.default_mode == "b"
    as_script = {"Accept": "application/json", "X-Action-Token": dashboard_app.token}
    answer = await dashboard_app.submit("/dashboard/mode", token="", headers=as_script, mode="a", service="speech")
    assert json.loads(answer.text) == {"message": "Switched, in every process"}
    assert router.service_mode("speech") == "a"
    assert (await dashboard_app.submit("/dashboard/mode", mode="follow", service="speech")).status == 303
    assert router.service_mode("speech") is None
    for wrong in ({"mode": "c"}, {"mode": "follow"}, {"mode": "a", "service": "no_such"}, {}):
        assert (await dashboard_app.submit("/dashboard/mode", **wrong)).status == 400
    log = await db.fetch("SELECT key, value, changed_by FROM settings_log ORDER BY id")
    assert [tuple(row) for row in log] == [
        ("mode", "b", ADMIN),
        ("mode:speech", "a", ADMIN),
        ("mode:speech", None, ADMIN),
    ]


async def test_logout_deletes_the_cookie(dashboard_app: DashboardApp) -> None:
    await dashboard_app.login()
    answer = await dashboard_app.submit("/dashboard/leave")
    assert answer.status == 200
    assert answer.cookies == {COOKIE: ""}


# ---------------------------------------------------------------- live numbers
async def read_stream(dashboard_app: DashboardApp, wanted: int = 1) -> dict[str, Any]:
    """Return the sections of the stream after this many pulses."""
    sections: dict[str, Any] = {}
    name, pulses = "", 0
    cookies = {COOKIE: dashboard_app.cookie}
    async with (
        aiohttp.ClientSession(cookies=cookies) as session,
        session.get(f"{dashboard_app.url}/dashboard/stream") as response,
    ):
        assert response.headers["Content-Type"] == "text/event-stream"
        async for raw in response.content:
            line = raw.decode().rstrip("\r\n")
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: ") and len(line) > 6:
                sections[name] = json.loads(line.removeprefix("data: "))
                pulses += name == "pulse"
                if pulses == wanted:
                    return sections
    return sections


async def test_stream_shows_what_is_in_the_tables(dashboard_app: DashboardApp, db: Pool) -> None:
    await dashboard_app.login()
    await add_user(db)
    for plan, took, waited in (("A", 4.0, 1.0), ("A", 6.0, 3.0), ("B", 10.0, 0.5)):
        job = await dashboard_app.add_finished_job("succeeded", plan=plan)
        await dashboard_app.backdate(job.id, seconds=120, took=took, waited=waited)
    failed = await dashboard_app.add_finished_job("failed", plan="A", failure="failure.busy")
    await dashboard_app.backdate(failed.id, seconds=130, took=1, waited=1)
    cancelled = await dashboard_app.add_finished_job("cancelled")
    await dashboard_app.backdate(cancelled.id, seconds=60, took=900, waited=900)
    old = await dashboard_app.add_finished_job("succeeded")
    await dashboard_app.backdate(old.id, seconds=3700, took=1, waited=1)
    fell_back = await add_job(db, fell_back=True)
    await add_job(db, service="speech", plan="A")
    await db.execute("INSERT INTO incidents (kind, opened_at, last_seen_at) VALUES ('plan_a_away', now(), now())")
    await dashboard_app.router.set_mode("b", service="speech", changed_by=ADMIN)

    sections = await read_stream(dashboard_app)
    plans = sections["plans"]
    assert (plans["A"]["succeeded"], plans["A"]["failed"], plans["B"]["succeeded"]) == (2, 1, 1)
    assert plans["A"]["took"] == pytest.approx([5.0, 5.9], abs=0.01)
    assert plans["A"]["waited"][0] == pytest.approx(1.0, abs=0.01)
    assert plans["B"]["took"][0] == pytest.approx(10.0, abs=0.01)
    assert plans["B"]["waited"] == pytest.approx([0.5, 0.5], abs=0.01), "a cancelled order counts for no plan"
    assert (plans["A"]["queued"], plans["B"]["queued"], plans["fell_back"]) == (1, 1, 1)
    assert (plans["mode"], plans["healthy"]) == ("auto", False)
    minutes = sections["minutes"]
    assert len(minutes["A"]["succeeded"]) == 60
    assert (sum(minutes["A"]["succeeded"]), sum(minutes["A"]["failed"]), sum(minutes["B"]["succeeded"])) == (
        2,
        1,
        1,
    )
    services = {service["id"]: service for service in sections["services"]}
    assert (services["text_to_image"]["succeeded"], services["text_to_image"]["failed"]) == (3, 1)
    assert (services["speech"]["mode"], services["speech"]["goes_to"]) == ("b", "B")
    assert services["speech"]["queued"] == {"A": 1, "B": 0}
    lines = {line["kind"]: line for line in sections["timeline"]}
    assert lines["fell_back"]["title"] == "1 order fell back to Plan B"
    assert lines["fell_back"]["jobs"] == [str(fell_back.id)]
    assert lines["mode"]["title"] == "🔊 Text to speech: mode B: inline alone"
    assert lines["mode"]["detail"] == f"set by {ADMIN}"
    assert lines["incident"]["title"] == "Incident: plan a away"
    money = {name: (sums.get("moves"), sums["stars"]) for name, sums in sections["money"].items()}
    nothing = dict.fromkeys(("paid", "paid_back", "given_back"), (0, 0))
    assert money == {**nothing, "earned": (4, 16), "gifts": (1, 100), "held": (None, 8)}
    assert [job["state"] for job in sections["jobs"]][:2] == ["queued", "queued"]
    assert str(cancelled.id) in [job["id"] for job in sections["jobs"]]


async def test_stream_shows_health_with_the_next_pulse(
    dashboard_app: DashboardApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (live_snapshot_module, stream_module):
        monkeypatch.setattr(module, "INTERVAL_SECONDS", 0.05)
    await dashboard_app.login()
    sections = await read_stream(dashboard_app, 2)
    assert sections["health"]["telegram"] == "unavailable: TelegramNetworkError"


async def test_concurrent_streams_share_one_database_query(
    dashboard_app: DashboardApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries = 0

    async def counted(db: Any) -> Any:
        nonlocal queries
        queries += 1
        return await ended_stats(db)

    monkeypatch.setattr(live_snapshot_module, "ended_stats", counted)
    await dashboard_app.login()
    await asyncio.gather(*(read_stream(dashboard_app) for _ in range(5)))
    assert queries == 1


async def test_stream_with_an_unavailable_database_reports_it(
    dashboard_app: DashboardApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse_connection(db: Any) -> Any:
        raise ConnectionRefusedError

    await dashboard_app.login()
    monkeypatch.setattr(live_snapshot_module, "ended_stats", refuse_connection)
    cookies = {COOKIE: dashboard_app.cookie}
    async with (
        aiohttp.ClientSession(cookies=cookies) as session,
        session.get(f"{dashboard_app.url}/dashboard/stream") as response,
    ):
        first_section = (await response.content.readuntil(b"}")).partition(b"data: {")[2]
    assert json.loads(b"{" + first_section) == {"database": "ConnectionRefusedError"}
