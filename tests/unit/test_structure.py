"""The rules of the layout that import-linter cannot express: see CONTRIBUTING.md."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRODUCT = ("bot", "handlers", "inngest_functions", "providers", "services", "storage", "web")
FOLDERS = (*PRODUCT, "sandbox", "bench", "tests")
MAX_LINES = 400
MAX_MODULES = 15
MAX_TEST_MODULES = 25
OLD_NAMES = re.compile(r"errand|film", re.IGNORECASE)


def python_files(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_files_have_at_most_400_lines() -> None:
    too_long = {
        relative(path): length
        for path in python_files(*FOLDERS)
        if (length := len(path.read_text().splitlines())) > MAX_LINES
    }
    assert not too_long


def test_folders_have_at_most_15_modules() -> None:
    """`services/generation` holds one file for each service, so it may hold more; tests may hold 25."""
    modules: dict[str, int] = {}
    for path in python_files(*FOLDERS):
        if path.name != "__init__.py":
            modules[relative(path.parent)] = modules.get(relative(path.parent), 0) + 1
    del modules["services/generation"]
    too_full = {
        folder: count
        for folder, count in modules.items()
        if count > (MAX_TEST_MODULES if folder.startswith("tests") else MAX_MODULES)
    }
    assert not too_full


def test_services_has_at_most_3_modules_beside_packages() -> None:
    beside = [path.name for path in (ROOT / "services").glob("*.py") if path.name != "__init__.py"]
    assert len(beside) <= 3, beside


def test_python_files_use_no_replaced_words() -> None:
    found = [
        relative(path)
        for path in python_files(*FOLDERS)
        if path != Path(__file__) and OLD_NAMES.search(relative(path) + path.read_text())
    ]
    assert not found


def test_glossary_files_exist() -> None:
    folder = ROOT / "docs"
    links = re.findall(r"\]\(([^)#]+)\) \|$", (folder / "glossary.md").read_text(), re.MULTILINE)
    assert len(links) > 40, "each term names its file"
    assert not [link for link in links if not (folder / link).is_file()]


@pytest.mark.parametrize("folder", ["handlers", "web"])
def test_handlers_and_web_import_only_read_models_from_storage(folder: str) -> None:
    """Changes of state go through services: from storage come classes, constants, the pool, and the reports."""
    offending = [
        f"{relative(path)}: {node.module}.{alias.name}"
        for path in python_files(folder)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("storage")
        for alias in node.names
        if not (alias.name[0].isupper() or (node.module or "").startswith("storage.reports"))
    ]
    assert not offending
