"""What a reader of plans would point at, each with the numbers behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agentmem_store.models.plans import Node, Plan

__all__ = ["Finding", "Kind", "findings"]

Kind = Literal[
    "misestimate", "filter_discards", "sequential_scan", "sort_spilled", "hash_spilled", "lossy_bitmap", "heap_fetches",
    "nested_loop_over_scan", "temp_blocks",
]  # fmt: skip

_MISESTIMATE: Final = 10.0
_DISCARDED: Final = 0.9
# Below these a plan may do as it likes: a few rows more or less cost nothing.
_FEW_ROWS: Final = 100
_SMALL_TABLE: Final = 1_000
_READ_TO_THE_END: Final = frozenset({"Sort", "Aggregate", "Hash", "ModifyTable", "WindowAgg"})


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing in a plan that costs.

    Attributes:
        kind: which.
        node: where.
        message: what, in numbers.
    """

    kind: Kind
    node: Node
    message: str


def findings(plan: Plan) -> list[Finding]:
    """Return what costs in a plan, from the top down. Only a plan that was analyzed tells what really happened.

    Without measurements there is one kind: a sequential scan that is expected to keep a tenth of a large table or less.
    """
    stopped = {id(node) for node in _stopped(plan.root, early=False)}
    return [
        found
        for node in plan.walk()
        for look in _LOOKS
        for found in look(node)
        if not (found.kind == "misestimate" and id(node) in stopped and _came_short(node))
    ]


def _stopped(node: Node, *, early: bool) -> Iterator[Node]:
    """Yield the nodes that may be left before their last row: under a LIMIT, or where one row answers an EXISTS."""
    if early:
        yield node
    for place, child in enumerate(node.children):
        is_asked_once = child.parent in {"InitPlan", "SubPlan"} or (place == 1 and node.join_type in {"Semi", "Anti"})
        goes_on = early and node.kind not in _READ_TO_THE_END
        yield from _stopped(child, early=node.kind == "Limit" or is_asked_once or goes_on)


def _came_short(node: Node) -> bool:
    return (node.actual_rows or 0) < node.estimated_rows


def _misestimate(node: Node) -> Iterator[Finding]:
    """Rows expected and rows that came, ten times apart."""
    if not node.was_run or node.actual_rows is None:
        return
    more, less = sorted((max(node.estimated_rows, 1), max(node.actual_rows, 1)), reverse=True)
    if more / less >= _MISESTIMATE and more >= _FEW_ROWS:
        said = f"{node.estimated_rows:,.0f} rows expected, {node.actual_rows:,.0f} came: {more / less:,.0f} times apart"
        yield Finding("misestimate", node, said)


def _filter_discards(node: Node) -> Iterator[Finding]:
    looked_at = node.removed_in_all + node.rows_in_all
    if node.relation and looked_at >= _SMALL_TABLE and node.removed_in_all / looked_at >= _DISCARDED:
        said = f"the filter threw {node.removed_in_all:,.0f} of {looked_at:,.0f} rows away"
        yield Finding("filter_discards", node, said)


def _sequential_scan(node: Node) -> Iterator[Finding]:
    """A whole table read for few of its rows: measured, or else by the planner's own figures."""
    if node.kind != "Seq Scan" or node.filter is None:
        return
    looked_at = node.removed_in_all + node.rows_in_all
    if node.was_run:
        if looked_at >= _SMALL_TABLE and node.removed_in_all / looked_at >= _DISCARDED:
            yield Finding("sequential_scan", node, f"all {looked_at:,.0f} rows read for {node.rows_in_all:,.0f}")
        return
    # A row costs a hundredth of a page at least, so this is the most rows that the scan can have been charged for.
    if (most := node.total_cost / _ROW_COST) >= _SMALL_TABLE and node.estimated_rows <= most * (1 - _DISCARDED) / 2:
        yield Finding("sequential_scan", node, f"the whole table read for {node.estimated_rows:,.0f} rows expected")


_ROW_COST: Final = 0.0125  # cpu_tuple_cost and one cpu_operator_cost


def _sort_spilled(node: Node) -> Iterator[Finding]:
    if node.sort_space == "Disk":
        yield Finding(
            "sort_spilled", node, f"sorted on disk, {node.sort_kb:,} kB: more work_mem, or an index that sorts"
        )


def _hash_spilled(node: Node) -> Iterator[Finding]:
    batches = max(node.batches or 1, node.aggregate_batches or 1)
    if batches > 1 or (node.disk_kb or 0) > 0:
        disk = f", {node.disk_kb:,} kB" if node.disk_kb else ""
        yield Finding("hash_spilled", node, f"hashed in {batches} batches, all but one on disk{disk}: more work_mem")


def _lossy_bitmap(node: Node) -> Iterator[Finding]:
    if node.lossy_blocks:
        said = f"{node.lossy_blocks:,} pages of the bitmap lossy: each of their rows was checked; more work_mem"
        yield Finding("lossy_bitmap", node, said)


def _heap_fetches(node: Node) -> Iterator[Finding]:
    fetched = (node.heap_fetches or 0) * (node.loops or 0)
    if node.kind == "Index Only Scan" and fetched >= _FEW_ROWS:
        said = f"{fetched:,.0f} rows looked up in the table by an index-only scan: VACUUM {node.relation}"
        yield Finding("heap_fetches", node, said)


def _nested_loop_over_scan(node: Node) -> Iterator[Finding]:
    """A table read whole, once for each row of the other side."""
    if node.kind != "Nested Loop" or len(node.children) < 2:  # noqa: PLR2004
        return
    outer, inner = node.children[:2]
    times = inner.loops if inner.was_run else outer.estimated_rows
    if inner.kind == "Seq Scan" and (times or 0) > 1:
        rows = (inner.rows_in_all + inner.removed_in_all) if inner.was_run else (times or 0) * inner.estimated_rows
        if rows >= _SMALL_TABLE:
            yield Finding("nested_loop_over_scan", node, f"{inner.relation} read whole {times:,.0f} times")


def _temp_blocks(node: Node) -> Iterator[Finding]:
    """Pages that went to disk and back, told at the node that caused them."""
    own = (node.temp_written or 0) - sum(child.temp_written or 0 for child in node.children)
    if own > 0:
        yield Finding("temp_blocks", node, f"{own:,} pages of 8 kB written to temporary files")


_LOOKS: Final[tuple[Callable[[Node], Iterator[Finding]], ...]] = (
    _misestimate, _filter_discards, _sequential_scan, _sort_spilled, _hash_spilled, _lossy_bitmap, _heap_fetches,
    _nested_loop_over_scan, _temp_blocks,
)  # fmt: skip
