"""The commands ``explain``, ``slow``, ``stats``, ``advise`` and ``report``."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agentmem_store import analysis
from agentmem_store.analysis import words
from agentmem_store.analysis.control import executor_of
from agentmem_store.analysis.explain import explain_on, typed
from agentmem_store.analysis.report import gather
from agentmem_store.cli import output, store

if TYPE_CHECKING:
    from agentmem_store.analysis import Advice, Plan, QueryLine, Severity
    from agentmem_store.analysis.report import Shown

__all__ = ["advise", "explain", "report", "slow", "stats"]

_STYLE: Final[dict[Severity, str]] = {"critical": "bold red", "warning": "yellow", "notice": "cyan"}
_OF_NO_TENANT: Final = ("organizations.", "server.", "transactions.")
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def explain(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the query, such as messages.recent.")],
    *,
    arg: Annotated[
        list[str] | None,
        typer.Option(metavar="VALUE", help="An argument after the organization, in order; the word NULL for none."),
    ] = None,
    org: Annotated[str | None, typer.Option(metavar="NAME", help="The organization. Default: the only one.")] = None,
    analyze: Annotated[bool, typer.Option(help="Run it and measure. What writes is refused.")] = False,
    generic: Annotated[bool, typer.Option(help="The plan that connections of this library use.")] = False,
    as_json: _Json = False,
) -> None:
    """Show how the server runs a query of this library, as a tree. Without --arg, its generic plan; nothing is run."""
    plan = asyncio.run(_explain(store.dsn_of(ctx), name, arg, org, analyze=analyze, generic=generic))
    if as_json:
        typer.echo(plan.model_dump_json(indent=2, exclude_none=True))
    else:
        Console().print(analysis.draw(plan))


async def _explain(
    dsn: str, name: str, given: list[str] | None, org: str | None, *, analyze: bool, generic: bool
) -> Plan:
    query = analysis.find(name)
    async with store.opened(dsn) as db:
        if given is None and not analyze:
            return await explain_on(executor_of(db), query, None, generic=True)
        values: list[str | None] = [None if value == "NULL" else value for value in given or []]
        if not name.startswith(_OF_NO_TENANT):
            values.insert(0, str((await store.existing_organization(db, org)).id))
        args = await typed(executor_of(db), query, values)
        return await explain_on(executor_of(db), query, args, analyze=analyze, generic=generic)


def slow(
    ctx: typer.Context,
    *,
    order: Annotated[str, typer.Option(help="slowest (by mean), frequent or total.")] = "slowest",
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="How many.")] = 20,
    as_json: _Json = False,
) -> None:
    """Show the queries that took most time, of all processes. Needs pg_stat_statements; says where it is not there."""
    found = asyncio.run(_statistics(store.dsn_of(ctx), order, limit))
    lines = [line for line in found.queries if line.server is not None]
    if as_json:
        typer.echo(json.dumps([line.server.model_dump() for line in lines if line.server], indent=2))
        return
    if found.capabilities.pg_stat_statements != "usable":
        output.line(_WITHOUT[found.capabilities.pg_stat_statements])
        return
    Console().print(_queries_table(lines))


_WITHOUT: Final = {
    "installed": "pg_stat_statements is installed, but not loaded: add it to shared_preload_libraries and restart the "
    "server. Until then statistics are those of each process: db.queries()",
    "available": "pg_stat_statements is not installed: add it to shared_preload_libraries, restart the server and run "
    "CREATE EXTENSION pg_stat_statements. Until then statistics are those of each process: db.queries()",
    "absent": "this server has no pg_stat_statements, so statistics are those of each process: db.queries()",
}


async def _statistics(dsn: str, order: Any, limit: int) -> analysis.Statistics:
    async with store.opened(dsn) as db:
        return await analysis.statistics(db, order=order, limit=limit)


def _queries_table(lines: list[QueryLine]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("Query", no_wrap=True)
    for name in ("Calls", "Mean ms", "Max ms", "Total ms", "Rows", "Pages read", "Temp"):
        table.add_column(name, justify="right", no_wrap=True)
    for line in lines:
        if (of := line.server) is not None:
            table.add_row(
                of.query, f"{of.calls:,}", f"{of.mean_ms:,.2f}", f"{of.max_ms:,.1f}", f"{of.total_ms:,.0f}",
                f"{of.rows:,}", f"{of.read:,}", f"{of.temp:,}",
            )  # fmt: skip
    return table


def stats(ctx: typer.Context, *, as_json: _Json = False) -> None:
    """Show the tables: their size, their rows, and how they are read."""
    shown = asyncio.run(_gather(store.dsn_of(ctx)))
    if as_json:
        typer.echo(json.dumps([table.model_dump(mode="json") for table in shown.tables], indent=2))
        return
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("Table", no_wrap=True)
    for name in ("Size", "Indexes", "Rows", "Dead", "Read whole", "By index", "Cached"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in shown.tables:
        asked = each.blocks_hit + each.blocks_read
        table.add_row(
            each.table_name, words.size(each.total_bytes), words.size(each.index_bytes), f"{each.live:,}",
            f"{each.dead:,}", f"{each.seq_scans:,}", f"{each.index_scans:,}",
            f"{each.blocks_hit / asked:.1%}" if asked else "",
        )  # fmt: skip
    Console().print(table)


async def _gather(dsn: str) -> Shown:
    async with store.opened(dsn) as db:
        return await gather(db)


def advise(ctx: typer.Context, *, as_json: _Json = False) -> None:
    """Say what to do for this database, with the statements. Exit status: 0 notices at most, 1 something to do."""
    found = asyncio.run(_advise(store.dsn_of(ctx)))
    if as_json:
        typer.echo(json.dumps([advice.model_dump(mode="json") for advice in found], indent=2))
    elif not found:
        output.line("nothing to do")
    else:
        Console().print(_advice_table(found))
    raise typer.Exit(int(any(advice.severity != "notice" for advice in found)))


async def _advise(dsn: str) -> list[Advice]:
    async with store.opened(dsn) as db:
        return await analysis.advise(db)


def _advice_table(found: list[Advice]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_lines=True)
    table.add_column("", no_wrap=True)
    table.add_column("Found", overflow="fold")
    for advice in found:
        text = Text.assemble((advice.subject, "bold"), f"\n{advice.message}")
        if advice.ddl:
            text.append(f"\n{advice.ddl};", "green")
        about = f"\n{advice.rule}, {advice.proof}"
        if advice.size_estimate is not None:
            verb = "takes" if advice.size_estimate >= 0 else "frees"
            about += f", {verb} about {words.size(abs(advice.size_estimate))}"
        if advice.undo:
            about += f"; undo: {advice.undo};"
        text.append(about, "dim")
        table.add_row(Text(advice.severity, _STYLE[advice.severity]), text)
    return table


def report(
    ctx: typer.Context,
    *,
    out: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where to write it.")] = Path(
        "report.html"
    ),
) -> None:
    """Write one HTML page that shows the slowest queries with their plans, what is advised, and the tables."""
    page = asyncio.run(_report(store.dsn_of(ctx)))
    out.write_text(page, encoding="utf-8")
    output.line(f"wrote {out}")


async def _report(dsn: str) -> str:
    async with store.opened(dsn) as db:
        return await analysis.report(db)
