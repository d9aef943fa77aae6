"""What a query would cost with indexes that do not exist, by the planner's own row counts and its formulas.

For servers without HypoPG. Rows are what the planner expects of the conditions that an index would look up; pages and
processing are charged as PostgreSQL's costsize.c charges them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from math import ceil, inf, log2, prod, sqrt
from typing import TYPE_CHECKING, Any, Final

from agentmem_store import errors
from agentmem_store.analysis.candidates import holds
from agentmem_store.analysis.control import fetch
from agentmem_store.analysis.explain import prepared
from agentmem_store.models.analysis import quoted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from agentmem_store.analysis.candidates import Candidate
    from agentmem_store.analysis.conditions import Condition
    from agentmem_store.analysis.needs import Need
    from agentmem_store.executor import Executor
    from agentmem_store.models.analysis import ColumnFacts

__all__ = ["Estimator", "Price", "Table", "index_bytes"]

_PAGE: Final = 8192
_FULL: Final = 0.9  # of a B-tree's leaf
_ENTRY: Final = 8 + 4  # a tuple's header and its pointer, without its keys
_POINTER: Final = 6
_HEIGHT: Final = 2
_LATER_KEYS: Final = 0.75**2  # what keys after the first leave of the first one's correlation, squared


@dataclass(frozen=True, slots=True)
class Price:
    """The planner's cost settings."""

    sequential: float
    random: float
    row: float
    entry: float
    operator: float


@dataclass(frozen=True, slots=True)
class Table:
    """What is known of a table's size and columns."""

    rows: float
    pages: int
    columns: Mapping[str, ColumnFacts]


def index_bytes(rows: float, widths: Iterable[float], distinct: float) -> int:
    """Return about how large a B-tree of so many rows is. Rows with the same keys share one entry and add a pointer."""
    entry = _ENTRY + 8 * ceil(sum(widths) / 8)
    entries = min(max(rows, 0), max(distinct, 1))
    return _PAGE * (2 + ceil((entries * entry + (max(rows, 0) - entries) * _POINTER) / (_PAGE * _FULL)))


@dataclass
class Estimator:
    """Puts a price on look-ups that no index serves yet, within one transaction.

    Args:
        executor: within a transaction in which plan_cache_mode is force_generic_plan.
        price: the server's settings.
        tables: of every schema and name that a need may have.
        existing: indexes that are there. What one of them is thought to do as well is no saving, whatever the planner
            thinks of it: two estimates are compared, and not an estimate with the planner.
    """

    executor: Executor
    price: Price
    tables: Mapping[tuple[str, str], Table]
    existing: Sequence[Candidate] = ()
    _rows: dict[tuple[Any, ...], float] = field(default_factory=dict[tuple[Any, ...], float])

    async def reduced(self, cost: float, needs: Sequence[Need], chosen: Collection[Candidate]) -> float:
        """Return what a query of this cost would cost if these indexes were there: no less than using them does."""
        saved, used = dict[int, float](), dict[int, float]()
        for need in needs:
            least = await self._least(need, chosen)
            saving = min(need.cost, await self._least(need, self.existing)) - least
            if saving > saved.get(id(need.scan), 0.0):
                saved[id(need.scan)], used[id(need.scan)] = saving, least
        return max(cost - sum(saved.values()), sum(used.values()))

    async def bytes_of(self, candidate: Candidate) -> int:
        """Return about how large an index would be."""
        table = self.tables[candidate.schema_name, candidate.table_name]
        columns = [table.columns[column] for column in candidate.columns]
        distinct = prod(max(column.distinct, 1) for column in columns)
        return index_bytes(await self._rows_in(candidate), [column.width for column in columns], distinct)

    async def _least(self, need: Need, indexes: Collection[Candidate]) -> float:
        return min([await self._cost(need, each) for each in indexes], default=inf)

    async def _cost(self, need: Need, candidate: Candidate) -> float:
        """What a need costs with one index; infinite where that cannot serve it."""
        if need.table != (candidate.schema_name, candidate.table_name):
            return inf
        used = _used(need, candidate)
        ordered = bool(need.order) and _sorted_by(need, candidate, used)
        if not (used or ordered):
            return inf
        if not holds(need, candidate.predicate):
            return inf
        table = self.tables[need.table]
        rows = await self._expected(need, used, candidate.predicate) if used else await self._rows_in(candidate)
        kept = min(rows, need.scan.estimated_rows if not need.joined else rows)
        plain, bitmap = self._read(table, candidate, rows, need)
        if candidate.method == "gin":
            plain = inf
        if not need.order or kept <= 1:
            return (min(plain * need.part, bitmap) if not need.order else min(plain, bitmap)) * need.loops
        if ordered:
            return min(plain * need.part, bitmap + self._sort(kept)) * need.loops
        return (min(plain, bitmap) + self._sort(kept)) * need.loops

    def _read(self, table: Table, candidate: Candidate, rows: float, need: Need) -> tuple[float, float]:
        """What reading so many rows costs, one after another and by a bitmap."""
        price, pages = self.price, max(table.pages, 1)
        entry = _ENTRY + sum(table.columns[column].width for column in candidate.columns)
        leaves = ceil(max(rows, 1) * entry / (_PAGE * _FULL))
        look_up = price.random * leaves + rows * (price.entry + price.operator) + (_HEIGHT + 1) * 50 * price.operator
        fetched = min(pages, 2 * pages * rows / (2 * pages + rows)) if rows else 0.0
        asked = sum(child.total_cost for child in need.scan.children if child.parent == "SubPlan")
        handled = rows * (price.row + price.operator * len(need.conditions) + asked)
        nearer = price.random - (price.random - price.sequential) * sqrt(fetched / pages)
        bitmap = look_up + ceil(fetched) * nearer + handled + 0.1 * price.operator * rows
        # In the order of the rows, pages come one after another and each once.
        scattered = ceil(fetched) * price.random
        together = price.random + price.sequential * max(ceil(rows / max(table.rows, 1) * pages) - 1, 0)
        alike = table.columns[candidate.columns[0]].correlation ** 2 * (_LATER_KEYS if len(candidate.keys) > 1 else 1)
        return look_up + scattered + alike * min(together - scattered, 0) + handled, bitmap

    def _sort(self, rows: float) -> float:
        return 2 * self.price.operator * max(rows, 2) * log2(max(rows, 2))

    async def _rows_in(self, candidate: Candidate) -> float:
        table = self.tables[candidate.schema_name, candidate.table_name]
        if candidate.predicate is None:
            return table.rows
        key = (candidate.schema_name, candidate.table_name, candidate.predicate)
        if key not in self._rows:
            self._rows[key] = await self._ask((candidate.schema_name, candidate.table_name), "t", candidate.predicate)
        return self._rows[key]

    async def _expected(self, need: Need, used: Sequence[Condition], predicate: str | None) -> float:
        """How many rows the planner expects of some of a need's conditions."""
        table, alias = self.tables[need.table], need.scan.alias or ""
        if need.joined and used[0].sort == "equal" and not used[0].is_constant and len(used) == 1:
            return table.rows / max(table.columns[used[0].column].distinct, 1)
        parts = [_written(alias, each, place) for place, each in enumerate(used, start=1)]
        parts += [f"({predicate})"] if predicate else []
        key = (*need.table, *parts)
        if key not in self._rows:
            self._rows[key] = await self._ask(need.table, alias, " AND ".join(parts))
        return self._rows[key]

    async def _ask(self, table: tuple[str, str], alias: str, where: str) -> float:
        source = f"{quoted(table[0])}.{quoted(table[1])} AS {quoted(alias)}"
        try:
            async with self.executor.transaction(None, read_only=False) as inner:
                told = await prepared(inner, f"SELECT FROM {source} WHERE {where}", None, "FORMAT JSON")
        except errors.DatabaseError:  # a type for which a parameter alone says too little
            return self.tables[table].rows
        (said,) = json.loads(told)
        return float(said["Plan"]["Plan Rows"])


