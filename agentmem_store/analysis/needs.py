"""Where a plan reads more than it keeps, or sorts what an index could hold sorted: what an index would have to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agentmem_store.analysis.conditions import Condition, SortKey, conditions, sort_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from agentmem_store.models.plans import Node, Plan

__all__ = ["Need", "needs"]

# Nodes that hand rows on in the order in which they come.
_KEEPS_ORDER: Final = frozenset({"Limit", "Result", "LockRows", "Subquery Scan", "Nested Loop", "Unique", "Sort",
                                 "Incremental Sort", "WindowAgg", "Aggregate", "Group"})  # fmt: skip
_SCANS: Final = frozenset({"Seq Scan", "Index Scan", "Index Only Scan", "Bitmap Heap Scan"})


@dataclass(frozen=True, slots=True)
class Need:
    """One scan of a plan, with all that an index could take from it.

    Attributes:
        scan: the node that reads the table.
        conditions: what its rows have to fulfil.
        order: in which its rows are wanted, when they are all that is sorted by.
        cost: what it costs now, its sort included, all loops.
        loops: how often it is expected to run.
        part: the part of its rows that is wanted of it, 1 unless a LIMIT ends it.
        joined: whether it is read whole only to be joined, so that an index would serve one look-up for each loop.
    """

    query: str
    scan: Node
    conditions: tuple[Condition, ...]
    order: tuple[SortKey, ...]
    cost: float
    loops: float
    part: float
    joined: bool = False

    @property
    def table(self) -> tuple[str, str]:
        """Its schema and name."""
        return self.scan.schema_name or "", self.scan.relation or ""


def needs(plan: Plan) -> list[Need]:
    """Return what each scan of a plan could need, from the top down."""
    return list(_below(plan.query, plan.root, (), 1.0))


def _below(query: str, node: Node, above: tuple[Node, ...], loops: float) -> Iterator[Need]:
    if node.kind in _SCANS and node.relation:
        yield _of_scan(query, node, above, loops)
    yield from _of_join(query, node, loops)
    for place, child in enumerate(node.children):
        times = loops
        if child.parent == "SubPlan":
            times *= max(node.estimated_rows, 1)
        elif node.kind == "Nested Loop" and place == 1:
            times *= max(node.children[0].estimated_rows, 1)
        # Only the first of two children hands its rows on in order, and a sub-plan none.
        chain = (*above, node) if child.parent in {"Outer", "Subquery"} and node.kind in _KEEPS_ORDER else ()
        yield from _below(query, child, chain, times)


def _of_scan(query: str, scan: Node, above: tuple[Node, ...], loops: float) -> Need:
    sort = next((node for node in reversed(above) if node.sort_key), None)
    limit = next((node for node in reversed(above) if node.kind == "Limit"), None)
    order = _order(sort, scan) if sort else ()
    top = sort if order and sort else scan
    is_ended = limit is not None and _is_only_limited(above, order)
    part = min(1.0, limit.estimated_rows / max(scan.estimated_rows, 1)) if is_ended and limit else 1.0
    cost = top.total_cost
    if is_ended and limit and not order:  # by an index in this order already, of which the rest is not read
        cost = max(limit.total_cost - _aside(limit), 0)
    return Need(query, scan, _conditions(scan), order, cost * loops, loops, part)


def _is_only_limited(above: Sequence[Node], order: tuple[SortKey, ...]) -> bool:
    """Tell whether a LIMIT ends the scan, or would if the rows came in order: nothing else has to see all of them."""
    for node in reversed(above):
        if node.kind == "Limit":
            return True
        if node.kind in {"WindowAgg", "Aggregate", "Group", "Unique"} or (node.sort_key and not order):
            return False
    return False


def _order(sort: Node, scan: Node) -> tuple[SortKey, ...]:
    keys = [sort_key(text) for text in sort.sort_key]
    if any(key is None or key.alias != scan.alias for key in keys):
        return ()
    return tuple(key for key in keys if key)


def _conditions(scan: Node) -> tuple[Condition, ...]:
    texts = [scan.index_condition, scan.recheck, scan.filter]
    if scan.recheck:
        texts += [node.index_condition for node in scan.walk() if node.kind == "Bitmap Index Scan"]
    found = [each for text in texts for each in conditions(text) if each.alias == scan.alias]
    return tuple(dict.fromkeys(found))


def _aside(node: Node) -> float:
    """What the sub-plans of a node cost that run once."""
    return sum(child.total_cost for child in node.children if child.parent == "InitPlan")


def _of_join(query: str, node: Node, loops: float) -> Iterator[Need]:
    """Yield a need for each side of a join that is read whole, as if it were looked up for each row of the other."""
    text = node.hash_condition or node.merge_condition or (node.join_filter if node.kind == "Nested Loop" else None)
    sides = [child for child in node.children if child.parent in {"Outer", "Inner"}]
    if text is None or len(sides) != 2:  # noqa: PLR2004
        return
    for side, other in (sides, sides[::-1]):
        scan = side
        while scan.kind in {"Hash", "Sort", "Materialize"} and scan.children:
            scan = scan.children[0]
        keys = [each for each in conditions(text) if each.alias == scan.alias and each.sort in {"equal", "contains"}]
        is_inner = node.kind != "Nested Loop" or side is sides[1]
        if scan.kind in _SCANS and scan.relation and keys and is_inner:
            cost = (node.total_cost - other.total_cost) * loops
            found = tuple(dict.fromkeys((*keys, *_conditions(scan))))
            yield Need(query, scan, found, (), cost, loops * max(other.estimated_rows, 1), 1.0, joined=True)
