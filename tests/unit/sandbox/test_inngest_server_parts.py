"""Parts of the Inngest stand-in: expressions, durations, settings, limits, keys, events."""

import asyncio
from typing import Any

import pytest
from inngest._internal import net, server_lib, transforms
from pydantic import ValidationError

from sandbox.inngest import Clock, ServerKeys
from sandbox.inngest.functions import (
    ExpressionError,
    FunctionConfig,
    Registration,
    evaluate,
    is_true,
    parse_duration,
)
from sandbox.inngest.limits import Limiter
from sandbox.inngest.runs import Event, EventError, Run, new_id, read_events

EVENT = {"data": {"job_id": "7", "n": 3, "text": "4", "flag": True}, "name": "x"}
OTHER = {"data": {"job_id": "7", "prediction_id": "a-1"}}
FUNCTION = {
    "id": "app-fn",
    "name": "fn",
    "triggers": [{"event": "go"}],
    "steps": {"step": {"id": "step", "name": "step", "runtime": {"type": "http", "url": "http://127.0.0.1:1/x"}}},
}


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("event.data.job_id == async.data.job_id", True),
        ("async.data.job_id == event.data.n", False),
        ("async.data.prediction_id == 'a-1'", True),
        ("async.data.prediction_id == 'a-2'", False),
        ("event.data.job_id", "7"),
        ("event.data.flag", True),
        ("event.data.missing.deeper", None),
        ("int(event.data.n)", 3),
        ("int(event.data.text)", 4),
        ("int(event.data.missing)", None),
    ],
)
def test_expression_of_a_known_form_is_evaluated(expression: str, value: object) -> None:
    assert evaluate(expression, EVENT, OTHER) == value


def test_number_of_an_event_is_a_double_unless_int_is_used() -> None:
    assert type(evaluate("event.data.n", EVENT)) is float
    assert type(evaluate("int(event.data.n)", EVENT)) is int


@pytest.mark.parametrize(
    "expression",
    ["event.data.", "event.data.n > 1", "a.b == 'c'", "event.data.a == 'b' && event.data.c == 'd'", "'it''s'", ""],
)
def test_expression_of_another_form_raises_and_names_the_known_forms(expression: str) -> None:
    with pytest.raises(ExpressionError, match="it knows only"):
        evaluate(expression, EVENT)


def test_expression_is_true_only_for_the_value_true() -> None:
    assert is_true(None, EVENT)
    assert is_true("event.data.flag", EVENT)
    assert not is_true("event.data.job_id", EVENT)


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("1h30m", 5400), ("24h", 86_400), ("2w", 1_209_600), ("500ms", 0.5)]
)
def test_duration_is_parsed(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "5 s", "h"])
def test_invalid_duration_raises(text: str) -> None:
    with pytest.raises(ValueError):
        parse_duration(text)


def test_settings_of_the_sdk_are_read() -> None:
    step = FUNCTION["steps"]["step"] | {"retries": {"attempts": 3}}  # type: ignore[index]
    settings = {
        "steps": {"step": step},
        "priority": {"run": "int(event.data.priority)"},
        "timeouts": {"start": "24h", "finish": None},
        "throttle": {"limit": 300, "period": "1m", "burst": 1, "key": None},
        "cancel": [{"event": "stop", "if": "async.data.job_id == event.data.job_id", "timeout": None}],
        "batchEvents": None,
    }
    function = FunctionConfig.model_validate(FUNCTION | settings)
    assert (function.url, function.retries, function.priority) == (
        "http://127.0.0.1:1/x",
        3,
        "int(event.data.priority)",
    )
    assert (function.start_timeout, function.finish_timeout) == (86_400, None)
    assert function.throttle is not None
    assert (function.throttle.limit, function.throttle.period, function.throttle.burst) == (300, 60, 1)
    assert function.cancel[0].if_ == "async.data.job_id == event.data.job_id"
    assert FunctionConfig.model_validate(FUNCTION).retries == 4


@pytest.mark.parametrize(
    "settings",
    [
        {"batchEvents": {"maxSize": 2, "timeout": "1s"}},
        {"debounce": {"period": "1s"}},
        {"rateLimit": {"limit": 1, "period": "1m"}},
        {"singleton": {"mode": "skip"}},
        {"throttle": {"limit": 1, "period": "1s", "key": "event.data.user_id"}},
        {"concurrency": [{"limit": 1, "scope": "env"}]},
        {"cancel": [{"event": "x", "timeout": "1h"}]},
    ],
)
def test_setting_that_the_stand_in_lacks_is_refused_by_name(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="the Inngest stand-in does not support"):
        FunctionConfig.model_validate(FUNCTION | settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"concurrency": [{"limit": 1}] * 3},
        {"concurrency": [{"limit": 1, "key": "event."}]},
        {"cancel": [{"event": "x"}] * 6},
        {"cancel": [{"event": "x", "if": "event."}]},
        {"idempotency": "event."},
        {"priority": {"run": "event.data."}},
        {"throttle": {"limit": 0, "period": "1s"}},
        {"throttle": {"limit": 1, "period": "often"}},
        {"timeouts": {"start": "soon"}},
        {"triggers": [{"cron": "x"}]},
        {"triggers": [{"cron": "* * * *"}]},
        {"triggers": [{"event": "order/*"}]},
        {"steps": {}},
    ],
)
def test_invalid_setting_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FunctionConfig.model_validate(FUNCTION | settings)


