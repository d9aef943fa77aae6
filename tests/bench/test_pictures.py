from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench import pictures
from bench.cli import main
from bench.report import Case, Report
from tests.bench.conftest import answered, made, report

ROUNDS = (1e-3, 1.1e-3)


@pytest.fixture
def whole() -> Report:
    """Figures for each of the plots, in cases as the questions name them."""
    peers = [made("ours", *ROUNDS), made("raw", 8e-4, 9e-4), made("ORM", 7e-3, 8e-3)]
    grown = [made("10,000 rows", *ROUNDS), made("100,000 rows", *ROUNDS)]
    found = [Case(name=f"search {size:,} memories", at=size, contenders=peers) for size in (1_000, 10_000)]
    return report(
        answered("get", Case(name="get an agent", contenders=peers)),
        answered("recent", Case(name="recent 50 messages", contenders=peers[::2])),
        answered("concurrent", Case(name="100 tasks, get", contenders=peers)),
        answered("growth", Case(name="get", contenders=grown)),
        answered("search", *found),
    )


def words(svg: str) -> set[str]:
    root = ET.fromstring(svg)
    return {"".join(text.itertext()).strip() for text in root.iter("{http://www.w3.org/2000/svg}text")}


def test_each_plot_names_what_it_shows(whole: Report) -> None:
    drawn = pictures.pictures(whole)
    assert list(drawn) == ["single", "concurrent", "growth", "search"]
    assert {"get an agent", "recent 50 messages", "raw", "ORM", "ours", "1 ×"} <= words(drawn["single"])
    assert {"100 tasks, get", "raw"} <= words(drawn["concurrent"])
    assert {"10,000 rows", "100,000 rows"} <= words(drawn["growth"])
    assert {"1,000", "10,000", "ours"} <= words(drawn["search"])


def test_a_file_is_small_has_its_size_and_both_grounds_and_needs_nothing_else(whole: Report) -> None:
    for svg in pictures.pictures(whole).values():
        root = ET.fromstring(svg)
        assert root.get("width") == "540"
        assert int(root.get("height") or 0) > 100
        assert "prefers-color-scheme: dark" in svg
        assert not re.search(r"<script|(?:href|src)=\"(?!#)|@import|url\((?!#)", svg)
        assert len(svg) < 60_000


def test_the_same_report_gives_the_same_files(whole: Report) -> None:
    assert pictures.pictures(whole) == pictures.pictures(whole)


def test_what_was_not_asked_is_not_drawn(some_report: Report) -> None:
    assert list(pictures.pictures(some_report)) == ["single"]
    assert pictures.pictures(report()) == {}


def test_the_command_writes_them_from_an_earlier_run(whole: Report, tmp_path: Path) -> None:
    saved, folder = tmp_path / "run.json", tmp_path / "docs" / "images"
    saved.write_text(whole.model_dump_json(), "utf-8")
    assert main(["--show", str(saved), "--plots", str(folder)]) == 0
    assert {path.name for path in folder.iterdir()} == {"single.svg", "concurrent.svg", "growth.svg", "search.svg"}
