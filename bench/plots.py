"""Plots as SVG that lives in a page: text as text, in the colour of the text around it."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure

from bench import figures
from bench.tables import duration

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.axes import Axes

    from bench.report import Answer, Case

__all__ = ["bars", "colour_of", "drawn", "element", "lines", "plots"]

_WIDTH: Final = 5.0  # inches of 72 units: little more than a phone is wide, so that letters stay readable there
_BAR: Final = 0.28
_TEXT: Final = "#010203"  # stands for the colour of the page's text
# Middle tones, which can be told from a light and from a dark ground.
_COLOURS: Final = {
    "ours": "#3b82f6", "coalesced": "#10b981", "raw": "#a855f7", "idiom": "#f59e0b", "ORM": "#ef4444",
    "psycopg": "#84807a", "LangGraph": "#06b6d4",
}  # fmt: skip
# Of one contender in several sizes.
_OTHERS: Final = ("#93c5fd", "#60a5fa", "#3b82f6", "#2563eb")
_STYLE: Final[Any] = {
    "svg.fonttype": "none", "svg.hashsalt": "bench", "font.family": "sans-serif", "font.size": 11,
    "text.color": _TEXT, "axes.labelcolor": _TEXT, "axes.edgecolor": _TEXT, "xtick.color": _TEXT, "ytick.color": _TEXT,
    "axes.spines.top": False, "axes.spines.right": False, "axes.titlelocation": "left", "axes.titlesize": 11,
}  # fmt: skip


def plots(answer: Answer) -> list[str]:
    """Return the plots of an answer as SVG elements: lines for what has several sizes, bars for other times."""
    timed = [case for case in answer.cases if case.rounds(0, "time")]
    sized = [case for case in timed if case.at is not None]
    several = sized if len(sized) > 1 else []
    kinds = ((lines, several), (bars, [case for case in timed if case not in several]))
    return [element(drawn(how, cases), f"Plot: {answer.asks}") for how, cases in kinds if cases]


def drawn(how: Callable[[Sequence[Case]], Figure], cases: Sequence[Case]) -> Figure:
    """Return what a function draws of some cases, in the style of the page."""
    with mpl.rc_context(_STYLE):
        return how(cases)


def bars(cases: Sequence[Case]) -> Figure:
    """Draw the time of each contender, below one another; an axis for each case."""
    heights = [len(case.contenders) for case in cases]
    figure = Figure(figsize=(_WIDTH, sum(heights) * _BAR + len(cases) * 0.75), layout="constrained")
    grid: list[list[Axes]] = figure.subplots(len(cases), 1, squeeze=False, height_ratios=heights).tolist()
    for case, (axes,) in zip(cases, grid, strict=True):
        _bars_of(case, axes)
    return figure


def _bars_of(case: Case, axes: Axes) -> None:
    names = [contender.name for contender in case.contenders]
    found = [figures.median(contender.rounds["time"]) for contender in case.contenders]
    ends = [[at.value - at.low for at in found], [at.high - at.value for at in found]]
    axes.barh(
        names, [at.value for at in found], xerr=ends, height=0.7, ecolor=_TEXT, error_kw={"linewidth": 0.8},
        color=[colour_of(name, place) for place, name in enumerate(names)],
    )  # fmt: skip
    for place, at in enumerate(found):
        axes.annotate(duration(at.value), (at.high, place), xytext=(4, 0), textcoords="offset points", va="center")
    axes.set_title(case.name)
    axes.set_xlim(0, max(at.high for at in found) * 1.3)
    axes.invert_yaxis()
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(left=False)


def lines(cases: Sequence[Case]) -> Figure:
    """Draw how the times of the contenders grow with the sizes of the cases."""
    figure = Figure(figsize=(_WIDTH, 3.4), layout="constrained")
    axes = figure.subplots()
    for place, contender in enumerate(cases[0].contenders):
        name, colour = contender.name, colour_of(contender.name, place)
        known = [(case.at, rounds) for case in cases if (rounds := case.rounds(name, "time"))]
        found = [figures.median(rounds) for _, rounds in known]
        sizes = [at or 0.0 for at, _ in known]
        axes.plot(sizes, [at.value for at in found], marker="o", markersize=3, color=colour, label=name)
        axes.fill_between(
            sizes, [at.low for at in found], [at.high for at in found], color=colour, alpha=0.2, linewidth=0
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.yaxis.set_major_formatter(lambda value, _: duration(value))
    axes.minorticks_off()
    axes.grid(visible=True, alpha=0.15, color=_TEXT)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure


def colour_of(name: str, place: int = 0) -> str:
    """Return the colour of a contender, always the same one for those that take part in many cases."""
    return _COLOURS.get(name.partition(",")[0]) or _OTHERS[place % len(_OTHERS)]


def element(figure: Figure, label: str) -> str:
    """Return a figure as an SVG element without a size of its own, with a name for those who cannot see it."""
    written = io.StringIO()
    with mpl.rc_context(_STYLE):
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = written.getvalue()
    svg = svg[svg.index("<svg") :].replace(_TEXT, "currentColor")
    # Names of groups, to which nothing refers: several plots in one page would share them.
    svg = re.sub(r'(<g) id="[^"]*"', r"\1", svg)
    size = re.compile(r'<svg ([^>]*?)\s*(?:width|height)="[^"]*pt"')
    while size.search(svg):
        svg = size.sub(r"<svg \1", svg, count=1)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{label.replace(chr(34), "")}" ', 1)
