"""The functions that an app registers, and which of their settings and expressions the server refuses.

Field names and aliases are those of ``pkg/sdk/function.go`` of inngest/inngest and ``server_lib/registration.py`` of
the Python SDK; the limits follow ``Function.Validate`` in ``pkg/inngest/function.go``. What this product's functions
do not use is refused, so that nothing depends on what happens only here.

Expressions are CEL (https://cel.dev) in the forms that our functions send: one operand, or two joined by ``==``. An
operand is a field (``event.data.job_id``, ``async.data.job_id``), ``int(…)`` of a field, or a text in single quotes.
A missing field is null, and CEL reads JSON's numbers as doubles: only ``int(…)`` gives a whole number.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, Final

import durationpy
from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, AliasPath, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

_FIELD: Final = r"(?:event|async)(?:\.\w+)+"
_OPERAND: Final = re.compile(rf"(?P<field>{_FIELD})|int\((?P<int>{_FIELD})\)|'(?P<text>[^'\\]*)'")


class ExpressionError(ValueError):
    """An expression in a form that is unknown here."""


@lru_cache(maxsize=1024)
def _parse(expression: str) -> list[re.Match[str]]:
    operands = [_OPERAND.fullmatch(part.strip()) for part in expression.split("==", 1)]
    known = [operand for operand in operands if operand is not None]
    if len(known) < len(operands):
        forms = "event.data.x, int(event.data.x), 'text', and two of them joined by =="
        raise ExpressionError(f"the Inngest stand-in cannot read {expression!r}; it knows only {forms}")
    return known


def evaluate(expression: str, event: Mapping[str, Any], other: Mapping[str, Any] | None = None) -> Any:
    """Return the value of an expression.

    Args:
        expression: The expression.
        event: The event that started the run, as functions see it; in expressions ``event``.
        other: The event that has arrived; in expressions ``async``.

    Raises:
        ExpressionError: When it has another form than those above.
    """
    scope = {"event": event, "async": other or {}}
    values = [_read(operand, scope) for operand in _parse(expression)]
    return values[0] if len(values) == 1 else values[0] == values[1]


def is_true(expression: str | None, event: Mapping[str, Any], other: Mapping[str, Any] | None = None) -> bool:
    """Whether an expression is true, or there is none; for the arguments and errors see ``evaluate``."""
    return expression is None or evaluate(expression, event, other) is True


def _read(operand: re.Match[str], scope: Mapping[str, Any]) -> Any:
    if (text := operand["text"]) is not None:
        return text
    value: Any = scope
    for name in (operand["field"] or operand["int"]).split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    if operand["int"]:
        try:
            return int(value)
        except (TypeError, ValueError, OverflowError):
            return None
    return float(value) if type(value) is int else value


def parse_duration(text: str) -> float:
    """Return the seconds in a duration such as ``30s``, ``1h30m`` or ``7d``; raises ValueError for another text."""
    return durationpy.from_str(text).total_seconds()


def _check_expression(expression: str) -> str:
    _parse(expression)
    return expression


def _check_cron(expression: str) -> str:
    try:
        CronSim(expression, datetime.now(UTC))
    except CronSimError as error:
        raise ValueError(f"{expression!r} is not a cron expression: {error}") from error
    return expression


Cron = Annotated[str, AfterValidator(_check_cron)]
Duration = Annotated[float, BeforeValidator(parse_duration)]
Expression = Annotated[str, AfterValidator(_check_expression)]


class _Settings(BaseModel):
    """The base of all settings; one that is null counts as absent."""

    model_config = ConfigDict(frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown(cls, settings: dict[str, Any]) -> dict[str, Any]:
        given = {name: value for name, value in settings.items() if value is not None}
        aliases = [field.validation_alias for field in cls.model_fields.values()]
        known = {alias.path[0] if isinstance(alias, AliasPath) else alias for alias in aliases}
        if unknown := sorted(given.keys() - known - cls.model_fields.keys()):
            raise ValueError(f"the Inngest stand-in does not support {', '.join(unknown)}")
        return given


class Trigger(_Settings):
    """What starts a function: an event's name, maybe with an expression, or a cron expression in UTC."""

    event: str | None = Field(default=None, pattern=r"^[^*]+$")
    expression: Expression | None = None
    cron: Cron | None = None


class Concurrency(_Settings):
    """How many calls of the function may run at the same time, per value of ``key``."""

    limit: int
    key: Expression | None = None


class CancelOn(_Settings):
    """The event that cancels a run if the expression ``if`` is true."""

    event: str
    if_: Expression | None = Field(default=None, alias="if")


class Throttle(_Settings):
    """How many runs may start per period of so many seconds, and how many at once in addition; the others wait."""

    limit: int = Field(ge=1)
    period: Duration
    burst: int = 0


class FunctionConfig(_Settings):
    """One function.

    Attributes:
        id: The app's id and the function's own id, joined by a hyphen.
        url: Where it is called: an HTTP URL, or ``wss://connect?fnId=…&stepId=…`` for Connect.
        retries: How often a step, or the function itself, is repeated after a failure.
        cancel: The events that cancel a run.
        idempotency: At most one run per day starts for each value of this expression.
        priority: The seconds by which a run goes before older ones.
        start_timeout: Seconds after which a run is cancelled that has not started.
        finish_timeout: Seconds after its start when a run is cancelled that has not ended.
    """

    id: str
    name: str
    triggers: tuple[Trigger, ...] = ()
    url: str = Field(validation_alias=AliasPath("steps", "step", "runtime", "url"))
    retries: int = Field(default=4, le=20, validation_alias=AliasPath("steps", "step", "retries", "attempts"))
    concurrency: tuple[Concurrency, ...] = Field(default=(), max_length=2)
    cancel: tuple[CancelOn, ...] = Field(default=(), max_length=5)
    idempotency: Expression | None = None
    throttle: Throttle | None = None
    start_timeout: Duration | None = Field(default=None, validation_alias=AliasPath("timeouts", "start"))
    finish_timeout: Duration | None = Field(default=None, validation_alias=AliasPath("timeouts", "finish"))
    priority: Expression | None = Field(default=None, validation_alias=AliasPath("priority", "run"))


class Registration(BaseModel):
    """An app: the body of ``POST /fn/register``.

    Attributes:
        appname: The app's id.
        url: The app's serve URL, or an address ``ws://connect…`` for a Connect worker.
    """

    appname: str = Field(min_length=1)
    url: str
    functions: tuple[FunctionConfig, ...] = Field(min_length=1)
