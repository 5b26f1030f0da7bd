"""The tables of services, models, commands, metrics, functions, routes and provider errors."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final
from unittest.mock import MagicMock

from aiogram.filters import Command
from aiohttp import web
from prometheus_client.metrics import MetricWrapperBase

import services.core.metrics as process_metrics
from bot.telegram.webhook import Webhook as TelegramWebhook
from handlers.routers import ROUTERS
from providers.protocols import ErrorKind
from scripts.docs.markdown import code, format_table
from scripts.docs.settings import settings_table
from services.billing.subscriptions import TIERS
from services.core.errors import failure_from_kind
from services.core.i18n import Texts
from services.generation.catalogue import MODELS, Model
from services.generation.inputs import MB, ChoiceInput, FileInput, Input, Option, PhotosInput, TextInput
from services.generation.registry import SERVICES
from services.generation.spec import ServiceSpec
from services.job_kinds import INTERNAL_JOBS
from services.maintenance.scheduled_tasks import create_scheduled_tasks
from services.messaging.command_menu import ADMIN_COMMANDS, COMMANDS
from web.dashboard.routes import Dashboard
from web.health import Health
from web.landing import Landing
from web.metrics import Metrics
from web.webhooks.replicate import ReplicateWebhook


def _summary(documented: Any) -> str:
    """The first line of a docstring."""
    text = (documented.__doc__ or "").strip().splitlines()
    if not text:
        raise SystemExit(f"{documented.__module__}.{documented.__qualname__} needs a docstring for the docs")
    return str(text[0])


# ---- services and models


def _title(texts: Texts, spec: ServiceSpec) -> str:
    return f"{spec.emoji} {texts.t('en', f'service.{spec.id}.name')}"


def _describe_input(each: Input) -> str:
    match each:
        case TextInput():
            return f"{each.id} (≤ {each.max_length} characters)"
        case PhotosInput():
            return f"{each.id} ({each.min_count}–{each.max_count} photos, ≤ {each.max_bytes // MB} MB each)"
        case FileInput():
            limits = [" or ".join(each.kinds), f"≤ {each.max_bytes // MB} MB"]
            limits += [f"≤ {_duration(each.max_seconds)}"] if each.max_seconds else []
            return f"{each.id} ({', '.join(limits)})"
        case ChoiceInput():
            return each.id


def _duration(seconds: float) -> str:
    return f"{seconds / 3600:g} h" if seconds >= 3600 else f"{seconds / 60:g} min"


def _orders(spec: ServiceSpec, values: dict[str, Any], inputs: tuple[Input, ...]) -> Iterator[Mapping[str, Any]]:
    """One order for every combination of the choices, with the shortest and with the longest text."""
    if not inputs:
        yield values
        return
    first, *rest = inputs
    match first:
        case ChoiceInput():
            options = [option.value for option in first.options(values, {first.id: (Option("", ""),)})]
        case TextInput():
            options = ["x", "x" * first.max_length]
        case _:
            options = [""]
    for option in options:
        yield from _orders(spec, {**values, first.id: option}, tuple(rest))


def _price_range(spec: ServiceSpec, **values: str) -> str:
    """From the cheapest order to the dearest, in credits."""
    fixed = [each for each in spec.inputs if each.id not in values]
    prices = {spec.price(order) for order in _orders(spec, values, tuple(fixed))}
    return str(min(prices)) if len(prices) == 1 else f"{min(prices)}–{max(prices)}"


def services_table() -> str:
    """The services, in the order of the menu."""
    texts = Texts()
    return format_table(
        ("service", "id", "inputs", "credits", "time limit"),
        (
            (
                _title(texts, spec),
                f"`{spec.id}`",
                " · ".join(map(_describe_input, spec.inputs)),
                _price_range(spec),
                _duration(spec.time_limit_seconds) if spec.time_limit_seconds else "",
            )
            for spec in SERVICES.values()
        ),
    )


def _credits(spec: ServiceSpec, model: Model) -> str:
    """What an order of one result costs with this model, for each length that it offers."""
    count = {"count": "1"} if spec.input("count") else {}
    if model.per != "second":
        return _price_range(spec, model=model.id, **count)
    return ", ".join(
        f"{_price_range(spec, model=model.id, seconds=str(seconds), **count)} for {seconds} s"
        for seconds in model.seconds
    )


def models_table() -> str:
    """The entries of models.toml, with the prices of their services."""
    texts = Texts()
    return format_table(
        ("service", "model", "id", "at Replicate", "our cost, $", "credits"),
        (
            (
                _title(texts, SERVICES[service]),
                model.label,
                f"`{model.id}`",
                f"`{model.model.partition(':')[0]}`",
                f"{model.usd} per {model.per}",
                _credits(SERVICES[service], model),
            )
            for service, models in MODELS.items()
            for model in models.values()
        ),
    )


def tiers_table() -> str:
    """The subscription tiers."""
    return format_table(
        ("tier", "Stars per month", "credits per month", "discount"),
        ((f"`{tier.id}`", str(tier.stars), str(tier.credits), f"{tier.discount} %") for tier in TIERS.values()),
    )


# ---- commands


def _commands() -> dict[str, Callable[..., Any]]:
    """The handlers by the commands they take, in the order of the routers."""
    found: dict[str, Callable[..., Any]] = {}
    for router in ROUTERS:
        for handler in router.message.handlers:
            filters = [each.callback for each in handler.filters or ()]
            names = [name for each in filters if isinstance(each, Command) for name in each.commands]
            found |= {str(name): handler.callback for name in names}
    return found


def _commands_table(commands: Mapping[str, Callable[..., Any]]) -> str:
    return format_table(
        ("command", "does", "in"),
        (
            (
                code(*(f"/{name}" for name in commands if commands[name] is handler)),
                _summary(handler),
                f"`{handler.__module__.replace('.', '/')}.py`",
            )
            for handler in dict.fromkeys(commands.values())
        ),
    )


def user_commands_table() -> str:
    """The commands of everyone: those of the menu, then the others."""
    commands = _commands()
    hidden = [name for name in commands if name not in COMMANDS and name not in ADMIN_COMMANDS]
    return _commands_table({name: commands[name] for name in (*COMMANDS, *hidden)})


def admin_commands_table() -> str:
    """The commands of admins."""
    commands = _commands()
    return _commands_table({name: commands[name] for name in ADMIN_COMMANDS})


# ---- metrics


def _collect_metrics() -> Iterator[tuple[str, str, tuple[str, ...], str]]:
    """Name, type, labels and documentation of each. prometheus_client has no public name for a metric's labels."""
    ours = [each for each in vars(process_metrics).values() if isinstance(each, MetricWrapperBase)]
    labels = {family.name: each._labelnames for each in ours for family in each.describe()}  # noqa: SLF001
    router = MagicMock(services=(), **{"plan_a.since.timestamp.return_value": 0, "plan_a.healthy": True})
    worker, pool = MagicMock(in_flight=0, free_slots=0), MagicMock()
    pool.get_size.return_value = pool.get_idle_size.return_value = 0
    for family in Metrics(pool, router, worker).collect():
        if family.name.startswith("diptych_"):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            names: Any = labels.get(family.name) or getattr(family, "_labelnames", ())
            yield name, family.type, tuple(names), family.documentation


