"""Rules about indexes that are there: unused, twice there, part of another, or not built to the end."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from agentmem_store.analysis.advice import Advice
from agentmem_store.analysis.rules.base import Facts, Rule
from agentmem_store.analysis.words import size
from agentmem_store.models.analysis import quoted, unquoted
from agentmem_store.statements import analysis as statements

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from agentmem_store.models.analysis import ForeignKeyFacts, IndexFacts

__all__ = ["DUPLICATE_INDEX", "INVALID_INDEX", "OVERLAPPING_INDEX", "UNUSED_INDEX", "concurrently", "serves"]

_DAY_S: Final = 86_400
_LEFT_OVER: Final = ("_ccnew", "_ccold")  # of a REINDEX CONCURRENTLY that failed


def serves(index: IndexFacts, key: ForeignKeyFacts) -> bool:
    """Tell whether an index finds the rows of a foreign key: its columns first, in any order, none left out.

    A hash index does, too: it is of one column always.

    A partial index serves if all it leaves out are NULLs of the key's own columns: those refer to nothing.
    """
    if index.method not in {"btree", "hash"}:
        return False
    if (index.schema_name, index.table_name) != (key.schema_name, key.table_name):
        return False
    count = len(key.columns)
    leading = [unquoted(name) for name in index.keys[:count]]
    held = {f"{quoted(column)} IS NOT NULL" for column in key.columns}
    whole = index.predicate is None or {part.strip("() ") for part in index.predicate.split(" AND ")} <= held
    return whole and set(leading) == set(key.columns) and len(leading) == count


def concurrently(definition: str) -> str:
    """Return a definition that builds its index while the table is in use."""
    return definition.replace(" INDEX ", " INDEX CONCURRENTLY ", 1)


def _is_bound(index: IndexFacts) -> bool:
    """Whether something stands on it: it cannot be dropped, or must not be."""
    return bool(index.is_primary or index.constraints or index.is_replica_identity)


def _drop(rule: str, index: IndexFacts, facts: Facts, message: str, **evidence: Any) -> Advice:
    days = round(facts.database.statistics_s / _DAY_S, 1)
    return Advice(
        rule=rule,
        severity="notice" if rule == "unused_index" else "warning",
        subject=index.shown,
        message=message,
        evidence={"bytes": index.bytes, "scans": index.scans, "statistics_days": days, **evidence},
        ddl=f"DROP INDEX CONCURRENTLY {index.shown}",
        undo=concurrently(index.definition),
        size_estimate=-index.bytes,
    )


def _unused(facts: Facts, limits: Mapping[str, float]) -> Iterator[Advice]:
    if facts.database.statistics_s < limits["days"] * _DAY_S:
        return
    for index in facts.indexes:
        is_read = index.scans > limits["scans"] or index.name in facts.used_indexes
        if is_read or index.bytes < limits["bytes"] or not index.is_valid or _is_needed_unread(index, facts):
            continue
        days = facts.database.statistics_s / _DAY_S
        yield _drop(
            "unused_index", index, facts,
            f"{index.name} ({size(index.bytes)}) was used {index.scans:,} times in {days:,.0f} days of statistics. "
            "Replicas keep their own: look there too",
            last_scan=index.last_scan and index.last_scan.isoformat(),
        )  # fmt: skip


def _is_needed_unread(index: IndexFacts, facts: Facts) -> bool:
    """Whether an index is needed though nothing reads it.

    One that could do the work of another may have to: other rules advise to drop that one for it.
    """
    if _is_bound(index) or index.is_unique or any(serves(index, key) for key in facts.foreign_keys):
        return True
    others = (other for other in facts.indexes if other.name != index.name)
    return any(_same(other) == _same(index) or _begins(other, index) for other in others)


def _same(index: IndexFacts) -> tuple[Any, ...]:
    """What two indexes have to share to be the same index."""
    return (
        index.table_name, index.method, tuple(index.keys), tuple(index.classes), tuple(index.collations),
        tuple(index.orders), tuple(sorted(index.included)), index.predicate or "", index.nulls_not_distinct,
    )  # fmt: skip


def _duplicate(facts: Facts, _limits: Mapping[str, float]) -> Iterator[Advice]:
    valid = sorted((each for each in facts.indexes if each.is_valid), key=_same)
    for _, group in groupby(valid, _same):
        # What constraints stand on stays, then what is unique, then the oldest: our own, where somebody added another.
        kept, *others = sorted(group, key=lambda each: (not _is_bound(each), not each.is_unique, each.number))
        for index in others:
            # A deferrable key lets through for a while what a unique index of its own refuses at once.
            is_stricter = index.is_unique and (kept.is_deferrable or not kept.is_unique)
            if not (_is_bound(index) or is_stricter):
                said = f"{index.name} is the same as {kept.name}: each write pays for both"
                yield _drop("duplicate_index", index, facts, said, kept=kept.name, kept_scans=kept.scans)


def _overlapping(facts: Facts, limits: Mapping[str, float]) -> Iterator[Advice]:
    for index in facts.indexes:
        if _is_bound(index) or index.is_unique or not index.is_valid or index.bytes < limits["bytes"]:
            continue
        longer = next((other for other in facts.indexes if _begins(index, other)), None)
        if longer is not None:
            said = f"{index.name} is the beginning of {longer.name}, which serves the same look-ups"
            yield _drop("overlapping_index", index, facts, said, kept=longer.name, kept_bytes=longer.bytes)


def _begins(index: IndexFacts, other: IndexFacts) -> bool:
    count = len(index.keys)
    if other.name == index.name or other.table_name != index.table_name or len(other.keys) <= count:
        return False
    own = (index.method, index.predicate, index.keys, index.classes, index.collations, index.orders)
    begun = (
        other.method, other.predicate,
        *(values[:count] for values in (other.keys, other.classes, other.collations, other.orders)),
    )  # fmt: skip
    return other.is_valid and own == begun and index.method == "btree" and set(index.included) <= set(other.included)


def _invalid(facts: Facts, _limits: Mapping[str, float]) -> Iterator[Advice]:
    for index in facts.indexes:
        if (index.is_valid and index.is_ready) or index.is_building:
            continue
        is_left_over = any(mark in index.name for mark in _LEFT_OVER)
        yield Advice(
            rule="invalid_index",
            severity="critical",
            subject=index.shown,
            message=f"{index.name} was not built to the end: each write pays for it and no query uses it",
            evidence={"bytes": index.bytes, "unique": index.is_unique, "ready": index.is_ready},
            ddl=f"{'DROP' if is_left_over else 'REINDEX'} INDEX CONCURRENTLY {index.shown}",
            undo=concurrently(index.definition) if is_left_over else None,
            size_estimate=-index.bytes if is_left_over else None,
        )


UNUSED_INDEX: Final = Rule(
    "unused_index",
    "An index that nothing reads costs every insert and most updates. Spared are keys, unique indexes, what "
    "constraints and replica identities stand on, indexes of foreign keys, those that a query of the catalogue would "
    "use, and those that do what another one does. Statistics have to be a week old.",
    (statements.INDEXES, statements.DATABASE, statements.FOREIGN_KEYS),
    {"days": 7, "scans": 0, "bytes": 1_048_576},
    _unused,
)
DUPLICATE_INDEX: Final = Rule(
    "duplicate_index",
    "Two indexes with the same keys, operator classes, collations, directions, carried columns and predicate do the "
    "same work twice. The one that a constraint stands on stays.",
    (statements.INDEXES, statements.DATABASE),
    {},
    _duplicate,
)
OVERLAPPING_INDEX: Final = Rule(
    "overlapping_index",
    "A B-tree whose keys another one begins with is rarely worth its writes. Operator classes, collations, directions "
    "and predicate have to be the same, carried columns within the other's, and unique ones are spared.",
    (statements.INDEXES, statements.DATABASE),
    {"bytes": 65_536},
    _overlapping,
)
INVALID_INDEX: Final = Rule(
    "invalid_index",
    "CREATE or REINDEX … CONCURRENTLY that failed leaves an index that is written to and never read. One that is being "
    "built at this moment is not told.",
    (statements.INDEXES,),
    {},
    _invalid,
)
