"""Rules about indexes that are missing: for a query of the catalogue, or for a foreign key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agentmem_store.analysis import missing
from agentmem_store.analysis.advice import Advice
from agentmem_store.analysis.candidates import Candidate, Key
from agentmem_store.analysis.estimate import index_bytes
from agentmem_store.analysis.rules.base import Facts, Rule
from agentmem_store.analysis.rules.indexes import serves
from agentmem_store.models.analysis import quoted
from agentmem_store.statements import analysis as statements

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from agentmem_store.analysis.missing import Missing
    from agentmem_store.models.analysis import ForeignKeyFacts

__all__ = ["FOREIGN_KEY_INDEX", "MISSING_INDEX"]

_SEVERE: Final = 10_000  # of the planner's unit, a page read in order: as much work as reading 80 MB


def _missing(facts: Facts, _limits: Mapping[str, float]) -> Iterator[Advice]:
    taken = {index.name for index in facts.indexes}
    for found in facts.missing:
        name = _free(found.index.name, taken)
        taken.add(name)
        served = {query: {"before": round(was, 1), "after": round(is_now, 1)}
                  for query, (was, is_now) in found.served.items()}  # fmt: skip
        before, after = next(iter(found.served.values()))
        yield Advice(
            rule="missing_index",
            severity="critical" if before >= _SEVERE else "warning",
            subject=f"{quoted(found.index.schema_name)}.{quoted(found.index.table_name)}",
            message=f"{_listed(found)}: the planner's cost falls from {before:,.0f} to {after:,.0f}",
            evidence={"queries": served, "table_rows": round(found.table_rows)},
            ddl=found.index.ddl(name),
            undo=f"DROP INDEX CONCURRENTLY {quoted(found.index.schema_name)}.{quoted(name)}",
            size_estimate=found.bytes,
            proof="hypopg" if found.proof == "hypopg" else "estimate",
        )


def _listed(found: Missing) -> str:
    first, *others = found.served
    return f"{first} and {len(others)} more would use it" if others else f"{first} would use it"


def _free(name: str, taken: set[str]) -> str:
    number = 2
    free = name
    while free in taken:
        free, number = f"{name[:60]}_{number}", number + 1
    return free


def _foreign_key(facts: Facts, limits: Mapping[str, float]) -> Iterator[Advice]:
    taken = {index.name for index in facts.indexes}
    for key in facts.foreign_keys:
        # One that is invalid is to be rebuilt, which another rule says.
        if key.table_rows < limits["table_rows"] or any(serves(index, key) for index in facts.indexes):
            continue
        index = _index_of(key)
        name = _free(index.name, taken)
        taken.add(name)
        yield Advice(
            rule="foreign_key_index",
            severity="warning",
            subject=f"{quoted(key.schema_name)}.{quoted(key.table_name)}",
            message=f"{key.name} has no index that finds its rows: each row deleted from {key.target} reads all of "
            f"{key.table_name}, {key.table_rows:,.0f} rows",
            evidence={"constraint": key.name, "columns": key.columns, "table_rows": round(key.table_rows)},
            ddl=index.ddl(name),
            undo=f"DROP INDEX CONCURRENTLY {quoted(key.schema_name)}.{quoted(name)}",
            size_estimate=index_bytes(key.held_rows, [key.width], key.distinct),
            proof="estimate",
        )


def _index_of(key: ForeignKeyFacts) -> Candidate:
    predicate = " AND ".join(f"{quoted(column)} IS NOT NULL" for column in key.nullable) or None
    return Candidate(key.schema_name, key.table_name, tuple(map(Key, key.columns)), predicate, equal=len(key.columns))


MISSING_INDEX: Final = Rule(
    "missing_index",
    "The plans of the queries show where rows are read that are then thrown away or sorted. An index is told where the "
    "planner, shown it by HypoPG or else estimated, saves a good part of the query; the fewest that serve all.",
    (statements.INDEXES, statements.COLUMNS),
    missing.LIMITS,
    _missing,
)
FOREIGN_KEY_INDEX: Final = Rule(
    "foreign_key_index",
    "Deleting a row looks for those that refer to it. Without an index that begins with the key's columns, in any "
    "order, and holds every row in which they are set, that reads the whole table, once for each row deleted.",
    (statements.FOREIGN_KEYS, statements.INDEXES),
    {"table_rows": 1_000},
    _foreign_key,
)
