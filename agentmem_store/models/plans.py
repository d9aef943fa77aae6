"""What EXPLAIN says, as a tree of frozen values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

import pydantic
from pydantic import BaseModel, Field

__all__ = ["Node", "Plan", "SlowPlan"]

# What PostgreSQL prints for a constant: a quoted string, which may go over lines, or a number that is no part of a name
# and no parameter's number.
_CONSTANT: Final = re.compile(
    r"E?'(?:[^']|'')*'|(?<![\w$.])(?<!Plan )-?\d+(?:\.\d+)?(?:e[+-]?\d+)?(?!\w)", re.IGNORECASE
)


class Node(BaseModel):
    """One step of a plan. Rows and times are those of one loop; what was not measured is None.

    Attributes:
        kind: such as ``Index Scan``.
        relation, alias, schema_name: the table that it reads or writes, and by which name.
        join_type, strategy, operation, subplan, parent: what sort of a join, aggregate, write or sub-plan it is.
        width: bytes of a row, estimated.
        condition: what the index or the join looks up; the others are checked of each row.
        removed: rows of one loop that the filter threw away; `removed_by_recheck`, `removed_by_join` likewise.
        heap_fetches: rows that an index-only scan had to look up in the table after all.
        exact_blocks, lossy_blocks: pages of a bitmap; of a lossy one every row is looked at.
        sort_kb, sort_space: what a sort took, in ``Memory`` or on ``Disk``; `disk_kb` what an aggregate spilled.
        batches: into how many a hash was split; more than one went to disk.
        hit, read, dirtied, written: shared buffers, this node's children included; `temp_read` and so on likewise.
    """

    model_config = pydantic.ConfigDict(frozen=True, defer_build=True, populate_by_name=True)

    kind: str = Field(alias="Node Type")
    relation: str | None = Field(None, alias="Relation Name")
    schema_name: str | None = Field(None, alias="Schema")
    alias: str | None = Field(None, alias="Alias")
    index: str | None = Field(None, alias="Index Name")
    cte: str | None = Field(None, alias="CTE Name")
    function: str | None = Field(None, alias="Function Name")
    join_type: str | None = Field(None, alias="Join Type")
    strategy: str | None = Field(None, alias="Strategy")
    operation: str | None = Field(None, alias="Operation")
    subplan: str | None = Field(None, alias="Subplan Name")
    parent: str | None = Field(None, alias="Parent Relationship")
    startup_cost: float = Field(0, alias="Startup Cost")
    total_cost: float = Field(0, alias="Total Cost")
    estimated_rows: float = Field(0, alias="Plan Rows")
    width: int = Field(0, alias="Plan Width")
    actual_rows: float | None = Field(None, alias="Actual Rows")
    loops: float | None = Field(None, alias="Actual Loops")
    startup_ms: float | None = Field(None, alias="Actual Startup Time")
    total_ms: float | None = Field(None, alias="Actual Total Time")
    index_condition: str | None = Field(None, alias="Index Cond")
    hash_condition: str | None = Field(None, alias="Hash Cond")
    merge_condition: str | None = Field(None, alias="Merge Cond")
    order_by: str | None = Field(None, alias="Order By")
    recheck: str | None = Field(None, alias="Recheck Cond")
    filter: str | None = Field(None, alias="Filter")
    join_filter: str | None = Field(None, alias="Join Filter")
    sort_key: tuple[str, ...] = Field((), alias="Sort Key")
    presorted_key: tuple[str, ...] = Field((), alias="Presorted Key")
    group_key: tuple[str, ...] = Field((), alias="Group Key")
    removed: float | None = Field(None, alias="Rows Removed by Filter")
    removed_by_recheck: float | None = Field(None, alias="Rows Removed by Index Recheck")
    removed_by_join: float | None = Field(None, alias="Rows Removed by Join Filter")
    heap_fetches: float | None = Field(None, alias="Heap Fetches")
    exact_blocks: int | None = Field(None, alias="Exact Heap Blocks")
    lossy_blocks: int | None = Field(None, alias="Lossy Heap Blocks")
    sort_method: str | None = Field(None, alias="Sort Method")
    sort_kb: int | None = Field(None, alias="Sort Space Used")
    sort_space: str | None = Field(None, alias="Sort Space Type")
    batches: int | None = Field(None, alias="Hash Batches")
    aggregate_batches: int | None = Field(None, alias="HashAgg Batches")
    memory_kb: int | None = Field(None, alias="Peak Memory Usage")
    disk_kb: int | None = Field(None, alias="Disk Usage")
    hit: int | None = Field(None, alias="Shared Hit Blocks")
    read: int | None = Field(None, alias="Shared Read Blocks")
    dirtied: int | None = Field(None, alias="Shared Dirtied Blocks")
    written: int | None = Field(None, alias="Shared Written Blocks")
    temp_read: int | None = Field(None, alias="Temp Read Blocks")
    temp_written: int | None = Field(None, alias="Temp Written Blocks")
    children: tuple[Node, ...] = Field((), alias="Plans")

    @property
    def condition(self) -> str | None:
        """What the index or the join looks up."""
        return self.index_condition or self.hash_condition or self.merge_condition

    @property
    def was_run(self) -> bool:
        """Whether it was measured, and ran at least once."""
        return bool(self.loops)

    @property
    def rows_in_all(self) -> float:
        """The rows of all loops."""
        return (self.actual_rows or 0) * (self.loops or 0)

    @property
    def removed_in_all(self) -> float:
        """The rows that its filter threw away, of all loops."""
        return (self.removed or 0) * (self.loops or 0)

    @property
    def ms_in_all(self) -> float | None:
        """Milliseconds of all loops, its children included; None when it was not measured."""
        return None if self.total_ms is None or self.loops is None else self.total_ms * self.loops

    def walk(self) -> Iterator[Node]:
        """Yield this node and all below it, from the top down."""
        yield self
        for child in self.children:
            yield from child.walk()

    def redacted(self) -> Node:
        """Return the same with a ``?`` for each constant in its conditions."""
        texts: dict[str, Any] = {name: _without_values(getattr(self, name)) for name in _TEXTS}
        keys: dict[str, Any] = {name: tuple(map(_without_values, getattr(self, name))) for name in _KEYS}
        inner = tuple(child.redacted() for child in self.children)
        return self.model_copy(update={**texts, **keys, "children": inner})


# Every text of a node that may quote a constant.
_TEXTS: Final = (
    "index_condition", "hash_condition", "merge_condition", "order_by", "recheck", "filter", "join_filter",
)  # fmt: skip
_KEYS: Final = ("sort_key", "presorted_key", "group_key")


def _without_values(text: str | None) -> str | None:
    return text and _CONSTANT.sub("?", text)


class Plan(BaseModel):
    """How the server runs a query.

    Attributes:
        query: its name, such as ``messages.recent``.
        root: the top node.
        analyzed: whether it ran and was measured.
        generic: whether the plan was made without knowing the arguments, as connections of this library run it.
        planning_ms, execution_ms: milliseconds, where it was analyzed.
        settings: those of the planner that are not at their defaults.
        side_effects: what running a write leaves behind although it was rolled back; empty for a read.
    """

    model_config = pydantic.ConfigDict(frozen=True, defer_build=True)

    query: str
    root: Node
    analyzed: bool = False
    generic: bool = False
    planning_ms: float | None = None
    execution_ms: float | None = None
    settings: dict[str, str] = {}
    side_effects: tuple[str, ...] = ()

    def walk(self) -> Iterator[Node]:
        """Yield every node, from the top down."""
        return self.root.walk()

    @property
    def writes(self) -> tuple[str, ...]:
        """The tables that it writes to, by name."""
        return tuple(sorted({node.relation for node in self.walk() if node.kind == "ModifyTable" and node.relation}))

    def redacted(self) -> Plan:
        """Return the same with a ``?`` for each constant: it may be stored, logged and shown."""
        return self.model_copy(update={"root": self.root.redacted()})


class SlowPlan(BaseModel):
    """The plan of a slow call, values removed.

    Attributes:
        plan: the one by which it ran; explained after the call, and not run again.
        for_its_arguments: what the planner would have done for the very values of that call. Where it is much cheaper,
            the query should be split into two.
        run_s: seconds that the call took.
        at: when it was explained.
    """

    model_config = pydantic.ConfigDict(frozen=True, defer_build=True)

    plan: Plan
    for_its_arguments: Plan
    run_s: float
    at: datetime