def test_registration_without_functions_is_refused() -> None:
    with pytest.raises(ValidationError):
        Registration.model_validate({"appname": "app", "url": "http://127.0.0.1:1/x", "functions": []})


def make_run(priority: int = 0, *, user: str = "ann", **settings: Any) -> Run:
    function = FunctionConfig.model_validate(FUNCTION | settings)
    return Run(function, Event.create("go", {"user": user}), priority)


async def let_tasks_run() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_concurrency_limit_applies_per_key_and_older_runs_go_first() -> None:
    limiter, order, release = Limiter(Clock()), list[str](), asyncio.Event()
    concurrency = [{"limit": 1, "key": "event.data.user"}, {"limit": 2}]

    async def work(name: str, user: str, priority: int) -> None:
        run = make_run(priority, user=user, concurrency=concurrency)
        await limiter.acquire(run)
        order.append(name)
        await release.wait()
        limiter.release(run)

    async with asyncio.TaskGroup() as group:
        group.create_task(work("first", "ann", 0))
        await let_tasks_run()
        group.create_task(work("younger", "ann", 10))
        group.create_task(work("older", "ann", 20))
        cancelled = group.create_task(work("cancelled", "ann", 30))
        group.create_task(work("other", "ben", 0))
        await let_tasks_run()
        assert order == ["first", "other"]
        cancelled.cancel()
        release.set()
    assert order == ["first", "other", "older", "younger"]


async def test_run_cancelled_just_after_its_grant_leaves_its_place() -> None:
    limiter = Limiter(Clock())
    first, second, third = (make_run(concurrency=[{"limit": 1}]) for _ in range(3))
    await limiter.acquire(first)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(limiter.acquire(second))
        await let_tasks_run()
        limiter.release(first)  # grants the second one
        waiting.cancel()
    assert waiting.cancelled()
    async with asyncio.timeout(1):
        await limiter.acquire(third)


async def test_throttle_delays_only_first_calls_of_its_own_function() -> None:
    limiter, started = Limiter(Clock(speed=100)), list[str]()
    throttle = {"limit": 1, "period": "5s", "burst": 1}

    async def work(name: str, priority: int, **settings: Any) -> None:
        await limiter.acquire(make_run(priority, **settings))
        started.append(name)

    async with asyncio.TaskGroup() as group:
        for priority, name in ((9, "first"), (8, "burst"), (7, "late"), (6, "later")):
            group.create_task(work(name, priority, throttle=throttle))
        group.create_task(work("other", 0, id="app-other"))
        await let_tasks_run()
        assert started == ["first", "burst", "other"]
    assert started[3:] == ["late", "later"]


async def test_paused_limiter_grants_nothing_until_it_goes_on() -> None:
    limiter = Limiter(Clock())
    limiter.paused = True
    async with asyncio.timeout(1), asyncio.TaskGroup() as group:
        waiting = group.create_task(limiter.acquire(make_run()))
        await let_tasks_run()
        assert not waiting.done()
        limiter.paused = False


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


def test_event_ids_of_a_repeated_request_are_equal() -> None:
    body, seed = b'[{"name": "a"}, {"name": "a"}]', "1743130137367,eii2YKXRVTJPuA=="
    first, repeated = (tuple(event.internal_id for event in read_events(body, seed)) for _ in range(2))
    assert first == repeated
    assert len({*first, *(event.internal_id for event in read_events(body, None)), new_id()}) == 5
    assert {len(event_id) for event_id in first} == {26}


def test_event_is_read_and_completed() -> None:
    (event,) = read_events(b'{"name": "a", "data": {"x": 1}, "id": "mine", "ts": 5}', None)
    assert (event.name, event.data, event.id, event.ts) == ("a", {"x": 1}, "mine", 5)
    (event,) = read_events(b'{"name": "a"}', None)
    assert (event.data, event.id) == ({}, event.internal_id)
    assert event.ts > 1_700_000_000_000


@pytest.mark.parametrize(
    "body", [b"[1]", b'[{"name": 5}]', b'{"name": "a", "data": 1}', b"{", b'{"name":"a","data":{"t":"%s"}}']
)
def test_invalid_event_is_refused(body: bytes) -> None:
    with pytest.raises(EventError):
        read_events(body.replace(b"%s", b"x" * (3 * 1024 * 1024)), None)
