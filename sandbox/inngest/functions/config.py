"""The functions that an app registers, and which of their settings the server refuses.

Field names and aliases are those of ``pkg/sdk/function.go`` of inngest/inngest and ``server_lib/registration.py`` of
the Python SDK. The checks follow ``Function.Validate`` in ``pkg/inngest/function.go``, and ``batch.go``,
``trigger.go`` and ``concurrency.go`` next to it. Durations are texts such as ``1h30m``; expressions are CEL.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from sandbox.inngest.functions.expressions import validate_expression
from sandbox.inngest.functions.timing import next_cron_time, parse_duration
from sandbox.inngest.rate_limits import DAY_SECONDS

_DEFAULT_RETRIES: Final = 4
_MAX_RETRIES: Final = 20


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)


class Trigger(_Model):
    """What starts a function: an event's name, maybe with an expression, or a cron expression."""

    event: str | None = None
    expression: str | None = None
    cron: str | None = None


class Concurrency(_Model):
    """How many calls may run at the same time, per value of ``key``; ``scope`` is fn, env or account."""

    limit: int
    key: str | None = None
    scope: str = "fn"


class CancelOn(_Model):
    """The event that cancels a run, if ``if`` is true; with ``timeout`` only while the run is younger."""

    event: str
    if_: str | None = Field(default=None, alias="if")
    timeout: str | None = None


class RateLimit(_Model):
    """How many events per period start a run, per value of ``key``; the others are dropped."""

    limit: int
    period: str
    key: str | None = None


class Throttle(RateLimit):
    """How many runs may start per period, per value of ``key``; the others wait."""

    burst: int = 0

    @property
    def extra_burst(self) -> int:
        """How many runs may start at once in addition to the first, as ``acquire.lua`` computes it."""
        return max(self.limit, 1) + self.burst - 1


class Batch(_Model):
    """Collects events into one run: at most ``max_size``, for at most ``timeout``, per value of ``key``."""

    max_size: int = Field(alias="maxSize")
    timeout: str = ""
    key: str | None = None
    if_: str | None = Field(default=None, alias="if")


class Debounce(_Model):
    """Starts one run when no event has come for ``period``, at the latest after ``timeout``."""

    period: str
    key: str | None = None
    timeout: str | None = None


class Singleton(_Model):
    """Allows one run at a time: a new one is skipped, or cancels the running one."""

    mode: Literal["skip", "cancel"]
    key: str | None = None


class Priority(_Model):
    """An expression that gives the seconds by which a run goes before older ones."""

    run: str | None = None


class Timeouts(_Model):
    """When a run is cancelled that has not started or not finished."""

    start: str | None = None
    finish: str | None = None


class Retries(_Model):
    """How often a failed step is repeated."""

    attempts: int


class Runtime(_Model):
    """Where the server calls the function."""

    url: str


class Step(_Model):
    """The one step that an SDK registers for each function."""

    id: str
    runtime: Runtime
    retries: Retries | None = None


class FunctionConfig(_Model):
    """One function.

    Attributes:
        id: The app's id and the function's own id, joined by a hyphen.
        steps: One step, which holds the URL and the retries.
        cancel: The events that cancel a run.
        idempotency: An expression; at most one run per day starts for each of its values.
    """

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
        """How often a step, or the function itself, is attempted in all."""
        retries = next(iter(self.steps.values())).retries
        return 1 + min(_MAX_RETRIES, _DEFAULT_RETRIES if retries is None else retries.attempts)

    @property
    def effective_rate_limit(self) -> RateLimit | None:
        """The limit that drops events; idempotency is a limit of one per day (``SDKFunction.Function``)."""
        if self.idempotency is None:
            return self.rate_limit
        return RateLimit(limit=1, period="24h", key=self.idempotency)

    def url(self, step_id: str | None) -> str:
        """Return the URL to call: for one planned step, or with None for whatever comes next."""
        step = next(iter(self.steps.values()))
        parts = urlsplit(step.runtime.url)
        query = dict(parse_qsl(parts.query)) | {"stepId": step_id or step.id}
        return urlunsplit(parts._replace(query=urlencode(query)))


class Registration(_Model):
    """The body of ``POST /fn/register``.

    Attributes:
        appname: The app's id.
        url: The app's serve URL, or an address ``ws://connect…`` for a Connect worker.
        sdk: Language and version of the SDK.
    """

    appname: str = Field(min_length=1)
    url: str
    sdk: str = ""
    framework: str = ""
    functions: tuple[FunctionConfig, ...] = Field(min_length=1)


_MAX_CONCURRENCY: Final = 2
_MAX_CANCEL: Final = 5


def validation_errors(function: FunctionConfig) -> list[str]:
    """Return what is wrong with a function's settings; empty when the real server accepts them."""
    return [*_limit_errors(function), *_syntax_errors(function)]


def _limit_errors(function: FunctionConfig) -> Iterator[str]:
    if len(function.concurrency) > _MAX_CONCURRENCY:
        yield f"more than {_MAX_CONCURRENCY} concurrency limits"
    if len(function.cancel) > _MAX_CANCEL:
        yield f"more than {_MAX_CANCEL} cancel events"
    if (batch := function.batch_events) is not None:
        if batch.max_size < 2:
            yield "a batch size below 2"
        for name in ("cancel", "debounce", "singleton", "priority"):
            if getattr(function, name):
                yield f"batching together with {name}"
    if (limit := function.rate_limit) is not None and limit.limit < 1:
        yield "a rate limit below 1"


def _syntax_errors(function: FunctionConfig) -> Iterator[str]:
    """Durations, expressions and crons that cannot be parsed or are out of range."""
    reads: list[tuple[Callable[[str], object], str | None]] = []
    if batch := function.batch_events:
        reads += [
            (_duration_between(1, DAY_SECONDS), batch.timeout),
            (validate_expression, batch.key),
            (validate_expression, batch.if_),
        ]
    if debounce := function.debounce:
        reads += [(_duration_between(1, 7 * DAY_SECONDS), debounce.period), (validate_expression, debounce.key)]
    if limit := function.rate_limit:
        reads += [(_duration_between(0, DAY_SECONDS), limit.period), (validate_expression, limit.key)]
    if priority := function.priority:
        reads.append((validate_expression, priority.run))
    reads += [(validate_expression, cancel.if_) for cancel in function.cancel]
    reads += [(_check_cron, trigger.cron) for trigger in function.triggers]
    for read, text in reads:
        try:
            if text is not None:
                read(text)
        except ValueError as error:
            yield str(error)


def _duration_between(minimum: float, maximum: float) -> Callable[[str], None]:
    def read(text: str) -> None:
        if not minimum <= parse_duration(text) <= maximum:
            raise ValueError(f"{text} is not between {minimum} and {maximum} seconds")

    return read


def _check_cron(expression: str) -> None:
    next_cron_time(expression, datetime.now(UTC))
