"""The tables that repeat the code are up to date, and so are the keys and names that pages list by hand."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from scripts.generate_docs import ROOT, stale_files
from services.core.errors import Failure
from storage.jobs.jobs import JobState

REFERENCE = ROOT / "docs" / "reference"


def failure_classes(base: type[Failure] = Failure) -> Iterator[str]:
    yield base.__name__
    for each in base.__subclasses__():
        yield from failure_classes(each)


def keys_of_failures(path: Path) -> Iterator[str]:
    """The keys with which the module makes failures."""
    classes = set(failure_classes())
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in classes
            and node.args
        ):
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield first.value


def section(page: str, title: str) -> str:
    text = (REFERENCE / page).read_text(encoding="utf-8")
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def first_cells(text: str) -> set[str]:
    """The names in code style in the first column of a table."""
    rows = re.findall(r"^\| (`[^|]+) \|", text, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def test_generated_tables_are_up_to_date() -> None:
    assert not stale_files(), "run .venv/bin/python -m scripts.generate_docs"


def test_database_page_lists_every_table() -> None:
    created = {
        name
        for path in (ROOT / "migrations").glob("*.sql")
        for name in re.findall(r"^CREATE (?:TABLE|VIEW) (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert first_cells(section("database.md", "Tables")) == created | {"schema_migrations"}


def test_failures_page_lists_every_key_that_code_fails_with() -> None:
    paths = [path for folder in ("services", "handlers", "bot") for path in (ROOT / folder).rglob("*.py")]
    used = {key for path in paths for key in keys_of_failures(path)}
    assert "failure.delivery" in used
    of_orders = {key for key in used if key.partition(".")[0] not in ("promo", "broadcast")}
    assert of_orders <= first_cells(section("failures.md", "Keys"))


def test_states_page_lists_every_state_of_a_job() -> None:
    assert first_cells(section("states.md", "Job")) == set(get_args(JobState))
