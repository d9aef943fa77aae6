"""What is known of queries, from this process and, where it is installed, from pg_stat_statements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from agentmem_store import errors
from agentmem_store.analysis.control import DEFAULT_TIMEOUT_S, executor_of, fetch, undone
from agentmem_store.inputs import check_limit
from agentmem_store.models.analysis import StatementFacts, quoted
from agentmem_store.statements import health

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentmem_store.database import Database
    from agentmem_store.executor import Executor
    from agentmem_store.models.plans import SlowPlan
    from agentmem_store.telemetry import Order, QueryStats

__all__ = ["Capabilities", "QueryLine", "Statistics", "Tier", "statistics"]

Tier = Literal["usable", "installed", "available", "absent"]
_NOT_LOADED: Final = "55000"  # installed, but not in shared_preload_libraries
_MOST: Final = 1_000


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What this server has that analysis can use. None of it is needed.

    Attributes:
        pg_stat_statements: ``usable``; ``installed``, but the server did not load it; ``available``, to be installed by
            CREATE EXTENSION; ``absent``. With it, statistics are those of all processes, and outlive this one.
        hypopg: ``usable``, ``available`` or ``absent``. With it, advice on indexes is proved by the planner.
    """

    pg_stat_statements: Tier
    hypopg: Tier


@dataclass(frozen=True, slots=True)
class QueryLine:
    """What is known of one query.

    Attributes:
        query: its name.
        process: what this process saw, waiting for connections included; None when it did not run it.
        server: what pg_stat_statements has of all processes; None without it, or where it has none.
    """

    query: str
    process: QueryStats | None
    server: StatementFacts | None

    @property
    def plan(self) -> SlowPlan | None:
        """The plan of a slow call, where this process had one."""
        return self.process.plan if self.process else None

    @property
    def calls(self) -> int:
        """Calls, by the server's count where there is one."""
        return self.server.calls if self.server else self.process.calls if self.process else 0

    @property
    def mean_ms(self) -> float:
        """Milliseconds of a call on average, by the server's clock where there is one."""
        return self.server.mean_ms if self.server else self.process.run.mean * 1000 if self.process else 0.0

    @property
    def total_ms(self) -> float:
        """Milliseconds of all calls."""
        return self.server.total_ms if self.server else self.process.run.total * 1000 if self.process else 0.0


@dataclass(frozen=True, slots=True)
class Statistics:
    """What is known of queries, and how it is known.

    Attributes:
        capabilities: what the server has.
        queries: in the order that was asked for.
    """

    capabilities: Capabilities
    queries: tuple[QueryLine, ...]


async def statistics(
    db: Database, *, order: Order = "total", limit: int = 20, timeout_s: float = DEFAULT_TIMEOUT_S
) -> Statistics:
    """Return what is known of the queries of this library and of an application's own.

    Args:
        db: an open database.
        order: ``slowest`` (by mean), ``frequent`` (by calls) or ``total`` (by the sum of the times).
        limit: how many, 1 to 1,000.
        timeout_s: seconds that each statement may take.

    Returns:
        the first of that order; those that are equal by name.

    Raises:
        ValidationError: there is no such order, or limit is out of bounds.
    """
    ranks: dict[Order, Callable[[QueryLine], float]] = {
        "slowest": lambda line: line.mean_ms,
        "frequent": lambda line: line.calls,
        "total": lambda line: line.total_ms,
    }
    if order not in ranks:
        raise errors.ValidationError.of("order", f"is not one of {', '.join(sorted(ranks))}")
    check_limit(limit)
    async with undone(executor_of(db), timeout_s) as executor:
        capabilities, of_server = await _of_server(executor)
    of_process = {stats.query: stats for stats in db.queries(order="total", limit=_MOST)}
    lines = [QueryLine(n, of_process.get(n), of_server.get(n)) for n in {*of_process, *of_server} if n not in _OUR_OWN]
    lines.sort(key=lambda line: (-ranks[order](line), line.query))
    return Statistics(capabilities, tuple(lines[:limit]))


_OUR_OWN: Final = frozenset({"analysis.control"})


async def _of_server(executor: Executor) -> tuple[Capabilities, dict[str, StatementFacts]]:
    tiers: dict[str, Tier] = {}
    for record in await executor.fetch(health.CAPABILITIES, (["pg_stat_statements", "hypopg"],)):
        tiers[record["name"]] = (
            "usable" if record["installed"] else "available" if record["available"] else "absent"
        )  # fmt: skip
    found: dict[str, StatementFacts] = {}
    if tiers["pg_stat_statements"] == "usable":
        try:
            found = await _statements(executor)
        except errors.DatabaseError as error:
            if error.sqlstate != _NOT_LOADED:
                raise
            tiers["pg_stat_statements"] = "installed"
    return Capabilities(**tiers), found


async def _statements(executor: Executor) -> dict[str, StatementFacts]:
    """Read what is kept of statements with a name of ours before them, all plans and users of a name in one."""
    (schema,) = [row[0] for row in await fetch(executor, _SCHEMA)]
    async with executor.transaction(None, read_only=False) as inner:
        records = await fetch(inner, _STATEMENTS.format(schema=quoted(schema)))
    return {record["query"]: StatementFacts.model_validate(dict(record)) for record in records}


_SCHEMA: Final = """
SELECT n.nspname::text
FROM pg_extension AS e
JOIN pg_namespace AS n ON n.oid = e.extnamespace
WHERE e.extname = 'pg_stat_statements'
"""

# Only columns that have had the same name since PostgreSQL 13.
_STATEMENTS: Final = r"""
SELECT named.query,
       sum(named.calls)::bigint                              AS calls,
       sum(named.total_ms)::float8                           AS total_ms,
       (sum(named.total_ms) / greatest(sum(named.calls), 1))::float8 AS mean_ms,
       max(named.max_ms)::float8                             AS max_ms,
       sum(named.rows)::bigint                               AS rows,
       sum(named.hit)::bigint                                AS hit,
       sum(named.read)::bigint                               AS read,
       sum(named.temp)::bigint                               AS temp
FROM (
    SELECT substring(s.query FROM '^\s*-- name: ([a-z0-9_.]+)') AS query,
           s.calls                                             AS calls,
           s.total_exec_time                                   AS total_ms,
           s.max_exec_time                                     AS max_ms,
           s.rows                                              AS rows,
           s.shared_blks_hit                                   AS hit,
           s.shared_blks_read                                  AS read,
           s.temp_blks_written                                 AS temp
    FROM {schema}.pg_stat_statements AS s
    WHERE s.dbid = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
) AS named
WHERE named.query IS NOT NULL
GROUP BY named.query
"""
