"""Every log call of the product is an event with fields (bot/logs.py), so that logs can be searched and counted."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import bot.logs

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("bot", "handlers", "inngest_functions", "providers", "services", "storage", "web", "main.py")
LEVELS = ("debug", "info", "warning", "error", "exception", "critical")
EVENT = re.compile(r"[a-z][\w' /,-]*[\w']")
FIELDS = frozenset(
    name
    for line in re.findall(r"^    ([a-z_]+(?:, [a-z_]+)*) {2,}\S", bot.logs.__doc__ or "", re.MULTILINE)
    for name in line.split(", ")
)


def log_calls(source: str) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and re.match(r"logger\b", ast.unparse(node.func))
            and node.func.attr in (*LEVELS, "contextualize")
        ):
            yield node


def find_faults(source: str) -> list[str]:
    """What is wrong with the log calls of a module, one line for each fault."""
    faults = []
    for call in log_calls(source):
        assert isinstance(call.func, ast.Attribute)
        if call.func.attr != "contextualize":
            event = call.args[0] if call.args else None
            if not isinstance(event, ast.Constant) or not isinstance(event.value, str):
                faults.append(f"{call.lineno}: the event is not a constant")
            elif not EVENT.fullmatch(event.value):
                faults.append(f"{call.lineno}: not a lower-case phrase without punctuation: {event.value!r}")
            if len(call.args) > 1:
                faults.append(f"{call.lineno}: a value without a name")
        elif call.args:
            faults.append(f"{call.lineno}: a value without a name")
        unknown = [field.arg for field in call.keywords if field.arg not in FIELDS]
        faults += [f"{call.lineno}: {name or '**'} is not a field of bot/logs.py" for name in unknown]
    return faults


def product_modules() -> list[Path]:
    paths = [ROOT / name for name in PRODUCT]
    return [file for path in paths for file in (path.rglob("*.py") if path.is_dir() else [path])]


def test_log_calls_of_the_product_are_events_with_known_fields() -> None:
    modules = [file for file in product_modules() if file != ROOT / "bot/logs.py"]
    assert sum(len(list(log_calls(file.read_text()))) for file in modules) > 90
    faults = [f"{file.relative_to(ROOT)}:{fault}" for file in modules for fault in find_faults(file.read_text())]
    assert faults == []


def test_listed_fields_are_all_in_use() -> None:
    used = {
        field.arg for file in product_modules() for call in log_calls(file.read_text()) for field in call.keywords
    }
    assert FIELDS - used == {"logger"}


@pytest.mark.parametrize(
    ("call", "fault"),
    [
        ('logger.info(f"job {job.id} claimed")', "not a constant"),
        ('logger.info(text, job="1")', "not a constant"),
        ('logger.warning("job {} claimed", job.id)', "lower-case phrase"),
        ('logger.error("Job claimed")', "lower-case phrase"),
        ('logger.opt(exception=error).error("job claimed.")', "lower-case phrase"),
        ('logger.info("job claimed", job.id)', "without a name"),
        ('logger.info("job claimed", order=job.id)', "order is not a field"),
        ('logger.info("job claimed", **fields)', "** is not a field"),
        ("logger.contextualize(order=job.id)", "order is not a field"),
    ],
)
def test_find_faults_call_outside_the_convention_is_reported(call: str, fault: str) -> None:
    assert any(fault in found for found in find_faults(call))


def test_find_faults_event_with_fields_has_none() -> None:
    assert find_faults('logger.opt(exception=error).error("job claimed, retrying", job=job.id, plan="B")') == []
