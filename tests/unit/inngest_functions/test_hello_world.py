"""Hello world, run without a server by the test kit; and the kit itself, which others' functions rely on."""

from typing import Any

import inngest
import pytest
from loguru import logger

from inngest_functions.events import EVENTS, HELLO
from inngest_functions.functions.hello_world import create_hello_function
from inngest_functions.hello import send_hello_world_event
from services.hello import HelloEnvironment
from tests.support.inngest_kit import (
    FakeStep,
    RecordingClient,
    ResultMismatch,
    all_of,
    build_event,
    build_event_data,
    has_correct_language,
    has_documented_environment,
    has_required_fields,
    message_contains_name,
    processed_in_utc,
    run_function,
)

STEPS = ["log-incoming-event", "generate-greeting", "prepare-result", "log-completion"]


@pytest.fixture
def client() -> RecordingClient:
    return RecordingClient()


@pytest.fixture
def function(client: RecordingClient) -> inngest.Function[Any]:
    return create_hello_function(client, HelloEnvironment())


@pytest.mark.parametrize(
    ("language", "message"),
    [
        ("en", "Hello, Гуру! 👋"),
        ("ru", "Привет, Гуру! 🕉️"),
        ("es", "¡Hola, Гуру! 🌟"),
        ("fr", "Bonjour, Гуру! ✨"),
        ("tlh", "Hello, Гуру! 👋"),
    ],
)
async def test_it_greets_in_four_languages(function: inngest.Function[Any], language: str, message: str) -> None:
    event, step = build_event(HELLO, name="Гуру", language=language), FakeStep()
    end = await run_function(function, event, step)
    assert step.order == STEPS
    assert end.output["message"] == message
    assert end.output["eventData"] == event.data
    all_of(
        has_required_fields(),
        has_correct_language(language),
        message_contains_name("Гуру"),
        has_documented_environment(),
        processed_in_utc(),
    )(end.output)


@pytest.mark.parametrize("data", [{}, {"name": None, "language": None}, {"name": "", "language": ""}])
async def test_what_is_not_said_has_a_default(function: inngest.Function[Any], data: dict[str, Any]) -> None:
    end = await run_function(function, inngest.Event(name=HELLO, data=data))
    assert end.output["message"] == "Hello, World! 👋"


async def test_a_language_that_is_no_text_is_answered_in_english(function: inngest.Function[Any]) -> None:
    end = await run_function(function, inngest.Event(name=HELLO, data={"name": 7, "language": False}))
    assert end.output["message"] == "Hello, 7! 👋"


async def test_a_failing_step_is_retried_and_the_others_do_not_run_again(function: inngest.Function[Any]) -> None:
    step = FakeStep()
    step.fail("generate-greeting", times=3)
    end = await run_function(function, build_event(HELLO), step)
    assert (end.error, end.attempts) == (None, 4)
    assert [step.attempts[name] for name in STEPS] == [1, 4, 1, 1]


async def test_after_three_retries_the_failure_handler_logs(function: inngest.Function[Any]) -> None:
    lines: list[str] = []
    sink = logger.add(lines.append, level="ERROR", format="{message}")
    step = FakeStep()
    step.fail("generate-greeting", times=4)
    end = await run_function(function, build_event(HELLO), step)
    logger.remove(sink)
    assert (end.attempts, end.failure_handled, end.output) == (4, True, None)
    assert len(lines) == 1
    assert "hello world: run run failed" in lines[0]


async def test_the_event_is_sent_with_its_data(client: RecordingClient) -> None:
    assert await send_hello_world_event(client, "Ann", "fr", timestamp="2026-01-01T00:00:00Z") == "event-0"
    (event,) = client.events_named(HELLO)
    assert event.data == {"name": "Ann", "language": "fr", "timestamp": "2026-01-01T00:00:00Z"}


# ---------------------------------------------------------------- the kit


@pytest.mark.parametrize("name", EVENTS)
def test_data_of_every_event_can_be_built(name: str) -> None:
    data = build_event_data(name)
    assert EVENTS[name].model_validate(data).model_dump(mode="json") == data


def test_data_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="service"):
        build_event_data("image/text-to-image.start", service="speech")
    with pytest.raises(KeyError):
        build_event_data("nothing/of-the-kind")


async def test_a_client_that_is_told_to_refuse_sends_nothing(client: RecordingClient) -> None:
    client.refuse = ConnectionError("away")
    with pytest.raises(ConnectionError):
        await client.send(build_event(HELLO))
    assert client.sent == []


GOOD = {
    "message": "Hello, Ann! 👋",
    "processedAt": "2026-01-01T00:00:00+00:00",
    "eventData": {},
    "environment": {"nodeEnv": "development", "inngestPort": 9288},
}


@pytest.mark.parametrize(
    ("check", "result"),
    [
        (has_required_fields(), {**GOOD, "message": None}),
        (has_required_fields("job_id"), GOOD),
        (has_correct_language("ru"), GOOD),
        (message_contains_name("Bob"), GOOD),
        (has_documented_environment(port=8288), GOOD),
        (processed_in_utc(), GOOD),
        (processed_in_utc(within_seconds=10**10), {**GOOD, "processedAt": "2026-01-01T00:00:00+03:00"}),
        (all_of(message_contains_name("Ann"), message_contains_name("Bob")), GOOD),
    ],
)
def test_a_wrong_result_is_found(check: Any, result: dict[str, Any]) -> None:
    with pytest.raises(ResultMismatch):
        check(result)
