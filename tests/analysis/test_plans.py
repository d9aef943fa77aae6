from __future__ import annotations

from typing import Any

import pytest

from agentmem_store.analysis import Node, Plan, drawn, findings


def node(kind: str, *children: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A node as EXPLAIN prints it; names of its fields have _ for a space."""
    said = {name.replace("_", " "): value for name, value in more.items()}
    return {"Node Type": kind, "Plan Rows": 1, "Plans": list(children), **said}


def scan(kind: str = "Seq Scan", **more: Any) -> dict[str, Any]:
    defaults = {"Relation_Name": "t", "Alias": "t", "Actual_Rows": 1, "Actual_Loops": 1}
    return node(kind, **{**defaults, **more})


def kinds(root: dict[str, Any]) -> list[str]:
    plan = Plan(query="test.one", root=Node.model_validate(root))
    return [finding.kind for finding in findings(plan)]


def outer(rows: int) -> dict[str, Any]:
    return scan("Index Scan", Parent_Relationship="Outer", Plan_Rows=rows, Actual_Rows=rows)


# Fires, must not, nearly does.
CASES = {
    "misestimate": (
        scan("Index Scan", Plan_Rows=10, Actual_Rows=100),
        scan("Index Scan", Plan_Rows=100, Actual_Rows=100),
        scan("Index Scan", Plan_Rows=10, Actual_Rows=99),
    ),
    "filter_discards": (
        scan("Index Scan", Actual_Rows=100, Plan_Rows=100, Rows_Removed_by_Filter=900),
        scan("Index Scan", Actual_Rows=900, Plan_Rows=900, Rows_Removed_by_Filter=100),
        scan("Index Scan", Actual_Rows=101, Plan_Rows=101, Rows_Removed_by_Filter=899),
    ),
    "sort_spilled": (
        node("Sort", Sort_Space_Type="Disk", Sort_Space_Used=4000, Actual_Rows=1, Actual_Loops=1),
        node("Sort", Sort_Space_Type="Memory", Sort_Space_Used=4000, Actual_Rows=1, Actual_Loops=1),
        node("Sort", Sort_Space_Type="Memory", Sort_Space_Used=4095, Actual_Rows=1, Actual_Loops=1),
    ),
    "hash_spilled": (
        node("Hash", Hash_Batches=2),
        node("Hash"),
        node("Hash", Hash_Batches=1),
    ),
    "lossy_bitmap": (
        scan("Bitmap Heap Scan", Exact_Heap_Blocks=10, Lossy_Heap_Blocks=1),
        scan("Bitmap Heap Scan", Exact_Heap_Blocks=10),
        scan("Bitmap Heap Scan", Exact_Heap_Blocks=10, Lossy_Heap_Blocks=0),
    ),
    "heap_fetches": (
        scan("Index Only Scan", Heap_Fetches=100),
        scan("Index Only Scan", Heap_Fetches=0),
        scan("Index Only Scan", Heap_Fetches=99),
    ),
    "nested_loop_over_scan": (
        node("Nested Loop", outer(20), scan(Actual_Rows=50, Plan_Rows=50, Actual_Loops=20)),
        node("Nested Loop", outer(20), scan("Index Scan", Actual_Rows=50, Plan_Rows=50, Actual_Loops=20)),
        node("Nested Loop", outer(19), scan(Actual_Rows=52, Plan_Rows=52, Actual_Loops=19)),
    ),
    "temp_blocks": (
        node("Sort", node("Materialize", Temp_Written_Blocks=5), Temp_Written_Blocks=6),
        node("Sort", Temp_Written_Blocks=0),
        node("Limit", Temp_Written_Blocks=0, Temp_Read_Blocks=6),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", CASES)
def test_a_finding_is_told_where_it_is_and_only_there(kind: str) -> None:
    fires, must_not, nearly = CASES[kind]
    assert kind in kinds(fires)
    assert kinds(must_not) == []
    assert kinds(nearly) == []


def test_a_table_read_whole_for_few_rows() -> None:
    measured = scan(Filter="(t.a = 1)", Rows_Removed_by_Filter=990, Actual_Rows=10, Plan_Rows=10)
    assert kinds(measured) == ["filter_discards", "sequential_scan"]
    expected = {**scan(Filter="(t.a = 1)", Total_Cost=300.0, Plan_Rows=20), "Actual Loops": None, "Actual Rows": None}
    assert kinds(expected) == ["sequential_scan"]
    assert kinds({**expected, "Plan Rows": 5_000}) == [], "it keeps many"
    assert kinds({**expected, "Total Cost": 12.0}) == [], "it is small"


def test_a_scan_that_a_limit_ended_tells_nothing_of_estimates() -> None:
    ended = node(
        "Limit", scan("Index Scan", Plan_Rows=5_000, Actual_Rows=5), Actual_Rows=5, Actual_Loops=1, Plan_Rows=5
    )
    assert kinds(ended) == []
    sorted_first = scan("Index Scan", Plan_Rows=5_000, Actual_Rows=5)
    assert kinds(node("Limit", node("Sort", sorted_first, Plan_Rows=5, Actual_Rows=5, Actual_Loops=1))) == [
        "misestimate"
    ]


@pytest.mark.parametrize(
    ("condition", "shown"),
    [
        ("(t.name = 'O''Brien said \"hi\"'::text)", "(t.name = ?::text)"),
        ("(t.importance > '-0.5'::double precision)", "(t.importance > ?::double precision)"),
        ("((t.a1 = 15) AND (t.b = $12))", "((t.a1 = ?) AND (t.b = $12))"),
        ("(NOT EXISTS(SubPlan 3))", "(NOT EXISTS(SubPlan 3))"),
        ("(t.id = ANY ('{a,b}'::text[]))", "(t.id = ANY (?::text[]))"),
    ],
)
def test_values_are_removed_and_nothing_else(condition: str, shown: str) -> None:
    plan = Plan(query="test.one", root=Node.model_validate(scan(Filter=condition, Sort_Key=[condition])))
    (found,) = plan.redacted().walk()
    assert (found.filter, found.sort_key) == (shown, (shown,))


def test_a_plan_is_drawn_as_a_tree_with_its_findings() -> None:
    root = node("Limit", scan("Bitmap Heap Scan", Lossy_Heap_Blocks=3, Filter="(t.a = 1)"), Plan_Rows=1)
    text = drawn(Plan(query="test.one", root=Node.model_validate(root), side_effects=("dead rows",)))
    first, second, *rest = text.splitlines()
    assert first.startswith("test.one")
    assert second.startswith("├── Limit")
    assert any("└── Bitmap Heap Scan on t" in line for line in rest)
    assert any("! 3 pages of the bitmap lossy" in line for line in rest)
    assert "stays: dead rows" in text


def test_a_long_condition_is_cut_off_where_it_is_drawn() -> None:
    ids = ", ".join(f"id {number}" for number in range(100))
    plan = Plan(query="test.one", root=Node.model_validate(scan("Index Scan", Index_Cond=f"(id = ANY ({ids}))")))
    shown = drawn(plan)
    assert "id 10" in shown
    assert "…" in shown
    assert "id 99" not in shown
