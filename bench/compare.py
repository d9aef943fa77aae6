"""What moved between two runs, beyond what chance moves.

Times of two runs differ for many reasons, of which the code is one. So where a case has a contender whose code is not
ours, times are compared in multiples of that one's: it was interleaved with them in its own run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from bench import figures
from bench.tables import duration, times

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.report import Case, Report

__all__ = ["Move", "described", "differences", "move_table", "moves"]

# What can be told from chance but is smaller than this part is not worth a line.
_LEAST: Final = 0.05
# Who a case is measured by: the first of these that took part in it.
_YARDSTICKS: Final = ("raw", "idiom", "its dependencies")
# Where runs differ in one of these, a change of the times tells of that and not of the code.
_SAME: Final = ("CPU", "cores", "system", "Python", "event loop", "PostgreSQL", "fsync", "synchronous_commit")


class Move(NamedTuple):
    """A time that is another one now.

    Attributes:
        question: which asked for it.
        case: of what.
        contender: whose.
        figure: time, p50 or p99.
        before: its median in the old run, in seconds.
        after: its median in the new run.
        beside: in multiples of whose time the two are compared; None where the times themselves are.
        change: the new one divided by the old one; the interval does not hold 1.
    """

    question: str
    case: str
    contender: str
    figure: str
    before: float
    after: float
    beside: str | None
    change: figures.Interval


def moves(old: Report, new: Report) -> list[Move]:
    """Return the times of both runs that differ beyond the noise, by at least 5 %, in the order of the new run.

    The interval is one of 99 %: of the hundred times of a run, chance may move one.
    """
    before = {(answer.question, case.name): case for answer in old.answers for case in answer.cases}
    return [
        move
        for answer in new.answers
        for case in answer.cases
        if (then := before.get((answer.question, case.name)))
        for move in _moves(answer.question, then, case)
        if not move.change.low <= 1 <= move.change.high and abs(move.change.value - 1) >= _LEAST
    ]


def _moves(question: str, then: Case, now: Case) -> Iterator[Move]:
    """Yield each time that a case has in both runs, moved or not."""
    shared = [each.name for each in now.contenders if then.rounds(each.name, "time") and now.rounds(each.name, "time")]
    beside = next((name for name in _YARDSTICKS if name in shared), None)
    for name in shared:
        for figure in ("time", "p50", "p99"):
            old, new = then.rounds(name, figure), now.rounds(name, figure)
            if old and new and name != beside:
                change = figures.change(old, new, *_yardsticks(beside, figure, then, now))
                yield Move(
                    question, now.name, name, figure,
                    figures.median(old).value, figures.median(new).value, beside, change,
                )  # fmt: skip


def _yardsticks(beside: str | None, figure: str, *cases: Case) -> list[list[float]]:
    return [case.rounds(beside, figure) or [1.0] for case in cases] if beside else []


def differences(old: Report, new: Report) -> list[str]:
    """Return in what the environments differ, so that times cannot be compared as they are."""
    names = [name for name in _SAME if old.environment.get(name) != new.environment.get(name)]
    return [f"{name}: {old.environment.get(name)} → {new.environment.get(name)}" for name in names]


def move_table(moved: list[Move]) -> Table | Text:
    """Return what moved, a line for each figure."""
    if not moved:
        return Text("nothing moved beyond the noise", style="bold")
    drawn = Table(title="moved beyond the noise", title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    for heading in ("", "before", "after", "change", "99 %"):
        drawn.add_column(heading, justify="right" if heading else "left")
    for move in moved:
        style = "red" if move.change.value > 1 else "green"
        drawn.add_row(
            described(move), duration(move.before), duration(move.after),
            Text(times(move.change.value), style=style), f"{move.change.low:.2f}–{move.change.high:.2f}",
        )  # fmt: skip
    return drawn


def described(move: Move) -> str:
    """Return of what and whose a time is, and beside whose it is compared."""
    whose = f"{move.contender} in multiples of {move.beside}" if move.beside else move.contender
    return f"{move.question}: {move.case}, {move.figure} of {whose}"
