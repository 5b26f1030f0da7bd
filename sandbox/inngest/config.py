"""What an app says about itself when it registers: its functions and their settings.

Shapes: ``pkg/sdk/function.go`` of inngest/inngest and ``server_lib/registration.py`` of the Python SDK.
"""

from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

DEFAULT_RETRIES: Final = 4
MAX_RETRIES: Final = 20


class _Shape(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)


class Trigger(_Shape):
    event: str | None = None
    expression: str | None = None
    cron: str | None = None


class Concurrency(_Shape):
    limit: int
    key: str | None = None
    scope: str = "fn"


class Cancel(_Shape):
    event: str
    if_: str | None = Field(default=None, alias="if")
    timeout: str | None = None


class RateLimit(_Shape):
    limit: int
    period: str
    key: str | None = None
    burst: int = 0


class Timeouts(_Shape):
    start: str | None = None
    finish: str | None = None


class Retries(_Shape):
    attempts: int


class Runtime(_Shape):
    url: str


class Step(_Shape):
    id: str
    runtime: Runtime
    retries: Retries | None = None


class FunctionConfig(_Shape):
    """One function. ``id`` is the app's id and the function's own, joined by a hyphen."""

    id: str
    name: str
    triggers: tuple[Trigger, ...] = ()
    steps: dict[str, Step]
    concurrency: tuple[Concurrency, ...] = Field(default=(), max_length=2)
    cancel: tuple[Cancel, ...] = Field(default=(), max_length=5)
    idempotency: str | None = None
    rate_limit: RateLimit | None = Field(default=None, alias="rateLimit")
    throttle: RateLimit | None = None
    timeouts: Timeouts | None = None
    priority: Any = None
    debounce: Any = None
    batch_events: Any = Field(default=None, alias="batchEvents")
    singleton: Any = None

    @field_validator("concurrency", mode="before")
    @classmethod
    def _as_list(cls, value: object) -> object:
        if isinstance(value, int):
            return [{"limit": value}]
        return [value] if isinstance(value, dict) else value

    @property
    def max_attempts(self) -> int:
        """How often a step or the function itself is tried in all."""
        retries = next(iter(self.steps.values())).retries
        return 1 + min(MAX_RETRIES, DEFAULT_RETRIES if retries is None else retries.attempts)

    @property
    def ignored(self) -> list[str]:
        """Settings that this stand-in accepts and does not keep."""
        named = {"debounce": self.debounce, "batchEvents": self.batch_events, "singleton": self.singleton}
        return [name for name, value in named.items() if value]

    def url(self, step_id: str | None) -> str:
        """Where to call the function, for one planned step or for whatever comes next."""
        step = next(iter(self.steps.values()))
        parts = urlsplit(step.runtime.url)
        query = dict(parse_qsl(parts.query)) | {"stepId": step_id or step.id}
        return urlunsplit(parts._replace(query=urlencode(query)))


class Registration(_Shape):
    """The body of POST /fn/register."""

    appname: str = Field(min_length=1)
    url: str
    sdk: str = ""
    framework: str = ""
    functions: tuple[FunctionConfig, ...] = Field(min_length=1)
