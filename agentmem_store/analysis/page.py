"""The page of `report`, as HTML. Everything that is put into it is escaped at one place."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, Final

from agentmem_store.analysis import words
from agentmem_store.analysis.findings import findings
from agentmem_store.analysis.style import STYLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from agentmem_store.analysis.advice import Advice
    from agentmem_store.analysis.findings import Finding
    from agentmem_store.analysis.report import Shown
    from agentmem_store.analysis.statistics import QueryLine
    from agentmem_store.models.analysis import TableFacts
    from agentmem_store.models.plans import Node, Plan

__all__ = ["render"]

_SEVERITY: Final = {"critical": "now", "warning": "soon", "notice": "note"}


class _Html(str):
    """Text that is markup already."""

    __slots__ = ()


def _tag(name: str, *inner: str | None, **attributes: object) -> _Html:
    """Return an element; what is within is escaped unless it is markup. `of` stands for class."""
    said = "".join(f' {"class" if key == "of" else key}="{escape(str(value))}"' for key, value in attributes.items())
    body = "".join(each if isinstance(each, _Html) else escape(each) for each in inner if each is not None)
    return _Html(f"<{name}{said}>{body}</{name}>")


def _all(parts: Iterable[_Html]) -> _Html:
    return _Html("".join(parts))


def render(shown: Shown) -> str:
    """Return the page."""
    body = _tag(
        "main", _head(shown), _pool(shown), _section("Advice", _advice(shown.advice)),
        _section("Queries", _queries(shown)), _section("Tables", _tables(shown.tables)), _foot(shown),
    )  # fmt: skip
    head = _tag(
        "head",
        _Html('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
        _tag("title", "agentmem_store"),
        _tag("style", _Html(STYLE)),
    )
    return "<!doctype html>\n" + _tag("html", head, _tag("body", body), lang="en")


def _section(title: str, *inner: _Html) -> _Html:
    return _tag("section", _tag("h2", title), *inner)


def _head(shown: Shown) -> _Html:
    where = f"PostgreSQL {shown.server.version_name}, up {_duration(shown.server.uptime_s)}"
    return _tag("header", _tag("h1", "agentmem_store"), _tag("p", f"{where} · {shown.at:%Y-%m-%d %H:%M} UTC"))


def _foot(shown: Shown) -> _Html:
    tiers = shown.statistics.capabilities
    said = f"pg_stat_statements: {tiers.pg_stat_statements} · HypoPG: {tiers.hypopg}"
    return _tag("footer", said)


def _pool(shown: Shown) -> _Html:
    pool, done = shown.pool, shown.pool.statements
    figures = (
        ("connections", f"{pool.size}", f"of {shown.max_size}, of this process"),
        ("in use", f"{pool.in_use}", f"{pool.waiting} waiting"),
        ("statements", f"{done.ok:,}", f"{done.failed:,} failed"),
        ("slow", f"{done.slow:,}", "over the threshold"),
        ("data", words.size(sum(table.total_bytes for table in shown.tables)), f"{len(shown.tables)} tables"),
    )
    cards = (_tag("div", _tag("b", figure), _tag("span", name), _tag("small", more), of="card")
             for name, figure, more in figures)  # fmt: skip
    return _tag("div", _all(cards), of="cards")


def _advice(advice: Sequence[Advice]) -> _Html:
    if not advice:
        return _tag("p", "Nothing to do: every rule looked, and none has anything to say.", of="well")
    return _all(_one(each) for each in advice)


def _one(advice: Advice) -> _Html:
    more: list[str] = [advice.proof]
    if advice.size_estimate is not None:
        verb = "takes" if advice.size_estimate >= 0 else "frees"
        more.append(f"{verb} about {words.size(abs(advice.size_estimate))}")
    return _tag(
        "article",
        _tag("h3", _tag("i", _SEVERITY[advice.severity]), advice.subject),
        _tag("p", advice.message),
        _tag("pre", advice.ddl) if advice.ddl else None,
        _tag("p", f"{advice.rule} · {' · '.join(more)}" + (f" · undo: {advice.undo}" if advice.undo else ""), of="dim"),
        of=f"advice {advice.severity}",
    )


def _queries(shown: Shown) -> _Html:
    lines = {line.query: line for line in shown.statistics.queries}
    names = list(lines) or list(shown.plans)
    intro = None if lines else _tag(
        "p", "Nothing was counted yet, so these are the queries whose plans cost most. Statistics of all processes "
        "need pg_stat_statements; those of one process are in the report that it makes itself.", of="dim intro",
    )  # fmt: skip
    most = max((line.total_ms for line in lines.values()), default=0.0) or 1.0
    shown_queries = (
        _query(name, lines.get(name), shown.plans.get(name), most, is_open=name == names[0]) for name in names
    )
    return _all([*([intro] if intro else []), *shown_queries])


def _query(name: str, line: QueryLine | None, plan: Plan | None, most: float, *, is_open: bool) -> _Html:
    slow = line.plan if line else None
    figures = _figures(line) if line else f"cost {plan.root.total_cost:,.0f}" if plan else ""
    part = round(100 * line.total_ms / most, 1) if line else 0
    bar = _tag("span", _tag("span", style=f"width:{part}%"), of="bar") if line else None
    trees = [_tree(plan, "the plan that runs")] if plan and not slow else []
    if slow:
        trees = [
            _tree(slow.plan, f"the plan of a call of {slow.run_s * 1000:,.0f} ms, at {slow.at:%H:%M} UTC"),
            _tree(slow.for_its_arguments, "what the planner would do for that call's arguments"),
        ]
    return _tag(
        "details",
        _tag("summary", _tag("code", name), _tag("span", figures, of="dim"), bar),
        *(trees or [_tag("p", "no plan: it writes in bulk, or is not of this library", of="dim")]),
        **({"open": ""} if is_open else {}),
    )


def _figures(line: QueryLine) -> str:
    said = f"{line.calls:,} calls · {line.mean_ms:,.2f} ms on average · {line.total_ms:,.0f} ms in all"
    if line.process and line.process.run.count:
        said += f" · p95 {line.process.run.quantile(0.95) * 1000:,.2f} ms"
    return said


def _tree(plan: Plan, caption: str) -> _Html:
    found = findings(plan)
    return _tag("figure", _tag("figcaption", caption), _tag("ul", _node(plan.root, plan, found), of="tree"))


def _node(node: Node, plan: Plan, found: Sequence[Finding]) -> _Html:
    told = (_tag("em", finding.message) for finding in found if finding.node is node)
    inner = _all(_node(child, plan, found) for child in node.children)
    share = min(node.total_cost / max(plan.root.total_cost, 0.01), 1)
    return _tag(
        "li",
        _tag(
            "div",
            _tag("strong", words.title(node)),
            _tag("small", words.figures(node)),
            _all(_tag("small", detail, of="dim") for detail in words.details(node)),
            _all(told),
            of="node",
            style=f"--share:{share:.2f}",
        ),
        _tag("ul", inner) if inner else None,
    )


def _tables(tables: Sequence[TableFacts]) -> _Html:
    most = max((table.total_bytes for table in tables), default=1) or 1
    head = _all(_tag("th", name) for name in ("table", "size", "indexes", "rows", "dead", "index reads"))
    rows = (_table_row(table, most) for table in tables)
    return _tag("div", _tag("table", _tag("thead", _tag("tr", head)), _tag("tbody", _all(rows))), of="wide")


def _table_row(table: TableFacts, most: int) -> _Html:
    scans = table.seq_scans + table.index_scans
    bar = _tag("span", _tag("span", style=f"width:{100 * table.total_bytes / most:.1f}%"), of="bar")
    cells: tuple[Any, ...] = (
        words.size(table.total_bytes), words.size(table.index_bytes), words.count(table.live), words.count(table.dead),
        f"{table.index_scans / scans:.0%}" if scans else "",
    )  # fmt: skip
    return _tag("tr", _tag("td", _tag("code", table.table_name), bar), _all(_tag("td", cell) for cell in cells))


def _duration(seconds: float) -> str:
    days, hours = divmod(seconds / 3600, 24)
    if days >= 1:
        return f"{days:.0f} d {hours:.0f} h"
    return f"{hours:.0f} h" if hours >= 2 else f"{hours * 60:.0f} min"  # noqa: PLR2004
