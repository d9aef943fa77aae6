"""docs/comparison.md: nine rows, and behind each of our cells a test or a page of figures that exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parent.parent / "docs" / "comparison.md"
ROWS = [
    "Database layer",
    "Migrations",
    "Pool",
    "Query analysis",
    "Performance monitoring",
    "Index recommendation",
    "Performance tests",
    "Type safety",
    "Performance",
]
LINK = re.compile(r"\[([^\]]+)\]\(([^)]+)\)")


def rows() -> dict[str, list[str]]:
    """The cells of each row behind its name."""
    table = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| **")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    return {name.strip("*"): rest for name, *rest in cells}


def links() -> list[tuple[str, str]]:
    return [link for cells in rows().values() for link in LINK.findall(cells[-1])]


def test_the_nine_rows_of_the_report_are_there_with_a_cell_for_each_project() -> None:
    assert list(rows()) == ROWS
    assert all(len(cells) == 3 and all(cells) for cells in rows().values())


@pytest.mark.parametrize("row", ROWS)
def test_each_of_our_cells_is_proved_by_a_test_or_a_figure(row: str) -> None:
    theirs, ours = rows()[row][:2], rows()[row][-1]
    assert LINK.findall(ours)
    assert not LINK.findall("".join(theirs))


@pytest.mark.parametrize(("words", "target"), links())
def test_what_a_link_names_exists(words: str, target: str) -> None:
    path = PAGE.parent / target
    assert path.is_file()
    if path.suffix == ".py":
        tree = ast.parse(path.read_text("utf-8"))
        names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert words.strip("`") in names