def _used(need: Need, candidate: Candidate) -> list[Condition]:
    """Return the conditions that an index would look up: for equality as far as they go, then of one range."""
    of: dict[str, list[Condition]] = {}
    for each in need.conditions:
        of.setdefault(each.column, []).append(each)
    found: list[Condition] = []
    wanted = {"contains"} if candidate.method == "gin" else {"equal", "any", "null", "true", "false"}
    for key in candidate.keys:
        equal = [each for each in of.get(key.column, ()) if each.sort in wanted]
        if not equal:
            ranges = [each for each in of.get(key.column, ()) if each.sort == "range" and candidate.method == "btree"]
            return [*found, *ranges]
        found.append(equal[0])
    return found


def _sorted_by(need: Need, candidate: Candidate, used: Sequence[Condition]) -> bool:
    """Tell whether an index would hand rows on in the order that is wanted, read forwards or backwards."""
    if candidate.method != "btree" or any(each.sort == "any" for each in used):
        return False
    fixed = {each.column for each in used if each.sort != "range"}
    order = [key for key in need.order if key.column not in fixed]
    rest = candidate.keys[len(fixed) :][: len(order)]
    same = [(key.column, key.descending) for key in rest]
    return same in ([(k.column, k.descending) for k in order], [(k.column, not k.descending) for k in order])


def _written(alias: str, condition: Condition, place: int) -> str:
    """Return a condition as SQL that stands alone, with a parameter for what is not the same for every call."""
    column = f"{quoted(alias)}.{quoted(condition.column)}"
    if condition.sort in _WHOLE:
        return _WHOLE[condition.sort].format(column)
    if condition.is_constant:
        return f"{column} {condition.operator} {'ANY ' if condition.sort == 'any' else ''}{condition.value}"
    return f"{column} {condition.operator} {f'ANY (${place})' if condition.sort == 'any' else f'${place}'}"


_WHOLE: Final = {"null": "{} IS NULL", "true": "{}", "false": "NOT {}"}


async def prices(executor: Executor) -> Price:
    """Read the server's cost settings."""
    names = ("seq_page_cost", "random_page_cost", "cpu_tuple_cost", "cpu_index_tuple_cost", "cpu_operator_cost")
    row = (await fetch(executor, "SELECT " + ", ".join(f"current_setting('{name}')::float8" for name in names)))[0]
    return Price(*row)
