"""Markdown for the generated tables."""

from collections.abc import Iterable


def format_table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table.

    Args:
        header: The titles of the columns.
        rows: The cells of each row. White space in a cell becomes one blank, a pipe is escaped.
    """
    header = tuple(header)
    cells = (header, ("---",) * len(header), *(tuple(row) for row in rows))
    return "".join(f"| {' | '.join(_escape(cell) for cell in row)} |\n" for row in cells)


def _escape(cell: str) -> str:
    return " ".join(cell.replace("|", r"\|").split())


def code(*names: str) -> str:
    """Names in code style, separated by commas."""
    return ", ".join(f"`{name}`" for name in names)
