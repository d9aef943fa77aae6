"""Indexes that could serve a need: columns compared for equality first, then one range, or those to sort by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agentmem_store.models.analysis import quoted, unquoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from agentmem_store.analysis.needs import Need
    from agentmem_store.models.analysis import ColumnFacts, IndexFacts

__all__ = ["Candidate", "Key", "candidates", "existing", "holds", "is_covered"]

_MOST_KEYS: Final = 5
_LONGEST_NAME: Final = 63
_TENANT: Final = "organization_id"
_WIDEST: Final = 400  # bytes: a B-tree entry may have 2,700, and a text that long is looked up by nobody


@dataclass(frozen=True, slots=True)
class Key:
    """A column of an index, and its direction."""

    column: str
    descending: bool = False

    def __str__(self) -> str:
        return quoted(self.column) + (" DESC" if self.descending else "")


@dataclass(frozen=True, slots=True)
class Candidate:
    """An index that does not exist.

    Attributes:
        schema_name, table_name, keys: on what.
        predicate: which rows it holds; None for all.
        method: ``btree`` or ``gin``.
        equal: how many of its first keys are compared for equality.
        sorts: whether its rows come in the order that is wanted.
    """

    schema_name: str
    table_name: str
    keys: tuple[Key, ...]
    predicate: str | None = None
    method: str = "btree"
    equal: int = 0
    sorts: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """Its columns, in order."""
        return tuple(key.column for key in self.keys)

    @property
    def name(self) -> str:
        """A name that says what it is on."""
        return f"{self.table_name}_by_{'_'.join(c for c in self.columns if c != _TENANT) or _TENANT}"[:_LONGEST_NAME]

    def ddl(self, name: str | None = None) -> str:
        """Return what creates it while the table is in use."""
        return f"CREATE INDEX CONCURRENTLY {quoted(name or self.name)} {self._on()}"

    def plain_ddl(self) -> str:
        """Return what creates it in one transaction, or hypothetically, without a name."""
        return f"CREATE INDEX {self._on()}"

    def _on(self) -> str:
        keys = ", ".join(map(str, self.keys))
        where = f" WHERE {self.predicate}" if self.predicate else ""
        return f"ON {quoted(self.schema_name)}.{quoted(self.table_name)} USING {self.method} ({keys}){where}"


def candidates(need: Need, columns: Mapping[str, ColumnFacts]) -> list[Candidate]:
    """Return the indexes that could serve a need, the shortest first."""
    found = dict.fromkeys((*_trees(need, columns), *_containers(need, columns)))
    return [each for each in found if 0 < len(each.keys) <= _MOST_KEYS]


def _trees(need: Need, columns: Mapping[str, ColumnFacts]) -> Iterator[Candidate]:
    usable = {name for name, facts in columns.items() if facts.sorts and facts.width <= _WIDEST}
    equal = _named(need, {"equal", "null"}, usable)
    several = [each for each in _named(need, {"any"}, usable) if each not in equal]
    ranges = [each for each in _named(need, {"range"}, usable) if each not in equal]
    first = sorted(equal, key=lambda column: (column != _TENANT, -columns[column].distinct))
    if not (first or several or ranges or need.order):
        first = _named(need, {"true", "false"}, usable)
    for predicate in dict.fromkeys((None, _predicate(need))):
        for count in range(1, len(first + several) + 1):  # the most selective may be enough
            yield _tree(need, (first + several)[:count], predicate)
        for column in ranges:
            yield _tree(need, [*first, *several, column], predicate, equal=len(first + several))
        order = [key for key in need.order if key.column not in equal]
        # The other way round an index is read as easily, so that only a mixture of directions matters.
        turned = bool(order) and order[0].descending and all(key.descending for key in order)
        is_native = all(key.nulls_first == key.descending for key in order)
        if order and is_native and {key.column for key in order} <= usable:
            keys = [Key(key.column, key.descending and not turned) for key in order]
            yield _tree(need, first, predicate, keys)


def _tree(
    need: Need, columns: list[str], predicate: str | None, then: Iterable[Key] = (), equal: int | None = None
) -> Candidate:
    keys = (*map(Key, columns), *then)
    sorts = not need.order or bool(tuple(then))
    count = len(columns) if equal is None else equal
    return Candidate(*need.table, keys, predicate, equal=count, sorts=sorts)


def _containers(need: Need, columns: Mapping[str, ColumnFacts]) -> Iterator[Candidate]:
    """Yield a GIN index for words of a text, elements of an array, keys of an object."""
    usable = {name for name, facts in columns.items() if facts.contains}
    for column in _named(need, {"contains"}, usable):
        yield Candidate(*need.table, (Key(column),), _predicate(need), "gin", equal=1, sorts=not need.order)


def _named(need: Need, sorts: set[str], usable: set[str]) -> list[str]:
    return list(dict.fromkeys(each.column for each in need.conditions if each.sort in sorts and each.column in usable))


def _predicate(need: Need) -> str | None:
    """Return what is the same for every call, for an index that holds those rows only."""
    said = {
        each.column: f"NOT {quoted(each.column)}" if each.sort == "false" else quoted(each.column)
        for each in need.conditions
        if each.sort in {"true", "false"}
    }
    return " AND ".join(said[column] for column in sorted(said)) or None


def existing(index: IndexFacts) -> Candidate | None:
    """Return an index that exists as a candidate; None where it is on expressions."""
    if index.has_expressions:
        return None
    told = zip(index.keys, index.orders, strict=True)
    keys = tuple(Key(unquoted(name), bool(bits & _DESCENDING)) for name, bits in told)
    return Candidate(index.schema_name, index.table_name, keys, index.predicate, index.method)


def holds(need: Need, predicate: str | None) -> bool:
    """Tell whether an index of this predicate holds every row that is wanted."""
    if predicate is None:
        return True
    known = {_SAID[each.sort].format(quoted(each.column)) for each in need.conditions if each.sort in _SAID}
    known |= {f"{quoted(each.column)} IS NOT NULL" for each in need.conditions if each.sort in _NOT_NULL}
    return {part.strip("() ") for part in predicate.split(" AND ")} <= known


_SAID: Final = {"true": "{}", "false": "NOT {}", "null": "{} IS NULL"}
_NOT_NULL: Final = {"equal", "any", "range", "contains", "not_null"}
_DESCENDING: Final = 1


def is_covered(candidate: Candidate, need: Need, indexes: Iterable[Candidate]) -> bool:
    """Tell whether an index that exists does what the candidate would: then the planner had it to choose.

    An invalid one counts: it is to be rebuilt, which is another rule's advice.
    """
    return any(_covers(index, candidate) and holds(need, index.predicate) for index in indexes)


def _covers(index: Candidate, candidate: Candidate) -> bool:
    if index.method != candidate.method or len(index.keys) < len(candidate.keys):
        return False
    if index.predicate is None and candidate.predicate is not None:  # a part may be worth an index of its own
        return False
    if (index.schema_name, index.table_name) != (candidate.schema_name, candidate.table_name):
        return False
    equal, count = candidate.equal, len(candidate.keys)
    same_first = set(index.columns[:equal]) == set(candidate.columns[:equal])
    rest = [(key.column, key.descending) for key in index.keys[equal:count]]
    wanted = [(key.column, key.descending) for key in candidate.keys[equal:]]
    return same_first and rest in (wanted, [(column, not down) for column, down in wanted])
