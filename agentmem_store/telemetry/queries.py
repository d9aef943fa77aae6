"""What became of statements: totals, and for each query its calls, rows and times."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

from agentmem_store import errors
from agentmem_store.telemetry.histogram import Histogram, HistogramSnapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from agentmem_store.models.plans import SlowPlan

__all__ = ["OTHER", "Order", "Outcome", "QueryStats", "StatementStats", "Tallies", "Tally", "Totals"]

Order = Literal["slowest", "frequent", "total"]
Outcome = Literal["ok", "failed", "cancelled"]

OTHER: Final = "_other"

# The catalogue has some two hundred names. An application's own Query values count too, so there has to be an end.
_MOST_NAMES: Final = 500

_TIMEOUTS: Final[dict[type[errors.AgentMemError], str]] = {
    errors.PoolTimeout: "acquire",
    errors.StatementTimeout: "statement",
    errors.LockTimeout: "lock",
}


@dataclass(frozen=True, slots=True)
class QueryStats:
    """What became of the calls of one query since `Database.open`, or since they were reset.

    Attributes:
        query: its name, such as ``messages.recent``; ``_other`` for all beyond the first 500 names.
        calls: calls that ended, however they ended.
        rows: rows they returned.
        errors: calls that raised.
        cancelled: calls that were cancelled.
        slow: calls at or above the query's slow threshold, logged or suppressed.
        run: seconds from sending to the last row, of the calls that were sent.
        wait: seconds that calls waited for a connection.
        plan: that of a slow call, values removed; None as long as there was none.
    """

    query: str
    calls: int
    rows: int
    errors: int
    cancelled: int
    slow: int
    run: HistogramSnapshot
    wait: HistogramSnapshot
    plan: SlowPlan | None = None


@dataclass(frozen=True, slots=True)
class StatementStats:
    """What became of all statements since `Database.open`: ``started == ok + failed + cancelled + running``.

    Attributes:
        started: statements that were asked for.
        ok: those that returned.
        failed: those that raised.
        cancelled: those whose task was cancelled.
        slow: those at or above their slow threshold.
        errors: failures by SQLSTATE class, such as ``23``; by our error's name where the server did not speak.
        timeouts: failures that a deadline caused, by cause: ``acquire``, ``statement`` or ``lock``.
    """

    started: int
    ok: int
    failed: int
    cancelled: int
    slow: int
    errors: Mapping[str, int]
    timeouts: Mapping[str, int]

    @property
    def running(self) -> int:
        """Statements under way, those that wait for a connection included."""
        return self.started - self.ok - self.failed - self.cancelled


class Tally:
    """The running account of one query.

    Attributes:
        slow_s: from how many seconds on it is slow.
        quiet_until: until when, on the monotonic clock, its slow calls are not logged.
        suppressed: slow calls not logged since the last that was.
        plan: that of a slow call.
    """

    __slots__ = (
        "cancelled", "errors", "ok", "plan", "quiet_until", "rows", "run", "slow", "slow_s", "suppressed", "wait",
    )  # fmt: skip

    def __init__(self, slow_s: float) -> None:
        self.slow_s = slow_s
        self.ok = self.rows = self.errors = self.cancelled = self.slow = self.suppressed = 0
        self.quiet_until = float("-inf")
        self.plan: SlowPlan | None = None
        self.run, self.wait = Histogram(), Histogram()

    def snapshot(self, query: str) -> QueryStats:
        """Return the account as a value that does not change."""
        return QueryStats(
            query=query,
            calls=self.ok + self.errors + self.cancelled,
            rows=self.rows,
            errors=self.errors,
            cancelled=self.cancelled,
            slow=self.slow,
            run=self.run.snapshot(),
            wait=self.wait.snapshot(),
            plan=self.plan,
        )


class Tallies(dict[str, Tally]):
    """A tally for each query name, made when it is first asked for; beyond 500 names they share one.

    Args:
        slow_s: tells from how many seconds on the query of a name is slow.
    """

    def __init__(self, slow_s: Callable[[str], float]) -> None:
        super().__init__()
        self._slow_s = slow_s

    def __missing__(self, name: str) -> Tally:
        if name != OTHER and len(self) >= _MOST_NAMES:
            return self[OTHER]
        tally = self[name] = Tally(self._slow_s(name))
        return tally

    def ranked(self, order: Order, limit: int) -> list[QueryStats]:
        """Return the first `limit`: the slowest by mean, the most frequent, or those with most time in total."""
        ranks: dict[Order, Callable[[QueryStats], float]] = {
            "slowest": lambda stats: stats.run.mean,
            "frequent": lambda stats: stats.calls,
            "total": lambda stats: stats.run.total,
        }
        rank = ranks[order]
        found = [tally.snapshot(name) for name, tally in self.items()]
        return sorted(found, key=lambda stats: (-rank(stats), stats.query))[:limit]


class Totals:
    """The running account of all statements."""

    __slots__ = ("cancelled", "errors", "failed", "ok", "slow", "started", "timeouts")

    def __init__(self) -> None:
        self.started = self.ok = self.failed = self.cancelled = self.slow = 0
        self.errors: Counter[str] = Counter()
        self.timeouts: Counter[str] = Counter()

    def fail(self, error: errors.AgentMemError) -> None:
        """Count a failure, and what kind it was."""
        self.failed += 1
        self.errors[kind_of(error)] += 1
        for kind, cause in _TIMEOUTS.items():
            if isinstance(error, kind):
                self.timeouts[cause] += 1

    def snapshot(self) -> StatementStats:
        """Return the account as a value that does not change."""
        return StatementStats(
            started=self.started,
            ok=self.ok,
            failed=self.failed,
            cancelled=self.cancelled,
            slow=self.slow,
            errors=MappingProxyType(dict(self.errors)),
            timeouts=MappingProxyType(dict(self.timeouts)),
        )


def kind_of(error: errors.AgentMemError) -> str:
    """Return the SQLSTATE class, or the error's name where the server did not speak: some fifty words in all."""
    return error.sqlstate[:2] if error.sqlstate else type(error).__name__