def metrics_table() -> str:
    """Our own metrics, as /metrics serves them."""
    return format_table(
        ("metric", "type", "labels", "meaning"),
        ((f"`{name}`", kind, ", ".join(labels), text) for name, kind, labels, text in _collect_metrics()),
    )


# ---- Inngest


def _functions_table(specs: Iterable[Any]) -> str:
    return format_table(
        ("job kind", "event", "function", "at once", "starts per minute"),
        (
            (
                *(f"`{spec.id}`", f"`{spec.event}`", f"`{spec.function_id}`"),
                *(str(spec.concurrency), str(spec.starts_per_minute)),
            )
            for spec in specs
        ),
    )


def service_functions_table() -> str:
    """The functions of the services."""
    return _functions_table(SERVICES.values())


def internal_functions_table() -> str:
    """The functions of the internal jobs."""
    return _functions_table(INTERNAL_JOBS.values())


def scheduled_tasks_table() -> str:
    """The scheduled tasks with their cron functions."""
    tasks = create_scheduled_tasks(MagicMock(), MagicMock(), MagicMock(), MagicMock())
    return format_table(
        ("task", "cron (UTC)", "function"),
        ((f"`{task.id}`", f"`{task.cron}`", f"`{task.function_id}`") for task in tasks),
    )


# ---- HTTP and failures


def routes_table() -> str:
    """The routes of the process, without Inngest's and the sandbox's."""
    app, any_part = web.Application(), MagicMock()
    dashboard = Dashboard(*[any_part] * 8)
    parts: list[Any] = [
        Landing(sandbox=False, inngest_url=None),
        Health(any_part, any_part, any_part, any_part),
        Metrics(any_part, any_part, any_part),
        TelegramWebhook(any_part, any_part, ""),
        ReplicateWebhook(any_part, any_part, any_part),
        dashboard,
    ]
    for part in parts:
        part.add_routes(app)
    rows = []
    for resource in app.router.resources():
        for route in resource:
            path = route.resource.canonical if route.resource else ""
            if route.method != "HEAD" and "static" not in path and not path.endswith("/dashboard/"):
                rows.append((f"`{route.method} {path}`", _summary(route.handler)))
    return format_table(("route", "meaning"), rows)


def provider_errors_table() -> str:
    """What each kind of provider error becomes."""
    failures = {kind: failure_from_kind(kind, "") for kind in ErrorKind}
    return format_table(
        ("`ErrorKind`", "failure", "key", "retried"),
        (
            (f"`{kind.value}`", f"`{type(each).__name__}`", f"`{each.key}`", "yes" if each.retriable else "no")
            for kind, each in failures.items()
        ),
    )


TABLES: Final[Mapping[str, Callable[[], str]]] = {
    "settings": settings_table,
    "services": services_table,
    "models": models_table,
    "tiers": tiers_table,
    "commands": user_commands_table,
    "admin-commands": admin_commands_table,
    "metrics": metrics_table,
    "service-functions": service_functions_table,
    "internal-functions": internal_functions_table,
    "scheduled-tasks": scheduled_tasks_table,
    "routes": routes_table,
    "provider-errors": provider_errors_table,
}
