"""Hello world, run without a server by the test kit; and the kit itself, on which tests of other functions rely."""

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
async def test_hello_greets_in_four_languages(
    function: inngest.Function[Any], language: str, message: str
) -> None:
    event, step = build_event(HELLO, name="Гуру", language=language), FakeStep()
    outcome = await run_function(function, event, step)
    assert step.order == STEPS
    assert outcome.output["message"] == message
    assert outcome.output["eventData"] == event.data
    all_of(
        has_required_fields(),
        has_correct_language(language),
        message_contains_name("Гуру"),
        has_documented_environment(),
        processed_in_utc(),
    )(outcome.output)


@pytest.mark.parametrize("data", [{}, {"name": None, "language": None}, {"name": "", "language": ""}])
async def test_hello_without_name_and_language_takes_defaults(
    function: inngest.Function[Any], data: dict[str, Any]
) -> None:
    outcome = await run_function(function, inngest.Event(name=HELLO, data=data))
    assert outcome.output["message"] == "Hello, World! 👋"


async def test_hello_with_a_language_that_is_not_text_answers_in_english(function: inngest.Function[Any]) -> None:
    outcome = await run_function(function, inngest.Event(name=HELLO, data={"name": 7, "language": False}))
    assert outcome.output["message"] == "Hello, 7! 👋"


async def test_run_function_with_a_failing_step_retries_only_that_step(function: inngest.Function[Any]) -> None:
    step = FakeStep()
    step.fail("generate-greeting", times=3)
    outcome = await run_function(function, build_event(HELLO), step)
    assert (outcome.error, outcome.attempts) == (None, 4)
    assert [step.attempts[name] for name in STEPS] == [1, 4, 1, 1]


async def test_failure_handler_after_three_retries_logs_the_failure(function: inngest.Function[Any]) -> None:
    lines: list[str] = []
    sink = logger.add(lines.append, level="ERROR", format="{message} {extra}")
    step = FakeStep()
    step.fail("generate-greeting", times=4)
    outcome = await run_function(function, build_event(HELLO), step)
    logger.remove(sink)
    assert (outcome.attempts, outcome.failure_handled, outcome.output) == (4, True, None)
    assert len(lines) == 1
    assert lines[0].startswith("hello world failed {'run': 'run', 'error': ")


async def test_send_hello_world_event_sends_its_data(client: RecordingClient) -> None:
    assert await send_hello_world_event(client, "Ann", "fr", timestamp="2026-01-01T00:00:00Z") == "event-0"
    (event,) = client.events_named(HELLO)
    assert event.data == {"name": "Ann", "language": "fr", "timestamp": "2026-01-01T00:00:00Z"}


# ---------------------------------------------------------------- the kit


@pytest.mark.parametrize("name", EVENTS)
def test_build_event_data_of_every_event_is_valid(name: str) -> None:
    data = build_event_data(name)
    assert EVENTS[name].model_validate(data).model_dump(mode="json") == data


def test_build_event_data_with_invalid_data_raises() -> None:
    with pytest.raises(ValueError, match="service"):
        build_event_data("image/text-to-image.start", service="speech")
    with pytest.raises(KeyError):
        build_event_data("nothing/of-the-kind")


async def test_recording_client_set_to_refuse_sends_nothing(client: RecordingClient) -> None:
    client.refuse = ConnectionError("unavailable")
    with pytest.raises(ConnectionError):
        await client.send(build_event(HELLO))
    assert client.sent == []


VALID_RESULT = {
    "message": "Hello, Ann! 👋",
    "processedAt": "2026-01-01T00:00:00+00:00",
    "eventData": {},
    "environment": {"nodeEnv": "development", "inngestPort": 9288},
}


@pytest.mark.parametrize(
    ("check", "result"),
    [
        (has_required_fields(), {**VALID_RESULT, "message": None}),
        (has_required_fields("job_id"), VALID_RESULT),
        (has_correct_language("ru"), VALID_RESULT),
        (message_contains_name("Bob"), VALID_RESULT),
        (has_documented_environment(port=8288), VALID_RESULT),
        (processed_in_utc(), VALID_RESULT),
        (processed_in_utc(within_seconds=10**10), {**VALID_RESULT, "processedAt": "2026-01-01T00:00:00+03:00"}),
        (all_of(message_contains_name("Ann"), message_contains_name("Bob")), VALID_RESULT),
    ],
)
def test_result_check_of_a_wrong_result_raises(check: Any, result: dict[str, Any]) -> None:
    with pytest.raises(ResultMismatch):
        check(result)
