"""What an app says about itself when it registers: its functions and their settings.

Shapes: ``pkg/sdk/function.go`` of inngest/inngest and ``server_lib/registration.py`` of the Python SDK.
"""

from typing import Final, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

DEFAULT_RETRIES: Final = 4
MAX_RETRIES: Final = 20


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)


class Trigger(_Model):
    event: str | None = None
    expression: str | None = None
    cron: str | None = None


class Concurrency(_Model):
    limit: int
    key: str | None = None
    scope: str = "fn"


class CancelOn(_Model):
    event: str
    if_: str | None = Field(default=None, alias="if")
    timeout: str | None = None


class RateLimit(_Model):
    limit: int
    period: str
    key: str | None = None


class Throttle(RateLimit):
    burst: int = 0

    @property
    def extra_burst(self) -> int:
        """How many may begin beside the first: ``acquire.lua`` counts the limit and the burst, less one."""
        return max(self.limit, 1) + self.burst - 1


class Batch(_Model):
    max_size: int = Field(alias="maxSize")
    timeout: str = ""
    key: str | None = None
    if_: str | None = Field(default=None, alias="if")


class Debounce(_Model):
    period: str
    key: str | None = None
    timeout: str | None = None


class Singleton(_Model):
    mode: Literal["skip", "cancel"]
    key: str | None = None


class Priority(_Model):
    run: str | None = None


class Timeouts(_Model):
    start: str | None = None
    finish: str | None = None


class Retries(_Model):
    attempts: int


class Runtime(_Model):
    url: str


class Step(_Model):
    id: str
    runtime: Runtime
    retries: Retries | None = None


class FunctionConfig(_Model):
    """One function. ``id`` is the app's id and the function's own, joined by a hyphen."""

    id: str
    name: str
    triggers: tuple[Trigger, ...] = ()
    steps: dict[str, Step]
    concurrency: tuple[Concurrency, ...] = ()
    cancel: tuple[CancelOn, ...] = ()
    idempotency: str | None = None
    rate_limit: RateLimit | None = Field(default=None, alias="rateLimit")
    throttle: Throttle | None = None
    timeouts: Timeouts | None = None
    priority: Priority | None = None
    debounce: Debounce | None = None
    batch_events: Batch | None = Field(default=None, alias="batchEvents")
    singleton: Singleton | None = None

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
    def effective_rate_limit(self) -> RateLimit | None:
        """What drops events: idempotency is a rate limit of one a day (``SDKFunction.Function``)."""
        if self.idempotency is None:
            return self.rate_limit
        return RateLimit(limit=1, period="24h", key=self.idempotency)

    def url(self, step_id: str | None) -> str:
        """Where to call the function, for one planned step or for whatever comes next."""
        step = next(iter(self.steps.values()))
        parts = urlsplit(step.runtime.url)
        query = dict(parse_qsl(parts.query)) | {"stepId": step_id or step.id}
        return urlunsplit(parts._replace(query=urlencode(query)))


class Registration(_Model):
    """The body of POST /fn/register."""

    appname: str = Field(min_length=1)
    url: str
    sdk: str = ""
    framework: str = ""
    functions: tuple[FunctionConfig, ...] = Field(min_length=1)
