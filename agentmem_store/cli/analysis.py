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
from agentmem_store.cli import output, store

if TYPE_CHECKING:
    from agentmem_store.analysis import Advice, Plan, QueryLine, Severity
    from agentmem_store.models.analysis import TableFacts

__all__ = ["advise", "explain", "queries_table", "report", "slow", "stats"]

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
    Console().print(queries_table(lines))


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


def queries_table(lines: list[QueryLine]) -> Table:
    """Make the table of `slow`."""
    table = _figures_table("Query", "Calls", "Mean\nms", "Max\nms", "Total\ns", "Rows", "Pages\nread", "Temp")
    for line in lines:
        if (of := line.server) is not None:
            table.add_row(
                of.query, words.count(of.calls), f"{of.mean_ms:,.2f}", f"{of.max_ms:,.1f}",
                f"{of.total_ms / 1000:,.1f}", words.count(of.rows), words.count(of.read), words.count(of.temp),
            )  # fmt: skip
    return table


def _figures_table(first: str, *figures: str) -> Table:
    """Make a table of figures that a terminal of 80 columns holds. A name that is too long goes on in a second line."""
    table = Table(box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    table.add_column(first, overflow="fold", vertical="top")
    for name in figures:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def stats(ctx: typer.Context, *, as_json: _Json = False) -> None:
    """Show the tables, the largest first: their size, their rows, and how they are read. Exact figures by --json."""
    found = asyncio.run(_tables(store.dsn_of(ctx)))
    if as_json:
        typer.echo(json.dumps([table.model_dump(mode="json") for table in found], indent=2))
        return
    table = _figures_table(
        "Table", "Size", "Of it\nindexes", "Rows", "Dead\nrows", "Full\nscans", "Index\nscans", "Cached"
    )
    for each in found:
        asked = each.blocks_hit + each.blocks_read
        table.add_row(
            each.table_name, words.size(each.total_bytes), words.size(each.index_bytes), words.count(each.live),
            words.count(each.dead), words.count(each.seq_scans), words.count(each.index_scans),
            f"{each.blocks_hit / asked:.1%}" if asked else "",
        )  # fmt: skip
    Console().print(table)


async def _tables(dsn: str) -> list[TableFacts]:
    async with store.opened(dsn) as db:
        return await analysis.tables(db)


def advise(ctx: typer.Context, *, as_json: _Json = False) -> None:
    """Say what to do for this database, with the statements. Exit status: 0 notices at most, 1 something to do."""
    found = asyncio.run(_advise(store.dsn_of(ctx)))
    if as_json:
        typer.echo(json.dumps([advice.model_dump(mode="json") for advice in found], indent=2))
    elif not found:
        output.line("nothing to do")
    else:
        _show(found)
    raise typer.Exit(int(any(advice.severity != "notice" for advice in found)))


async def _advise(dsn: str) -> list[Advice]:
    async with store.opened(dsn) as db:
        return await analysis.advise(db)


def _show(found: list[Advice]) -> None:
    """Print what was found as a table, and under it the statements, as a script: whole lines, to be copied."""
    table = Table(box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    for name in ("", "Severity", "Found"):
        table.add_column(name, overflow="fold")
    for number, advice in enumerate(found, start=1):
        said = Text.assemble((advice.subject, "bold"), f": {advice.message} ", (_about(advice), "dim"))
        table.add_row(str(number), Text(advice.severity, _STYLE[advice.severity]), said)
    Console().print(table)
    for number, advice in enumerate(found, start=1):
        if advice.ddl:
            output.line(f"-- {number}" + (f", taken back by: {advice.undo};" if advice.undo else ""), style="dim")
            output.line(f"{advice.ddl};", style="green")


def _about(advice: Advice) -> str:
    if advice.size_estimate is None:
        return f"({advice.rule}, {advice.proof})"
    verb = "takes" if advice.size_estimate >= 0 else "frees"
    return f"({advice.rule}, {advice.proof}, {verb} about {words.size(abs(advice.size_estimate))})"


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
