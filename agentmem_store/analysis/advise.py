"""All that can be advised of one database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from agentmem_store.analysis.catalogue import catalogue, of_daily_use
from agentmem_store.analysis.control import DEFAULT_TIMEOUT_S, executor_of, undone
from agentmem_store.analysis.missing import missing_indexes, plans_of
from agentmem_store.analysis.rules import RULES, Facts
from agentmem_store.analysis.rules.indexes import serves
from agentmem_store.analysis.rules.lookups import MISSING_INDEX
from agentmem_store.analysis.tables import SCHEMA
from agentmem_store.statements import analysis as statements

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from agentmem_store.analysis.advice import Advice
    from agentmem_store.analysis.missing import Missing
    from agentmem_store.analysis.rules import Rule
    from agentmem_store.database import Database
    from agentmem_store.executor import Executor
    from agentmem_store.models.analysis import ForeignKeyFacts
    from agentmem_store.models.plans import Plan
    from agentmem_store.query import Query

__all__ = ["advise", "facts_of"]

_OFTEN: Final = 1_000


async def advise(
    db: Database,
    *,
    queries: Iterable[Query[Any]] | None = None,
    schema: str = SCHEMA,
    rules: Sequence[Rule] = RULES,
    timeout_s: float = DEFAULT_TIMEOUT_S,
) -> list[Advice]:
    """Return what there is to do for this database. Nothing is changed: it reads catalogs, statistics and plans.

    Args:
        db: an open database.
        queries: those to find indexes for; by default those of this library that are in daily use, and those of the
            others that this process has run often.
        schema: whose tables and indexes.
        rules: which; by default all.
        timeout_s: seconds that each statement may take, above 0 and up to a day.

    Returns:
        the most severe first, then by rule and subject; nothing twice, and no index that is there already.

    Raises:
        StatementTimeout: a statement took longer.
        AgentMemError: the server cannot be asked.
    """
    chosen = _watched(db) if queries is None else {query.name: query for query in queries}
    async with undone(executor_of(db), timeout_s) as executor:
        facts = await facts_of(executor, chosen, schema, db.pool.config.max_size * db.pool.config.processes)
    found: dict[tuple[str, str], Advice] = {}
    for each in (advice for rule in rules for advice in rule.find(facts)):
        found.setdefault((each.ddl or each.rule, each.subject), each)  # the first rule has the better reason
    return sorted(found.values(), key=lambda each: each.rank)


def _watched(db: Database) -> dict[str, Query[Any]]:
    often = {stats.query for stats in db.queries(order="frequent", limit=1_000) if stats.calls >= _OFTEN}
    return {name: query for name, query in catalogue().items() if name in of_daily_use() or name in often}


async def facts_of(executor: Executor, queries: dict[str, Query[Any]], schema: str, pool_size: int) -> Facts:
    """Read what rules judge, within a transaction."""
    plans = await plans_of(executor, queries.values())
    indexes = await _all(executor, statements.INDEXES, schema)
    keys = await _all(executor, statements.FOREIGN_KEYS, schema)
    unserved = [key for key in keys if not any(serves(index, key) for index in indexes)]
    missing = await missing_indexes(executor, queries, plans, indexes, unserved=unserved, limits=MISSING_INDEX.limits)
    (database,) = await _all(executor, statements.DATABASE)
    return Facts(
        database=database,
        indexes=indexes,
        foreign_keys=[key for key in keys if not _is_served(key, missing)],
        tables=await _all(executor, statements.TABLES, schema),
        sessions=await _all(executor, statements.SESSIONS),
        pool_size=pool_size,
        used_indexes=_used(plans.values()),
        missing=missing,
    )


async def _all(executor: Executor, query: Query[Any], *args: Any) -> list[Any]:
    return [query.decode(record) for record in await executor.fetch(query, args)]


def _used(plans: Iterable[Plan]) -> frozenset[str]:
    return frozenset(node.index for plan in plans for node in plan.walk() if node.index)


def _is_served(key: ForeignKeyFacts, missing: Iterable[Missing]) -> bool:
    """Tell whether an index that is advised for queries serves a foreign key as well."""
    return any(
        (each.index.schema_name, each.index.table_name) == (key.schema_name, key.table_name)
        and each.index.predicate is None
        and set(each.index.columns[: len(key.columns)]) == set(key.columns)
        for each in missing
    )
