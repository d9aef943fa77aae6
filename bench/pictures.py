"""The plots of the documentation: a few, each an SVG file that needs nothing else and is readable in light and dark."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from matplotlib.figure import Figure

from bench import figures
from bench.plots import bars, colour_of, drawn, element, lines
from bench.tables import times

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from bench.report import Case, Report

__all__ = ["pictures", "write"]

_SINGLE: Final = ("get", "recent", "append", "page", "touch", "context", "transaction")
_WIDTH: Final = 540  # pixels, where there is room
_TICKS: Final = (0.5, 1, 2, 5, 10, 20)
# An image cannot take the colours of the page around it, so it brings its ground along.
_COLOURS: Final = (
    "<style>svg { color: #1c1917; background: #ffffff; font-family: system-ui, sans-serif }"
    " svg text { font-family: inherit !important }"
    " @media (prefers-color-scheme: dark) { svg { color: #e9e5e0; background: #151413 } }</style>"
)


def write(report: Report, folder: Path) -> None:
    """Write the plots that a run has figures for into a folder, which is made; others there are left alone."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, svg in pictures(report).items():
        (folder / f"{name}.svg").write_text(svg, "utf-8")


def pictures(report: Report) -> dict[str, str]:
    """Return the plots by name, as far as the questions were asked: `single`, `concurrent`, `growth`, `search`."""
    cases = {answer.question: [case for case in answer.cases if case.rounds(0, "time")] for answer in report.answers}
    single = [case for name in _SINGLE for case in cases.get(name, [])]
    kinds = (
        ("single", _ratios, single, "Time of each peer in multiples of ours, for single operations"),
        ("concurrent", bars, cases.get("concurrent", []), "Time of a call of 100 tasks at once"),
        ("growth", bars, cases.get("growth", []), "Time of single operations as the tables grow"),
        ("search", lines, cases.get("search", []), "Time of a search as the memories of an agent grow"),
    )
    return {name: _file(drawn(how, of), label) for name, how, of, label in kinds if of}


def _ratios(cases: Sequence[Case]) -> Figure:
    """Draw the time of each peer in multiples of ours, a line of points for each case."""
    figure = Figure(figsize=(5.0, 1.1 + 0.42 * len(cases)), layout="constrained")
    axes = figure.subplots()
    for name, points in _by_peer(cases).items():
        ends = [[at.value - at.low for _, at in points], [at.high - at.value for _, at in points]]
        axes.errorbar(
            [at.value for _, at in points], [place for place, _ in points], xerr=ends, label=name,
            fmt="o", markersize=6, color=colour_of(name), elinewidth=1.5, alpha=0.9,
        )  # fmt: skip
    axes.axvline(1, color=colour_of("ours"), linewidth=1.5, label="ours")
    axes.set_yticks(range(len(cases)), [case.name for case in cases])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xticks(_TICKS, [times(tick) for tick in _TICKS])
    axes.minorticks_off()
    axes.grid(visible=True, axis="x", alpha=0.15)
    axes.tick_params(left=False)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure


def _by_peer(cases: Sequence[Case]) -> dict[str, list[tuple[int, figures.Interval]]]:
    """Return the ratios of each contender to the first one, ours, with the place of the case."""
    found: dict[str, list[tuple[int, figures.Interval]]] = {}
    for place, case in enumerate(cases):
        for name, ratio in _to_the_first(case):
            found.setdefault(name, []).append((place, ratio))
    return found


def _to_the_first(case: Case) -> Iterator[tuple[str, figures.Interval]]:
    first = case.contenders[0].rounds["time"]
    return ((each.name, figures.ratio(each.rounds["time"], first)) for each in case.contenders[1:])


def _file(figure: Figure, label: str) -> str:
    """Return an SVG file, with a size and colours of its own."""
    svg = element(figure, label)
    _, _, width, height = map(float, re.findall(r"[\d.]+", re.findall(r'viewBox="([^"]*)"', svg)[0]))
    size = f'width="{_WIDTH}" height="{height * _WIDTH / width:.0f}"'
    return re.sub(r"<svg ([^>]*)>", rf"<svg {size} \1>{_COLOURS}", svg, count=1) + "\n"
