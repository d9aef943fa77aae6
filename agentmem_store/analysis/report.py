"""One page that shows how a database does: the pool, the slowest queries with their plans, advice, tables."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from agentmem_store.analysis import page
from agentmem_store.analysis.advise import advise
from agentmem_store.analysis.catalogue import of_daily_use
from agentmem_store.analysis.control import DEFAULT_TIMEOUT_S, executor_of, undone
from agentmem_store.analysis.missing import plans_of
from agentmem_store.analysis.statistics import statistics
from agentmem_store.analysis.tables import tables_on
from agentmem_store.statements import health

if TYPE_CHECKING:
    from agentmem_store.analysis.advice import Advice
    from agentmem_store.analysis.statistics import QueryLine, Statistics
    from agentmem_store.database import Database, DatabaseStats
    from agentmem_store.models.analysis import TableFacts
    from agentmem_store.models.health import ServerFacts
    from agentmem_store.models.plans import Plan

__all__ = ["Shown", "gather", "report"]

_QUERIES: Final = 12


@dataclass(frozen=True)
class Shown:
    """All that the page shows."""

    at: datetime
    server: ServerFacts
    max_size: int
    pool: DatabaseStats
    statistics: Statistics
    plans: dict[str, Plan]
    advice: list[Advice]
    tables: list[TableFacts]


async def report(db: Database, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> str:
    """Return one HTML page that needs nothing beside it: no script, no font, no picture from elsewhere.

    It shows the pool, the queries that took most time with their plans as trees, what is advised, and the tables. No
    value of a row or an argument is in it.

    Args:
        db: an open database.
        timeout_s: seconds that each statement may take, above 0 and up to a day.

    Raises:
        AgentMemError: the server cannot be asked.
    """
    return page.render(await gather(db, timeout_s=timeout_s))


async def gather(db: Database, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> Shown:
    """Read what the page shows."""
    pool = db.stats()
    known = await statistics(db, order="total", limit=100, timeout_s=timeout_s)
    lines = tuple(line for line in known.queries if _is_ours(line))[:_QUERIES]
    known = replace(known, queries=lines)
    advice = await advise(db, timeout_s=timeout_s)
    async with undone(executor_of(db), timeout_s) as executor:
        shown = {line.query: of_daily_use()[line.query] for line in lines if line.query in of_daily_use()}
        plans = await plans_of(executor, (shown or of_daily_use()).values())
        tables = await tables_on(executor)
        server = health.FACTS.decode((await executor.fetch(health.FACTS, ()))[0])
    if not shown:  # nothing has run yet that was counted: those that the planner thinks dearest
        dearest = sorted(plans, key=lambda name: -plans[name].root.total_cost)[:_QUERIES]
        plans = {name: plans[name] for name in dearest}
    now = datetime.now(UTC)
    return Shown(now, server, db.pool.config.max_size, pool, known, plans, advice, tables)


def _is_ours(line: QueryLine) -> bool:
    return not line.query.startswith(("server.", "analysis.", "transactions."))
