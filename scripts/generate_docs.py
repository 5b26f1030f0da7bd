"""Write the tables of the docs that repeat the code, and .env.example.

A table stands between `<!-- generated: NAME -->` and `<!-- end -->` in a page of docs/. scripts/docs/tables.py lists
the names.
"""

import argparse
import re
import sys
from pathlib import Path
from typing import Final

from scripts.docs.settings import env_example
from scripts.docs.tables import TABLES

ROOT: Final = Path(__file__).resolve().parents[1]
_BLOCK: Final = re.compile(r"(<!-- generated: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def generate() -> dict[Path, str]:
    """The content that each generated file, and each page with a generated table, should have."""
    tables = {name: create() for name, create in TABLES.items()}
    contents = {ROOT / ".env.example": env_example()}
    used: set[str] = set()
    for page in sorted((ROOT / "docs").rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        used |= (names := {match[2] for match in _BLOCK.finditer(text)})
        if unknown := names - tables.keys():
            raise SystemExit(f"{page.relative_to(ROOT)}: no such table: {', '.join(sorted(unknown))}")
        if names:
            contents[page] = _BLOCK.sub(lambda match: match[1] + tables[match[2]] + match[3], text)
    if unused := tables.keys() - used:
        raise SystemExit(f"in no page: {', '.join(sorted(unused))}")
    return contents


def stale_files() -> list[str]:
    """The files that differ from what the code says, as paths within the repository."""
    return [
        path.relative_to(ROOT).as_posix()
        for path, content in generate().items()
        if path.read_text(encoding="utf-8") != content
    ]


def main() -> int:
    """Write or check the files, as the command line says. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.generate_docs", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a file is out of date")
    check = parser.parse_args().check
    stale = stale_files()
    for name in stale:
        print(f"{name} is out of date" if check else f"updated {name}")
    if check:
        return 1 if stale else 0
    for path, content in generate().items():
        path.write_text(content, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
