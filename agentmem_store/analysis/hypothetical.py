"""What a query would cost with indexes that do not exist: by HypoPG, which shows them to the planner, or estimated."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from agentmem_store.analysis.candidates import Candidate
from agentmem_store.analysis.control import fetch
from agentmem_store.analysis.explain import generic_plan
from agentmem_store.models.analysis import quoted

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from agentmem_store.analysis.estimate import Estimator
    from agentmem_store.analysis.needs import Need
    from agentmem_store.executor import Executor
    from agentmem_store.models.plans import Plan
    from agentmem_store.query import Query

__all__ = ["Costs", "Proof", "hypopg_schema"]

Proof = Literal["hypopg", "estimate"]


async def hypopg_schema(executor: Executor) -> str | None:
    """Return the schema in which HypoPG is installed; None where it is not."""
    found = await fetch(
        executor,
        """
        SELECT n.nspname::text
        FROM pg_extension AS e
        JOIN pg_namespace AS n ON n.oid = e.extnamespace
        WHERE e.extname = 'hypopg'
        """,
    )
    return found[0][0] if found else None


@dataclass
class Costs:
    """Prices queries with indexes that are not there.

    Args:
        executor: within a transaction.
        queries: all that may be asked for, by name.
        plans: how each runs now.
        needs: of each.
        estimator: for what HypoPG cannot do, or for all.
        schema: where HypoPG is installed; None without it.
    """

    executor: Executor
    queries: Mapping[str, Query[Any]]
    plans: Mapping[str, Plan]
    needs: Mapping[str, Sequence[Need]]
    estimator: Estimator
    schema: str | None
    _known: dict[tuple[str, frozenset[Candidate]], float] = field(
        default_factory=dict[tuple[str, frozenset[Candidate]], float]
    )

    def proof(self, candidate: Candidate) -> Proof:
        """Say how what is told of a candidate came about."""
        return "hypopg" if self.schema and candidate.method == "btree" else "estimate"

    async def of(self, name: str, chosen: Collection[Candidate]) -> float:
        """Return the cost of a query if these indexes were there."""
        tables = {need.table for need in self.needs[name]}
        relevant = frozenset(each for each in chosen if (each.schema_name, each.table_name) in tables)
        if not relevant:
            return self.plans[name].root.total_cost
        if (name, relevant) not in self._known:
            self._known[name, relevant] = await self._price(name, relevant)
        return self._known[name, relevant]

    async def bytes_of(self, candidate: Candidate) -> int:
        """Return about how large an index would be."""
        return await self.estimator.bytes_of(candidate)

    async def _price(self, name: str, chosen: frozenset[Candidate]) -> float:
        shown = [each for each in chosen if self.proof(each) == "hypopg"]
        rest = [each for each in chosen if self.proof(each) == "estimate"]
        cost = await self._planned(name, shown) if shown else self.plans[name].root.total_cost
        return await self.estimator.reduced(cost, self.needs[name], rest) if rest else cost

    async def _planned(self, name: str, shown: Sequence[Candidate]) -> float:
        schema = quoted(self.schema or "")
        try:
            # A savepoint: after an error a failed transaction would not even forget the indexes.
            async with self.executor.transaction(None, read_only=False) as inner:
                for each in shown:
                    await fetch(inner, f"SELECT ({schema}.hypopg_create_index($1)).indexname", each.plain_ddl())
                return (await generic_plan(inner, self.queries[name])).root.total_cost
        finally:  # they belong to the session, which other statements are going to use
            await fetch(self.executor, f"SELECT {schema}.hypopg_reset()")
