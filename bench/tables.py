"""What a run found, as tables for a terminal; and the words that pages use for the same figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from bench import figures

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bench.report import Answer, Case, Contender, Verdict

__all__ = ["answer_tables", "between", "duration", "environment_table", "outcome", "quantity", "times", "verdict_table"]

_UNITS: Final = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (0.0, "ns"))
_STYLES: Final = {True: "green", False: "red", None: "dim"}


def duration(seconds: float) -> str:
    """Write a time with three digits and a unit in which it is between 1 and 1,000."""
    scale, unit = next((scale, unit) for scale, unit in _UNITS if seconds >= scale)
    return f"{_digits(seconds / (scale or 1e-9))} {unit}"


def between(low: float, high: float, value: float) -> str:
    """Write the ends of an interval in the unit in which its figure, a time, is written; those of a ratio with 1."""
    scale = next(scale for scale, _ in _UNITS if value >= scale) or 1e-9
    return _ends(low / scale, high / scale)


def times(value: float) -> str:
    """Write a ratio."""
    return f"{_digits(value)} ×"


def quantity(value: float, unit: str) -> str:
    """Write a figure in its unit."""
    return f"{_digits(value)} {unit}".strip()


def _ends(low: float, high: float) -> str:
    return "–".join(f"{end:,.0f}" if end >= 10 or end == 0 else f"{end:.2g}" for end in (low, high))


def _digits(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def outcome(verdict: Verdict) -> str:
    """Say whether a target was met, and else by how much it was missed."""
    if verdict.value is None or verdict.low is None or verdict.high is None:
        return "not measured"
    close = verdict.low <= verdict.bound <= verdict.high
    said = "met" if verdict.missed_by is None else f"missed by {verdict.missed_by:.0%}"
    return f"{said}, within the noise" if close and verdict.low != verdict.high else said


def answer_tables(answer: Answer) -> Iterable[Table | Text]:
    """Return an answer: a line for each contender of each case."""
    yield Text(f"\n{answer.question}: {answer.asks} ({answer.seconds:.1f} s)", style="bold")
    for case in answer.cases:
        yield _case_table(case)
    if answer.skipped:
        yield Text(f"  skipped: {answer.skipped}", style="yellow")
    if answer.failed:
        yield Text(f"  failed: {answer.failed}", style="red")


def _case_table(case: Case) -> Table:
    drawn = Table(title=case.name, title_justify="left", title_style="", box=None, padding=(0, 1, 0, 0))
    drawn.add_column("", no_wrap=True)
    for heading in ("each", "95 %", "±", "ratio", "95 %", "p50", "p99"):
        drawn.add_column(heading, justify="right", no_wrap=True)
    for contender in case.contenders:
        drawn.add_row(contender.name, *_cells(case, contender))
    return drawn


def _cells(case: Case, contender: Contender) -> list[str]:
    rounds, first = contender.rounds.get("time"), case.rounds(0, "time")
    if not rounds or not first:
        (counts,) = contender.rounds.values()
        return [quantity(figures.median(counts).value, ""), *[""] * 6]
    own, ratio = figures.median(rounds), figures.ratio(rounds, first)
    tails = [contender.rounds.get(name) for name in ("p50", "p99")]
    return [
        duration(own.value),
        between(own.low, own.high, own.value),
        f"{figures.spread(rounds):.0%}",
        times(ratio.value),
        between(ratio.low, ratio.high, 1.0),
        *(duration(figures.median(tail).value) if tail else "" for tail in tails),
    ]


def verdict_table(verdicts: Iterable[Verdict]) -> Table:
    """Return the targets, and beside each what was measured."""
    drawn = Table(title="targets", title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    for heading, justify in (("target", "left"), ("measured", "right"), ("95 %", "right"), ("", "left")):
        drawn.add_column(heading, justify="right" if justify == "right" else "left")
    for verdict in verdicts:
        value = "" if verdict.value is None else quantity(verdict.value, verdict.unit)
        interval = "" if verdict.low is None or verdict.high is None else (
            _ends(verdict.low, verdict.high)
        )  # fmt: skip
        drawn.add_row(verdict.target, value, interval, Text(outcome(verdict), style=_STYLES[verdict.met]))
    return drawn


def environment_table(environment: dict[str, str]) -> Table:
    """Return on what the figures were taken."""
    drawn = Table(show_header=False, box=None)
    for name, value in environment.items():
        drawn.add_row(name, value)
    return drawn
