"""A plan in words, the same in the terminal and on the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agentmem_store.models.plans import Node

__all__ = ["count", "details", "figures", "size", "title"]

_CONDITION: Final = 400  # characters


def title(node: Node) -> str:
    """Return what a node does to what: ``Index Scan using messages_visible on messages m``."""
    kind = f"{node.join_type} {node.kind}" if node.join_type and node.join_type != "Inner" else node.kind
    if node.operation and node.kind == "ModifyTable":
        kind = node.operation
    using = f" using {node.index}" if node.index else ""
    source = node.relation or node.cte or node.function
    on = f" on {source}" if source else ""
    alias = f" {node.alias}" if source and node.alias and node.alias != source else ""
    return f"{kind}{using}{on}{alias}"


def figures(node: Node) -> str:
    """Return its estimates and, where it was run, its measurements."""
    said = f"cost {node.total_cost:,.1f}, {_several(node.estimated_rows, 'row')} expected"
    if node.loops == 0:
        return f"{said}; never run"
    if node.loops is None or node.actual_rows is None:
        return said
    said = f"{_several(node.rows_in_all, 'row')} ({node.estimated_rows * node.loops:,.0f} expected)"
    if node.ms_in_all is not None:
        said = f"{node.ms_in_all:,.3f} ms, {said}"
    if node.loops > 1:
        said += f", {node.loops:,.0f} loops"
    pages = (node.hit or 0) + (node.read or 0)
    return f"{said}, {_several(pages, 'page')}" if pages else said


def _several(number: float, noun: str) -> str:
    shown = f"{number:,.0f}"
    return f"{shown} {noun}" if shown == "1" else f"{shown} {noun}s"


def details(node: Node) -> Iterator[str]:
    """Yield its conditions and what it took, a line each."""
    if node.subplan:
        yield node.subplan
    if node.condition:
        yield f"looks up {_short(node.condition)}"
    if node.filter:
        yield f"keeps {_short(node.filter)}"
    if node.join_filter:
        yield f"joins {_short(node.join_filter)}"
    if node.sort_key:
        yield f"sorts by {', '.join(node.sort_key)}"
    if node.sort_method:
        yield f"{node.sort_method}, {node.sort_kb:,} kB in {(node.sort_space or '').lower()}"
    if node.removed_in_all:
        yield f"{_several(node.removed_in_all, 'row')} thrown away"


def _short(condition: str) -> str:
    """Cut off what no reader needs, such as the hundredth id of an array."""
    return condition if len(condition) <= _CONDITION else f"{condition[:_CONDITION]} …"


def count(number: float) -> str:
    """Return a number in at most six characters: ``9,999``, ``24 k``, ``1.2 M``."""
    if number < 10_000:  # noqa: PLR2004
        return f"{number:,.0f}"
    for unit in ("k", "M", "G"):
        number /= 1000
        if number < 999.5:  # noqa: PLR2004
            return f"{number:,.1f} {unit}" if number < 10 and unit != "k" else f"{number:,.0f} {unit}"  # noqa: PLR2004
    return f"{number / 1000:,.0f} T"


def size(number: float) -> str:
    """Return bytes as a reader takes them in: ``1.4 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1024:  # noqa: PLR2004
            return f"{number:,.0f} {unit}" if unit == "B" else f"{number:,.1f} {unit}"
        number /= 1024
    return f"{number:,.1f} TB"
