"""Which indexes are missing, found from how queries run now, and proved before they are told."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from agentmem_store import errors
from agentmem_store.analysis.candidates import Candidate, candidates, existing, is_covered
from agentmem_store.analysis.conditions import SortKey, conditions
from agentmem_store.analysis.control import fetch
from agentmem_store.analysis.estimate import Estimator, Table, prices
from agentmem_store.analysis.explain import generic_plan
from agentmem_store.analysis.hypothetical import Costs, hypopg_schema
from agentmem_store.analysis.needs import Need, needs
from agentmem_store.statements import analysis as statements

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from agentmem_store.executor import Executor
    from agentmem_store.models.analysis import ForeignKeyFacts, IndexFacts
    from agentmem_store.models.plans import Plan
    from agentmem_store.query import Query

__all__ = ["LIMITS", "Missing", "missing_indexes", "plans_of"]

LIMITS: Final[Mapping[str, float]] = {
    "table_rows": 1_000,  # a smaller table is read whole as fast
    "saved_cost": 50,  # in the planner's unit: about so many pages read one after another
    "saved_part": 0.3,  # of the whole query
}
# What is written at every access is kept out of all indexes, so that those updates stay within their page (HOT).
_WRITTEN_AT_ACCESS: Final = frozenset({"last_accessed", "access_count", "last_seq"})

# A cost within a twentieth of the best is as good: estimates are no finer. Of those the shortest index wins.
_AS_GOOD: Final = 1.05


@dataclass(frozen=True, slots=True)
class Missing:
    """An index that is missing.

    Attributes:
        index: what to create.
        served: the cost of each query that it serves, before and after, by name.
        bytes: about how large it would be.
        table_rows: rows of its table.
        proof: how the costs were found.
    """

    index: Candidate
    served: Mapping[str, tuple[float, float]]
    bytes: int
    table_rows: float
    proof: str


async def plans_of(executor: Executor, queries: Iterable[Query[Any]]) -> dict[str, Plan]:
    """Return the generic plan of each query that can be planned here, by its name; within a transaction.

    Left out is what needs tables that are not there (an optional track), and COPY.
    """
    found: dict[str, Plan] = {}
    chosen = [query for query in queries if not query.sql.lstrip().startswith("COPY")]
    absent = await _absent(executor, {name for query in chosen for name in _tables_in(query)})
    for query in chosen:
        if absent.intersection(_tables_in(query)):
            continue
        try:
            async with executor.transaction(None, read_only=False) as inner:
                found[query.name] = await generic_plan(inner, query)
        except errors.DatabaseError as error:
            if error.sqlstate not in _NOT_THERE:
                raise
    return found


def _tables_in(query: Query[Any]) -> list[str]:
    return re.findall(r"\b(?:FROM|JOIN|INTO|UPDATE)\s+(agentmem\.\w+)\b(?!\()", query.sql)


async def _absent(executor: Executor, names: Collection[str]) -> set[str]:
    """Return those of some tables that are not there, in one round trip: each statement that fails takes several."""
    asked = "SELECT t.name FROM unnest($1::text[]) AS t (name) WHERE to_regclass(t.name) IS NULL"
    return {record["name"] for record in await fetch(executor, asked, list(names))}


_NOT_THERE: Final = frozenset({"42P01", "42704", "42883", "42703", "3F000"})  # a table, type, function, column, schema


async def missing_indexes(
    executor: Executor,
    queries: Mapping[str, Query[Any]],
    plans: Mapping[str, Plan],
    indexes: Sequence[IndexFacts],
    *,
    unserved: Sequence[ForeignKeyFacts] = (),
    limits: Mapping[str, float] = LIMITS,
) -> list[Missing]:
    """Return the fewest indexes that serve these queries, those that save most first.

    Args:
        executor: within a transaction.
        queries: by name.
        plans: how each runs now.
        indexes: all that exist in the schemas that the queries read.
        unserved: foreign keys that no index serves.
        limits: see `LIMITS`.
    """
    wanted = {name: [_informed(need, indexes) for need in needs(plan)] for name, plan in plans.items()}
    tables = await _tables(executor, {need.table for each in wanted.values() for need in each})
    large = {table for table, facts in tables.items() if facts.rows >= limits["table_rows"]}
    wanted = {name: [n for n in each if n.table in large] for name, each in wanted.items()}
    await fetch(executor, "SET LOCAL plan_cache_mode = force_generic_plan")
    there = [each for index in indexes if (each := existing(index))]
    estimator = Estimator(executor, await prices(executor), tables, there)
    costs = Costs(executor, queries, plans, wanted, estimator, await hypopg_schema(executor))
    search = _Search(costs, unserved, limits)
    pool = await search.pool(there)
    chosen = await search.choose(pool)
    return [await search.told(each, chosen) for each in chosen]


@dataclass
class _Search:
    """Looks for the fewest indexes that save enough."""

    costs: Costs
    unserved: Sequence[ForeignKeyFacts]
    limits: Mapping[str, float]

    async def pool(self, there: Sequence[Candidate]) -> list[Candidate]:
        """Return the best candidate of each need that saves enough by itself."""
        found: dict[Candidate, None] = {}
        for name, wanted in self.costs.needs.items():
            for need in wanted:
                if self._is_worth(self.costs.plans[name].root.total_cost, 0) and need.cost >= self.limits["saved_cost"]:
                    best = await self._best(name, need, there)
                    found.update({best: None} if best else {})
        return list(found)

    async def choose(self, pool: Sequence[Candidate]) -> list[Candidate]:
        """Return what to create: one after another what saves most beside those before it.

        What later ones have made idle is left out again.
        """
        chosen: list[Candidate] = []
        while best := await self._next(pool, chosen):
            chosen.append(best)
        for each in tuple(chosen):
            others = [other for other in chosen if other != each]
            if not await self._gains(others, each):
                chosen.remove(each)
        return chosen

    async def told(self, candidate: Candidate, chosen: Collection[Candidate]) -> Missing:
        """Return a chosen candidate with its evidence."""
        gains = await self._gains([each for each in chosen if each != candidate], candidate)
        table = self.costs.estimator.tables[candidate.schema_name, candidate.table_name]
        size = await self.costs.bytes_of(candidate)
        return Missing(candidate, gains, size, table.rows, self.costs.proof(candidate))

    async def _best(self, name: str, need: Need, there: Sequence[Candidate]) -> Candidate | None:
        before = await self.costs.of(name, ())
        facts = self.costs.estimator.tables[need.table].columns
        priced = {
            each: await self.costs.of(name, (each,))
            for each in candidates(need, facts)
            if not is_covered(each, need, there) and not _WRITTEN_AT_ACCESS.intersection(each.columns)
        }
        priced = {each: cost for each, cost in priced.items() if self._is_worth(before, cost)}
        if not priced:
            return None
        # Costs that no index changes, of other parts of the plan, must not make two candidates look alike.
        base = before - need.cost
        least = min(priced.values()) - base
        good = [each for each, cost in priced.items() if cost - base <= max(least, 1) * _AS_GOOD]
        sizes = {each: await self.costs.bytes_of(each) for each in good}
        return self._widened(min(good, key=lambda each: (len(each.keys), sizes[each])))

    def _widened(self, candidate: Candidate) -> Candidate:
        """Have an index hold all rows where that serves a foreign key, too, which no index serves yet."""
        for key in self.unserved:
            same_table = (candidate.schema_name, candidate.table_name) == (key.schema_name, key.table_name)
            if same_table and set(candidate.columns[: len(key.columns)]) == set(key.columns):
                return replace(candidate, predicate=None)
        return candidate

    async def _next(self, pool: Sequence[Candidate], chosen: Sequence[Candidate]) -> Candidate | None:
        best, most = None, 0.0
        for each in pool:
            if each in chosen:
                continue
            gains = await self._gains(chosen, each)
            saved = sum(before - after for before, after in gains.values())
            if saved > most:
                best, most = each, saved
        return best

    async def _gains(self, others: Sequence[Candidate], candidate: Candidate) -> dict[str, tuple[float, float]]:
        """Return the queries that a candidate serves beside others, with their costs before and after."""
        found: dict[str, tuple[float, float]] = {}
        for name, wanted in self.costs.needs.items():
            if any(need.table == (candidate.schema_name, candidate.table_name) for need in wanted):
                before = await self.costs.of(name, others)
                after = await self.costs.of(name, (*others, candidate))
                if self._is_worth(before, after):
                    found[name] = (before, after)
        return dict(sorted(found.items(), key=lambda each: each[1][1] - each[1][0]))

    def _is_worth(self, before: float, after: float) -> bool:
        saved = before - after
        return saved >= self.limits["saved_cost"] and saved >= self.limits["saved_part"] * before


def _informed(need: Need, indexes: Sequence[IndexFacts]) -> Need:
    """Add what the indexes that are used now tell: which rows they hold, and in which order they give them."""
    names = {node.index for node in need.scan.walk() if node.index and node.parent not in {"SubPlan", "InitPlan"}}
    used = [each for each in indexes if each.schema_name == need.table[0] and each.name in names]
    alias = need.scan.alias or ""
    held = (each for index in used for each in conditions(_qualified(index.predicate, alias)))
    need = replace(need, conditions=tuple(dict.fromkeys((*need.conditions, *held))))
    first = existing(used[0]) if used and need.scan.index else None
    if first is None or need.order or need.part >= 1 or first.method != "btree":
        return need
    equal = {each.column for each in need.conditions if each.sort in {"equal", "null"}}
    rest = (key for key in first.keys if key.column not in equal)
    order = tuple(SortKey(alias, key.column, key.descending, key.descending) for key in rest)
    return replace(need, order=order)


def _qualified(predicate: str | None, alias: str) -> str:
    """Return a predicate as a plan would print it: each column behind the table's alias."""
    parts = predicate.split(" AND ") if predicate else []
    return " AND ".join(
        f"NOT {alias}.{part[4:]}" if part.startswith("NOT ") else f"{alias}.{part}"
        for part in (part.strip("()") for part in parts)
    )


async def _tables(executor: Executor, names: Collection[tuple[str, str]]) -> dict[tuple[str, str], Table]:
    schemas, tables = [name[0] for name in names], [name[1] for name in names]
    of: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for record in await executor.fetch(statements.COLUMNS, (schemas, tables)):
        facts = statements.COLUMNS.decode(record)
        of[facts.schema_name, facts.table_name].append(facts)
    return {
        name: Table(facts[0].rows, facts[0].pages, {column.name: column for column in facts})
        for name, facts in of.items()
    }
