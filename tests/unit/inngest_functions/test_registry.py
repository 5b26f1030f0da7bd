"""The one list of functions: nothing is missing, every event has a model, every failure a handler."""

from collections.abc import Sequence
from typing import Any, cast

import inngest
import pytest

from inngest_functions.events import EVENTS, JOB_CANCELLED, JobEvent
from inngest_functions.registry import create_functions
from inngest_functions.run_locks import RunLocks
from services.billing.reconciliation import Reconciliation
from services.generation.registry import SERVICES
from services.maintenance.scheduled_tasks import create_scheduled_tasks
from tests.support.environments.idle_engine import create_idle_engine
from tests.support.inngest_kit import RecordingClient

SERVICE_EVENTS = {
    "image/text-to-image.start": "generate-text-to-image",
    "image/image-to-prompt.start": "generate-image-to-prompt",
    "image/neuro-image.start": "generate-neuro-image",
    "image/neuro-image-v2.start": "generate-neuro-image-v2",
    "video/text-to-video.start": "generate-text-to-video",
    "video/image-to-video.start": "generate-image-to-video",
    "speech/text-to-speech.start": "generate-speech",
    "speech/voice-avatar.start": "create-voice-avatar",
    "video/lip-sync.start": "generate-lip-sync",
    "model/training.start": "generate-model-training",
    "training/model-training-v2.start": "generate-model-training-v2",
}
OTHER_EVENTS = {
    "payment/process.start",
    "broadcast/message.start",
    "notification/training-error.start",
    "notification/success.start",
    "notification/generic.start",
    "notification/bulk.start",
    "game/step.start",
    "job/cancelled",
    "provider/prediction.finished",
    "demo/hello.world",
}
Functions = Sequence[inngest.Function[Any]]
NOTHING: Any = None
"""For dependencies that no function uses before it is called."""
SCHEDULED_TASKS = create_scheduled_tasks(NOTHING, NOTHING, NOTHING, Reconciliation(*[NOTHING] * 5))


@pytest.fixture(scope="module")
def functions() -> Functions:
    return create_functions(
        RecordingClient("diptych"), create_idle_engine(), cast("RunLocks", None), SCHEDULED_TASKS
    )


def config(function: inngest.Function[Any]) -> Any:
    """What Inngest is told about a function."""
    return function.get_config("http://diptych").main


def triggers(functions: Functions) -> dict[str, str]:
    """Event or cron by local function id."""
    found = {}
    for function in functions:
        (trigger,) = config(function).triggers
        found[function.local_id] = trigger.event if isinstance(trigger, inngest.TriggerEvent) else trigger.cron
    return found


def missing_functions(functions: Functions) -> set[str]:
    served = triggers(functions)
    expected = {spec.function_id: spec.event for spec in SERVICES.values()}
    expected |= {task.function_id: task.cron for task in SCHEDULED_TASKS}
    return {function_id for function_id, trigger in expected.items() if served.get(function_id) != trigger}


def events_without_model(functions: Functions) -> set[str]:
    events = {spec.event for spec in SERVICES.values()}
    for function in functions:
        events |= {t.event for t in config(function).triggers if isinstance(t, inngest.TriggerEvent)}
        events |= {cancel.event for cancel in config(function).cancel or []}
    return events - set(EVENTS)


def functions_without_failure_handler(functions: Functions) -> set[str]:
    return {
        function.local_id for function in functions if function.get_config("http://diptych").on_failure is None
    }


def test_functions_cover_every_service_and_scheduled_task(functions: Functions) -> None:
    assert missing_functions(functions) == set()
    assert len(triggers(functions)) == len(functions), "two functions share an id"


def test_events_of_all_functions_have_a_model(functions: Functions) -> None:
    assert events_without_model(functions) == set()
    assert set(EVENTS) >= set(SERVICE_EVENTS) | OTHER_EVENTS


def test_functions_all_handle_their_failure(functions: Functions) -> None:
    assert functions_without_failure_handler(functions) == set()


def test_service_events_and_function_ids_are_the_documented_ones(functions: Functions) -> None:
    served = triggers(functions)
    assert {served[function_id]: function_id for function_id in SERVICE_EVENTS.values()} == SERVICE_EVENTS


def test_checks_of_a_broken_registry_find_what_is_missing(functions: Functions) -> None:
    """The three tests above can fail."""
    client = RecordingClient()

    async def run(ctx: inngest.Context) -> None: ...

    stray = client.create_function(fn_id="stray", trigger=inngest.TriggerEvent(event="stray/event"))(run)
    assert missing_functions(functions[1:]) == {functions[0].local_id}
    assert events_without_model([*functions, stray]) == {"stray/event"}
    assert functions_without_failure_handler([*functions, stray]) == {"stray"}


@pytest.mark.parametrize("spec", SERVICES.values(), ids=SERVICES)
def test_function_of_a_service_has_its_inngest_options(functions: Functions, spec: Any) -> None:
    function = next(each for each in functions if each.local_id == spec.function_id)
    opts = config(function)
    (step,) = opts.steps.values()
    assert (step.retries.attempts, opts.idempotency) == (3, "event.data.dedup_id")
    assert opts.priority is not None
    assert opts.priority.run == "int(event.data.priority)", "Inngest's numbers are doubles, which are no priority"
    assert [(limit.limit, limit.key) for limit in opts.concurrency or []] == [
        (spec.concurrency, None),
        (2, "event.data.user_id"),
    ]
    assert [cancel.event for cancel in opts.cancel or []] == [JOB_CANCELLED]
    assert opts.throttle is not None
    assert opts.timeouts is not None
    model = EVENTS[spec.event]
    assert issubclass(model, JobEvent)
    assert model.model_fields["service"].default == spec.id
