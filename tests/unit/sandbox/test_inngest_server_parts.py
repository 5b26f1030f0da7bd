"""Parts of the Inngest server: expressions, durations, cron, limits, keys, event ids."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from inngest._internal import net, server_lib, transforms

from sandbox.inngest.clock import Clock
from sandbox.inngest.events import EventError, event_id_from_seed, read_events, ulid
from sandbox.inngest.functions.config import FunctionConfig, validation_errors
from sandbox.inngest.functions.expressions import ExpressionError, evaluate, is_expression_true
from sandbox.inngest.functions.timing import next_cron_time, parse_duration, seconds_until
from sandbox.inngest.keys import ServerKeys
from sandbox.inngest.rate_limits import DAY_SECONDS, ConcurrencyLimiter, RateLimiter, RecentKeys, ThrottleLimit

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
NAMES = {
    "event": {"data": {"job_id": "7", "n": 3, "list": ["a"], "flag": True, "text": "a && !b"}, "name": "x"},
    "async": {"data": {"job_id": "7", "x": None}},
}


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("event.data.job_id == async.data.job_id", True),
        ("async.data.job_id == event.data.job_id && event.data.n > 2", True),
        ("event.data.n > 3 || event.name == 'x'", True),
        ("!(event.data.flag == true)", False),
        ("event.data.flag != false", True),
        ('event.data.text == "a && !b"', True),
        ("event.data.missing.deeper == null", True),
        ("event.data['job_id'] + '-' + event.name", "7-x"),
        ("event.data.list[0] in ['a', 'b']", True),
        ("event.data.job_id.startsWith('7') && size(event.data.list) == 1", True),
        ("has(event.data.nothing)", False),
        ("event.data.n > 1 ? 2 : 3", 2),
        ("event.data.n > 9 ? 2 : event.data.flag == true ? 'a?b:c' : 3", "a?b:c"),
        ("size(event.data.missing == null ? [1, 2] : [3]) in [(event.data.flag ? 2 : 1), 7]", True),
    ],
)
def test_expression_is_evaluated(expression: str, value: object) -> None:
    assert evaluate(expression, NAMES) == value


@pytest.mark.parametrize(
    "expression",
    ["event.data.", "__import__('os').system('x')", "[x for x in event]", "a b", "event.data.n ? 1", "(event"],
)
def test_unsupported_expression_raises(expression: str) -> None:
    with pytest.raises(ExpressionError):
        evaluate(expression, NAMES)


def test_expression_is_true_only_for_the_value_true() -> None:
    assert is_expression_true(None, NAMES)
    assert not is_expression_true("event.data.job_id", NAMES)
    assert not is_expression_true("event.data.missing > 3", NAMES)


@pytest.mark.parametrize(
    ("text", "length"),
    [("30s", 30), ("1h30m", 5400), ("24h0m0s", DAY_SECONDS), ("2w", 14 * DAY_SECONDS), ("500ms", 0.5)],
)
def test_duration_is_parsed(text: str, length: float) -> None:
    assert parse_duration(text) == length
    assert seconds_until(text, NOW) == length


def test_seconds_until_a_time_and_invalid_durations() -> None:
    assert seconds_until("2026-03-01T12:00:05.500Z", NOW) == 5.5
    assert seconds_until("2026-03-01T11:00:00Z", NOW) == 0
    for text in ("", "5", "5 s", "h"):
        with pytest.raises(ValueError, match="not a duration"):
            parse_duration(text)


@pytest.mark.parametrize(
    ("expression", "due"),
    [
        ("* * * * *", datetime(2026, 3, 1, 12, 1, tzinfo=UTC)),
        ("*/15 * * * *", datetime(2026, 3, 1, 12, 15, tzinfo=UTC)),
        ("0 9 * * 1-5", datetime(2026, 3, 2, 9, 0, tzinfo=UTC)),
        ("30 6 1 * *", datetime(2026, 4, 1, 6, 30, tzinfo=UTC)),
        ("0 0 13 * 5", datetime(2026, 3, 6, 0, 0, tzinfo=UTC)),
        ("0 0 29 2 *", datetime(2028, 2, 29, 0, 0, tzinfo=UTC)),
        ("TZ=Europe/Paris 0 9 * * *", datetime(2026, 3, 2, 8, 0, tzinfo=UTC)),
    ],
)
def test_next_cron_time(expression: str, due: datetime) -> None:
    assert next_cron_time(expression, NOW) == due


@pytest.mark.parametrize("expression", ["* * * *", "60 * * * *", "0 0 31 2 *", "x * * * *"])
def test_invalid_cron_expression_raises(expression: str) -> None:
    with pytest.raises(ValueError):
        next_cron_time(expression, NOW)


async def test_concurrency_limit_applies_per_key_and_older_runs_go_first() -> None:
    limiter = ConcurrencyLimiter()
    order: list[str] = []
    release = asyncio.Event()

    async def work(name: str, key: str, rank: float) -> None:
        async with limiter.acquire(((key, 1), ("all", 2)), rank):
            order.append(name)
            await release.wait()

    async with asyncio.TaskGroup() as group:
        group.create_task(work("first", "ann", 1))
        await asyncio.sleep(0)
        group.create_task(work("younger", "ann", 3))
        group.create_task(work("older", "ann", 2))
        cancelled = group.create_task(work("cancelled", "ann", 0))
        group.create_task(work("other", "ben", 4))
        for _ in range(3):
            await asyncio.sleep(0)
        assert order == ["first", "other"]
        cancelled.cancel()
        release.set()
    assert order == ["first", "other", "older", "younger"]


async def test_throttle_delays_only_its_own_runs() -> None:
    limiter = ConcurrencyLimiter(Clock(speed=100))
    throttle = ThrottleLimit("mail", limit=1, period=5, burst=1)
    started: list[str] = []

    async def work(name: str, rank: float, throttle: ThrottleLimit | None) -> None:
        async with limiter.acquire((), rank, throttle):
            started.append(name)

    async with asyncio.TaskGroup() as group:
        for rank, name in enumerate(("first", "burst", "late", "later")):
            group.create_task(work(name, rank, throttle))
        group.create_task(work("other", 9, None))
        for _ in range(3):
            await asyncio.sleep(0)
        assert started == ["first", "burst", "other"]
    assert started[3:] == ["late", "later"]


BATCH = {"maxSize": 2, "timeout": "1s"}


@pytest.mark.parametrize(
    "settings",
    [
        {"batchEvents": BATCH | {"maxSize": 1}},
        {"batchEvents": BATCH | {"timeout": "500ms"}},
        {"batchEvents": {"maxSize": 2}},
        {"batchEvents": BATCH | {"key": "event."}},
        {"batchEvents": BATCH, "cancel": [{"event": "x"}]},
        {"batchEvents": BATCH, "debounce": {"period": "1s"}},
        {"batchEvents": BATCH, "singleton": {"mode": "skip"}},
        {"batchEvents": BATCH, "priority": {"run": "1"}},
        {"debounce": {"period": "500ms"}},
        {"rateLimit": {"limit": 0, "period": "1s"}},
        {"rateLimit": {"limit": 1, "period": "25h"}},
        {"priority": {"run": "event.data."}},
        {"concurrency": [{"limit": 1}] * 3},
        {"cancel": [{"event": "x"}] * 6},
        {"cancel": [{"event": "x", "if": "event."}]},
        {"triggers": [{"cron": "x"}]},
    ],
)
def test_settings_that_the_real_server_refuses_are_invalid(settings: dict[str, Any]) -> None:
    step = {"id": "step", "runtime": {"url": "http://127.0.0.1:1/x"}}
    function = {"id": "a-f", "name": "f", "triggers": [{"event": "x"}], "steps": {"step": step}}
    assert validation_errors(FunctionConfig.model_validate(function)) == []
    assert validation_errors(FunctionConfig.model_validate(function | settings)) != []


def test_signature_and_authorization_match_the_sdk() -> None:
    keys = ServerKeys((), "signkey-test-" + "ab" * 32)
    body = b'{"z": 1.0, "a": "\\u20ac", "n": [1e3]}'
    accepted_key = net.validate_request_sig(
        body=body,
        headers={"x-inngest-signature": keys.sign(body)},
        mode=server_lib.ServerKind.CLOUD,
        signing_key=keys.signing_key,
        signing_key_fallback=None,
    )
    assert accepted_key == keys.signing_key
    for token in (keys.signing_key, "ab" * 32, transforms.hash_signing_key(keys.signing_key)):
        assert keys.is_authorized(f"Bearer {token}")
    for header in ("", "Bearer", "Bearer ключ", "Basic " + "ab" * 32, "ab" * 32):
        assert not keys.is_authorized(header)
    with pytest.raises(ValueError):
        ServerKeys((), "signkey-test-xyz")


def test_rate_limiter_and_recent_keys() -> None:
    rate = RateLimiter()
    assert rate.wait("k", limit=2, period=10, burst=1, now=0) == 0
    rate.consume("k", limit=2, period=10, now=0)
    assert rate.wait("k", limit=2, period=10, burst=1, now=0) == 0
    rate.consume("k", limit=2, period=10, now=0)
    assert rate.wait("k", limit=2, period=10, burst=1, now=0) == 5
    assert rate.wait("k", limit=2, period=10, burst=1, now=5) == 0
    recent = RecentKeys()
    assert recent.add("a", 0)
    assert not recent.add("a", DAY_SECONDS - 1)
    assert recent.add("a", DAY_SECONDS + 1)


def test_event_ids_of_a_repeated_request_are_equal() -> None:
    seed = "1743130137367,eii2YKXRVTJPuA=="
    assert event_id_from_seed(seed, 1) == event_id_from_seed(seed, 1) != event_id_from_seed(seed, 2)
    assert len(event_id_from_seed("nonsense", 1)) == len(ulid()) == 26
    assert ulid(0, bytes(10)) == "0" * 26
    assert ulid(2**48 - 1, b"\xff" * 10) == "7" + "Z" * 25


def test_events_are_validated_and_completed() -> None:
    (event,) = read_events(b'{"name": "a", "data": {"x": 1, "_inngest": {}}, "id": "mine"}', None)
    assert (event.name, event.data, event.id, len(event.internal_id)) == ("a", {"x": 1}, "mine", 26)
    assert event.ts > 0
    for body in (b"[1]", b'[{"name": 5}]', b'{"name": "a", "data": 1}', b"{", b'{"name":"a","data":{"t":"%s"}}'):
        with pytest.raises(EventError):
            read_events(body.replace(b"%s", b"x" * (3 * 1024 * 1024)), None)
