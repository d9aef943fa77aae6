"""A plan drawn as a tree in the terminal. Needs the extra `cli`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentmem_store.analysis import words
from agentmem_store.analysis.findings import findings

if TYPE_CHECKING:
    from rich.text import Text
    from rich.tree import Tree

    from agentmem_store.analysis.findings import Finding
    from agentmem_store.models.plans import Node, Plan

__all__ = ["draw", "drawn"]


def draw(plan: Plan) -> Tree:
    """Return a plan as a tree that rich prints: `rich.print(analysis.draw(plan))`.

    Raises:
        ImportError: rich is not installed; it comes with the extra ``cli``.
    """
    from rich.text import Text
    from rich.tree import Tree

    tree = Tree(Text.assemble((plan.query, "bold"), f"  {_headline(plan)}"), guide_style="dim")
    _grow(tree, plan.root, findings(plan))
    for effect in plan.side_effects:
        tree.add(Text(f"stays: {effect}", "yellow"))
    return tree


def drawn(plan: Plan, *, width: int = 120) -> str:
    """Return a plan as text, a tree of lines of at most `width` characters.

    Raises:
        ImportError: rich is not installed; it comes with the extra ``cli``.
    """
    from rich.console import Console

    console = Console(width=width, no_color=True, highlight=False)
    with console.capture() as captured:
        console.print(draw(plan))
    return captured.get()


def _headline(plan: Plan) -> str:
    kind = "generic plan" if plan.generic else "plan for these arguments"
    if plan.execution_ms is None:
        return f"{kind}, not run"
    return f"{kind}, {plan.execution_ms:,.2f} ms (planned in {plan.planning_ms or 0:,.2f} ms)"


def _grow(tree: Tree, node: Node, found: list[Finding]) -> None:
    branch = tree.add(_label(node, found))
    for child in node.children:
        _grow(branch, child, found)


def _label(node: Node, found: list[Finding]) -> Text:
    from rich.text import Text

    text = Text.assemble((words.title(node), "bold cyan"), f"\n{words.figures(node)}")
    for detail in words.details(node):
        text.append(f"\n{detail}", "dim")
    for finding in found:
        if finding.node is node:
            text.append(f"\n! {finding.message}", "bold yellow")
    return text
