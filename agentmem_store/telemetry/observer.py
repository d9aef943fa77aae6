"""One place observes every statement: its time, the slow log, the statistics, and what its errors become."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, get_args

import structlog

from agentmem_store import errors
from agentmem_store.telemetry.queries import Order, Outcome, QueryStats, StatementStats, Tallies, Tally, Totals
from agentmem_store.telemetry.slow import caller, shape

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from agentmem_store.models.plans import SlowPlan
    from agentmem_store.query import Query

__all__ = ["Observer", "PoolState", "Statement"]

# A guest in the application's logging: never configured here.
_log: Final[Any] = structlog.get_logger("agentmem_store")

# At most one slow event a second for each query: two hundred queries cannot flood a log.
_QUIET_S: Final = 1.0

_NO_OVERRIDES: Final[Mapping[str, float]] = {}


class PoolState(Protocol):
    """What a slow event tells of the pool."""

    @property
    def size(self) -> int:
        """Connections open."""
        ...

    @property
    def in_use(self) -> int:
        """Connections lent."""
        ...

    @property
    def waiting(self) -> int:
        """Callers in the queue."""
        ...


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement that ended, as listeners get it.

    Attributes:
        query: what ran.
        outcome: how it ended.
        wait_s: seconds it waited for a connection.
        run_s: seconds from sending it to its last row; None when it was not sent.
        rows: rows it returned.
        error: what it raised, if it failed.
    """

    query: Query[Any]
    outcome: Outcome
    wait_s: float
    run_s: float | None
    rows: int
    error: errors.AgentMemError | None = None


class Observer:
    """Sees every statement: `started`, then exactly one of `finished`, `failed` and `cancelled`.

    Args:
        slow_query_ms: statements that ran at least this many milliseconds are logged as ``agentmem.query.slow``.
        slow_queries: other thresholds in milliseconds, by query name.
        pool: returns the state of the pool, for slow events; None where there is no pool.
        clock: seconds on a monotonic clock, for the rate of slow events.

    Attributes:
        listeners: called with each `Statement` that ended, in the task that ran it. None of them may raise.
        on_slow: called with each slow one and its arguments, likewise.
    """

    def __init__(
        self,
        slow_query_ms: float,
        slow_queries: Mapping[str, float] = _NO_OVERRIDES,
        *,
        pool: Callable[[], PoolState] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tallies = Tallies(lambda name: slow_queries.get(name, slow_query_ms) / 1000)
        self._totals = Totals()
        self._pool = pool
        self._clock = clock
        self.listeners: list[Callable[[Statement], None]] = []
        self.on_slow: Callable[[Statement, tuple[Any, ...]], None] | None = None

    def started(self) -> None:
        """Take note of a statement that was asked for."""
        self._totals.started += 1

    def finished(
        self, query: Query[Any], *, wait_s: float, run_s: float, rows: int, args: tuple[Any, ...] = ()
    ) -> None:
        """Take note of a statement that ran.

        Args:
            query: what ran.
            wait_s: seconds it waited for a connection.
            run_s: seconds from sending it to its last row.
            rows: rows it returned.
            args: what it was given; only types and sizes are told.
        """
        self._totals.ok += 1
        tally = self._tallies[query.name]
        tally.ok += 1
        tally.rows += rows
        tally.wait.record(wait_s)
        tally.run.record(run_s)
        if run_s >= tally.slow_s or self.listeners:
            self._tell(tally, Statement(query, "ok", wait_s, run_s, rows), args)

    def failed(
        self,
        query: Query[Any],
        error: Exception,
        *,
        wait_s: float = 0.0,
        run_s: float | None = None,
        args: tuple[Any, ...] = (),
    ) -> errors.AgentMemError:
        """Take note of a statement that raised, and return our error for what the driver or a deadline raised.

        Args:
            query: what was to run.
            error: what was raised; one of ours is returned as it is.
            wait_s: seconds it waited for a connection.
            run_s: seconds from sending it to the error; None when it was not sent.
            args: what it was given; only types and sizes are told.
        """
        failure = error if isinstance(error, errors.AgentMemError) else errors.from_driver(error, query.name)
        self._totals.fail(failure)
        tally = self._tallies[query.name]
        tally.errors += 1
        self._ended(tally, Statement(query, "failed", wait_s, run_s, 0, failure), args)
        return failure

    def cancelled(
        self, query: Query[Any], *, wait_s: float = 0.0, run_s: float | None = None, args: tuple[Any, ...] = ()
    ) -> None:
        """Take note of a statement whose task was cancelled. The arguments are those of `failed`."""
        self._totals.cancelled += 1
        tally = self._tallies[query.name]
        tally.cancelled += 1
        self._ended(tally, Statement(query, "cancelled", wait_s, run_s, 0), args)

    def statements(self) -> StatementStats:
        """Return what became of all statements."""
        return self._totals.snapshot()

    def queries(self, *, order: Order = "total", limit: int = 20) -> list[QueryStats]:
        """Return what became of the calls of each query. See `Database.queries`.

        Raises:
            ValidationError: there is no such order.
        """
        if order not in get_args(Order):
            raise errors.ValidationError.of("order", f"is not one of {', '.join(get_args(Order))}")
        return self._tallies.ranked(order, limit)

    def keep_plan(self, name: str, plan: SlowPlan) -> None:
        """Keep the plan of a slow call, in the place of an earlier one."""
        self._tallies[name].plan = plan

    def reset(self) -> None:
        """Forget the statistics of queries; the totals go on."""
        self._tallies.clear()

    def _ended(self, tally: Tally, statement: Statement, args: tuple[Any, ...]) -> None:
        tally.wait.record(statement.wait_s)
        if statement.run_s is not None:
            tally.run.record(statement.run_s)
        self._tell(tally, statement, args)

    def _tell(self, tally: Tally, statement: Statement, args: tuple[Any, ...]) -> None:
        for listener in self.listeners:
            listener(statement)
        if statement.run_s is None or statement.run_s < tally.slow_s:
            return
        self._totals.slow += 1
        tally.slow += 1
        if self.on_slow is not None:
            self.on_slow(statement, args)
        now = self._clock()
        if now < tally.quiet_until:
            tally.suppressed += 1
            return
        self._log_slow(statement, args, tally.suppressed)
        tally.quiet_until, tally.suppressed = now + _QUIET_S, 0

    def _log_slow(self, statement: Statement, args: tuple[Any, ...], suppressed: int) -> None:
        pool = self._pool() if self._pool else None
        _log.warning(
            "agentmem.query.slow",
            query=statement.query.name,
            outcome=statement.outcome,
            duration_ms=round((statement.run_s or 0.0) * 1000, 1),
            wait_ms=round(statement.wait_s * 1000, 1),
            rows=statement.rows,
            args=[shape(argument) for argument in args],
            caller=caller(),
            pool=pool and {"size": pool.size, "in_use": pool.in_use, "waiting": pool.waiting},
            suppressed=suppressed,
        )
