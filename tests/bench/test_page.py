from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

from bench import page
from bench.plots import plots
from bench.report import Case, Contender, Report
from tests.bench.conftest import answered, made, report

VOID = {"meta", "br", "path"}


class Structure(HTMLParser):
    """Which elements there are, and that each is closed by its own end."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def structure(html: str) -> Structure:
    parsed = Structure()
    parsed.feed(html)
    assert parsed.open == []
    return parsed


def test_each_question_has_its_section_with_plot_and_tables(some_report: Report) -> None:
    tags = structure(page.render(some_report)).seen
    assert {attrs["id"] for tag, attrs in tags if tag == "h2" and "id" in attrs} == {
        "get", "bulk", "context", "ceiling", "recent",
    }  # fmt: skip
    assert sum(tag == "svg" for tag, _ in tags) == 2
    assert sum(tag == "caption" for tag, _ in tags) == 4
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in tags


def test_the_page_needs_nothing_else(some_report: Report) -> None:
    html = page.render(some_report)
    tags = structure(html).seen
    assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in tags}
    assert not [attrs for _, attrs in tags if {"src", "href"} & set(attrs)]
    assert not re.search(r"@import|url\((?!#)", html)


def test_words_of_others_stay_words(some_report: Report) -> None:
    html = page.render(some_report)
    assert "OSError: &lt;nobody&gt; &amp; nothing" in html
    assert "<nobody>" not in html


def test_targets_stand_with_what_became_of_them(some_report: Report) -> None:
    html = page.render(some_report)
    assert '<span class="good">met</span>' in html
    assert '<span class="faint">not measured</span>' in html


def test_a_comparison_says_what_moved_or_that_nothing_did(some_report: Report) -> None:
    assert "<p>Nothing.</p>" in page.render(some_report, some_report)
    assert "Moved beyond the noise" not in page.render(some_report)


def test_a_plot_is_an_image_with_a_name_in_the_colours_of_the_page(some_report: Report) -> None:
    for answer in some_report.answers[:2]:
        (drawn,) = plots(answer)
        svg = ET.fromstring(drawn)
        assert svg.get("role") == "img"
        assert svg.get("aria-label") == f"Plot: {answer.asks}"
        assert (svg.get("width"), svg.get("height")) == (None, None)
        assert svg.get("viewBox")
        assert "currentColor" in drawn
        assert "#010203" not in drawn
        words = {"".join(text.itertext()).strip() for text in svg.iter("{http://www.w3.org/2000/svg}text")}
        assert {"ours", "raw"} <= words


def test_plots_of_one_page_do_not_share_ids(some_report: Report) -> None:
    ids = [attrs["id"] for tag, attrs in structure(page.render(some_report)).seen if "id" in attrs and tag == "g"]
    assert ids == []


def test_counts_and_failures_have_no_plot(some_report: Report) -> None:
    assert [plots(answer) for answer in some_report.answers[2:]] == [[], [], []]


def test_what_has_no_size_is_drawn_beside_what_has_several(some_report: Report) -> None:
    bulk = some_report.answers[1]
    more = bulk.model_copy(update={"cases": [*bulk.cases, *some_report.answers[0].cases]})
    sized, plain = plots(more)
    assert "get an agent" in plain
    assert "get an agent" not in sized


def test_a_contender_without_latencies_stands_beside_one_that_has_them() -> None:
    at_once = Contender(name="ours", rounds={"time": [1e-4, 1e-4]})
    case = Case(name="create 200", contenders=[at_once, made("row by row", 1e-3, 1e-3)])
    html = page.render(report(answered("batch", case)))
    rows = re.findall(r"<tr>.*?</tr>", html, re.DOTALL)
    assert any("p50" in row for row in rows)
    assert all(len(re.findall("<t[dh]", row)) == 7 for row in rows if "create" not in row and "row by row" in row)
