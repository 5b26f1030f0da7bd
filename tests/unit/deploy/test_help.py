"""Every script and every module that can be run prints its usage with `--help`, and does nothing else."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FOLDERS = ("bench", "bot", "handlers", "inngest_functions", "providers", "sandbox", "services", "storage", "web")
SCRIPTS = sorted(path.name for path in (ROOT / "scripts").glob("*.sh"))


def runnable_files() -> list[str]:
    """`main.py`, and the modules that do something when they are run with `python -m`."""
    files = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
    return ["main.py"] + [
        path.relative_to(ROOT).as_posix()
        for path in files
        if path.name == "__main__.py" or '\nif __name__ == "__main__":\n' in path.read_text()
    ]


@pytest.mark.parametrize("script", SCRIPTS)
def test_script_with_help_prints_its_usage_from_any_folder(script: str, tmp_path: Path) -> None:
    """In a folder without .venv, where anything else would set one up."""
    scripts = tmp_path / "scripts"
    (scripts / "lib").mkdir(parents=True)
    for path in (*(ROOT / "scripts").glob("*.sh"), *(ROOT / "scripts/lib").glob("*.sh")):
        (tmp_path / path.relative_to(ROOT)).write_bytes(path.read_bytes())
    done = subprocess.run(
        ["bash", f"./{script}", "--help"], cwd=scripts, capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert f"scripts/{script}" in done.stdout
    assert "set -euo" not in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scripts"]


@pytest.mark.parametrize("file", runnable_files())
def test_module_with_help_prints_its_usage(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """In this process, which has most of the imports: a process for each would take seconds."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [file, "--help"])
    with pytest.raises(SystemExit) as exit_info:
        runpy.run_path(str(ROOT / file), run_name="__main__")
    assert exit_info.value.code in (None, 0)
    output = capfd.readouterr()
    module = file.removesuffix(".py").removesuffix("/__main__").replace("/", ".")
    command = "python main.py" if file == "main.py" else f"python -m {module}"
    assert output.out.startswith(f"usage: {command} [-h]")
    assert not output.err
    assert not list(tmp_path.iterdir())
