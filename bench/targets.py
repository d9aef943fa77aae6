"""The targets, and what a run says of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bench import figures
from bench.report import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bench.report import Answer, Case

__all__ = ["TARGETS", "Target", "judge"]

# A contender, by its name or its place among those of the case; and which of its figures.
Side = tuple[str | int, str]


@dataclass(frozen=True)
class Target:
    """What a figure, or the ratio of two, should be at most or at least.

    Attributes:
        text: in words.
        question: which measures it.
        case: how the name of its case begins; the last such case counts, which is the largest.
        of: whose figure.
        by: what it is divided by; None for the figure itself.
        at_most: the largest value that will do, or
        at_least: the smallest.
        unit: `×`, or that of the figure: ms, µs or none; values are scaled to it.
    """

    text: str
    question: str
    case: str
    of: Side
    by: Side | None = None
    at_most: float | None = None
    at_least: float | None = None
    unit: str = "×"

    @property
    def bound(self) -> float:
        """Return the one of both that is given."""
        return self.at_most if self.at_most is not None else self.at_least or 0.0


def _limit(text: str, question: str, case: str, times: float, *, of: str = "ours", by: str = "raw") -> Target:
    """Ours takes at most so many times what the limit takes."""
    return Target(text, question, case, (of, "time"), (by, "time"), at_most=times)


def _faster(text: str, question: str, case: str, times: float, peer: str, *, ours: str = "ours") -> Target:
    """The peer takes at least so many times what ours takes."""
    return Target(text, question, case, (peer, "time"), (ours, "time"), at_least=times)


_GROWN: Final = ((-1, "p50"), (0, "p50"))

TARGETS: Final = (
    _limit("get ≤ 1.3 × raw", "get", "get", 1.3),
    _faster("get ≥ 2.3 × faster than the idiom", "get", "get", 2.3, "idiom"),
    _faster("get ≥ 6 × faster than the ORM", "get", "get", 6, "ORM"),
    _limit("recent 50 ≤ 1.4 × raw", "recent", "recent", 1.4),
    _faster("recent 50 ≥ 4 × faster than the ORM", "recent", "recent", 4, "ORM"),
    _limit("append ≤ 1.3 × raw", "append", "append", 1.3),
    _limit("a lone coalesced append ≤ 1.1 × direct", "append", "append", 1.1, of="coalesced", by="ours"),
    _faster("the pool alone ≥ 2.5 × faster than the idiom's", "acquire", "lend", 2.5, "idiom"),
    Target("the pool alone, p99 ≤ 3 × p50", "acquire", "lend", ("ours", "p99"), ("ours", "p50"), at_most=3),
    *(
        _faster(f"{case} ≥ {times} × faster than {the}{peer}", "concurrent", case, times, peer, ours="coalesced")
        for case, times, the, peer in (
            ("100 tasks, get", 10, "the ", "idiom"),
            ("100 tasks, get", 40, "the ", "ORM"),
            ("100 tasks, get", 3, "", "LangGraph"),
            ("100 tasks, append", 3, "the ", "idiom"),
            ("100 tasks, append", 10, "the ", "ORM"),
        )
    ),
    _limit(
        "100 tasks, append ≤ 2 × LangGraph's put", "concurrent", "100 tasks, append", 2, of="coalesced", by="LangGraph"
    ),
    _faster("create_many of 10,000 ≥ 0.85 × the rate of raw COPY", "bulk", "batches of 10,000", 0.85, "raw"),
    Target(
        "create_many of 10,000 < 0.1 ms per item", "bulk", "batches of 10,000", ("ours", "time"), at_most=0.1, unit="ms"
    ),
    Target(
        "vectors of 384 numbers, no index: ≤ 12.5 µs each (80,000 in a second)",
        "bulk",
        f"{10_000:,} vectors",
        ("ours", "time"),
        at_most=12.5,
        unit="µs",
    ),
    Target("a context in 1 round trip", "context", "statements", ("ours", "count"), at_most=1, unit=""),
    *(
        Target(f"growth of the tables: {name} p50 ≤ 1.5 ×", "growth", name, *_GROWN, at_most=1.5)
        for name in ("get", "recent", "append", "page")
    ),
    Target("other tenants grow: search p50 ≤ 1.5 ×", "neighbours", "search", *_GROWN, at_most=1.5),
    Target("search 100,000 memories, p50 ≤ 10 ms", "search", "search 100,000", ("ours", "p50"), at_most=10, unit="ms"),
    Target(
        "hybrid search of 100,000 memories, p50 ≤ 25 ms",
        "hybrid",
        "hybrid 100,000",
        ("ours", "p50"),
        at_most=25,
        unit="ms",
    ),
    Target("observing a statement ≤ 5 µs", "observer", "observe", ("ours", "time"), at_most=5, unit="µs"),
    Target(
        "import ≤ 1.4 × its dependencies",
        "imports",
        "import",
        ("ours", "time"),
        ("its dependencies", "time"),
        at_most=1.4,
    ),
)

_SCALE: Final = {"ms": 1e3, "µs": 1e6}


def judge(answers: Iterable[Answer]) -> list[Verdict]:
    """Return a verdict on each target of the questions that were asked, in the order of the targets."""
    cases = {answer.question: answer.cases for answer in answers}
    return [_verdict(target, cases[target.question]) for target in TARGETS if target.question in cases]


def _verdict(target: Target, cases: list[Case]) -> Verdict:
    case = next((case for case in reversed(cases) if case.name.startswith(target.case)), None)
    value = _value(target, case) if case else None
    scale = _SCALE.get(target.unit, 1.0)
    at, low, high = (None, None, None) if value is None else (part * scale for part in value)
    return Verdict(
        question=target.question, target=target.text, measured=_measured(target, case) if case and value else "",
        value=at, low=low, high=high, bound=target.bound, at_most=target.at_most is not None, unit=target.unit,
    )  # fmt: skip


def _value(target: Target, case: Case) -> figures.Interval | None:
    over = case.rounds(*target.of)
    under = case.rounds(*target.by) if target.by else None
    if over is None or (target.by and under is None):
        return None
    return figures.ratio(over, under) if under else figures.median(over)


def _measured(target: Target, case: Case) -> str:
    sides = [side for side in (target.of, target.by) if side]
    return f"{case.name}: " + " / ".join(f"{case.contender(whose).name} {figure}" for whose, figure in sides)
