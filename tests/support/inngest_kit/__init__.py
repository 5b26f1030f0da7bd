"""The kit for testing an Inngest function without a server: docs/how-to/test-a-function.md."""

from tests.support.inngest_kit.client import RecordingClient
from tests.support.inngest_kit.events import build_event, build_event_data
from tests.support.inngest_kit.fake_step import FakeStep, RunOutcome, run_function
from tests.support.inngest_kit.ports import free_port, free_ports, port_in_use
from tests.support.inngest_kit.result_checks import (
    ResultMismatch,
    all_of,
    has_correct_language,
    has_documented_environment,
    has_required_fields,
    message_contains_name,
    processed_in_utc,
)

__all__ = [
    "FakeStep",
    "RecordingClient",
    "ResultMismatch",
    "RunOutcome",
    "all_of",
    "build_event",
    "build_event_data",
    "free_port",
    "free_ports",
    "has_correct_language",
    "has_documented_environment",
    "has_required_fields",
    "message_contains_name",
    "port_in_use",
    "processed_in_utc",
    "run_function",
]
