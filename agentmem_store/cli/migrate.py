"""The commands under ``migrate``."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import asdict
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from agentmem_store import errors, migrations
from agentmem_store.cli import output
from agentmem_store.cli.store import migration_dsn_of
from agentmem_store.migrations.problems import MigrationSchemaChanged

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from agentmem_store.migrations import Applied, PlannedMigration, Status

__all__ = ["app"]


class _WithDetails(TyperGroup):
    """Shows, below the line of an error, the line of the file it is about, or each object that differs."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (errors.MigrationFailed, MigrationSchemaChanged) as error:
            output.error(error)
            details = [error.excerpt] if isinstance(error, errors.MigrationFailed) else error.differences
            for detail in filter(None, details):
                typer.echo(detail, err=True)
            raise typer.Exit(1) from None


app = typer.Typer(
    cls=_WithDetails, help="Bring the database's schema up, take it back, or tell how it stands.", no_args_is_help=True
)

_Tracks = Annotated[list[str], typer.Option("--track", help="A folder under sql/ beside core; may be repeated.")]
_Track = Annotated[str, typer.Option("--track", help="The folder under sql/.")]
_AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@app.command()
def up(ctx: typer.Context, tracks: _Tracks = ["core"]) -> None:  # noqa: B006 - read by typer, never changed
    """Apply every migration that is pending. Safe to repeat, and from several processes at once."""
    _end("applied", migrations.up(migration_dsn_of(ctx), tracks=tracks, on_step=_teller("applied")))


@app.command()
def down(
    ctx: typer.Context,
    steps: Annotated[int, typer.Option(min=1, help="How many of the newest migrations to take back.")] = 1,
    track: _Track = "core",
) -> None:
    """Take back the newest migration. What is stored in the tables it made is lost."""
    _end("took back", migrations.down(migration_dsn_of(ctx), steps=steps, track=track, on_step=_teller("took back")))


@app.command()
def to(
    ctx: typer.Context,
    version: Annotated[int, typer.Argument(min=0, help="The number of the newest migration; 0 for none.")],
    track: _Track = "core",
) -> None:
    """Bring a track to a number: apply what is pending up to it, or take back what is beyond it."""
    now = asyncio.run(migrations.status(migration_dsn_of(ctx), tracks=[track]))
    back = any(row.track == track and row.version > version for row in now.applied)
    verb = "took back" if back else "applied"
    _end(verb, migrations.to(migration_dsn_of(ctx), version, track=track, on_step=_teller(verb)))


@app.command()
def status(ctx: typer.Context, tracks: _Tracks = ["core"], *, as_json: _AsJson = False) -> None:  # noqa: B006 - see up
    """Show what is applied, pending and wrong. Exit status: 0 when nothing is pending or wrong, else 1."""
    now = asyncio.run(migrations.status(migration_dsn_of(ctx), tracks=tracks))
    if as_json:
        typer.echo(json.dumps(_as_json(now), indent=2))
    else:
        output.status_table(now)
        for row in now.applied:
            if row.unfinished:
                output.line(f"unfinished: {row}/{row.unfinished}.sql, {len(row.statements)} statements are done")
    raise typer.Exit(0 if now.at_head else 1)


@app.command()
def verify(
    ctx: typer.Context,
    *,
    live: Annotated[bool, typer.Option("--live", help="Hold the tables themselves against the files, too.")] = False,
) -> None:
    """Check that what was applied is what this version has. Exit status: 0 when it is, else 1."""
    asyncio.run(migrations.verify(migration_dsn_of(ctx)))
    output.line("all that was applied is as the files say")
    if live:
        asyncio.run(migrations.verify_live(migration_dsn_of(ctx)))
        output.line("and the live schema is what they make")


@app.command()
def plan(ctx: typer.Context, tracks: _Tracks = ["core"], *, as_json: _AsJson = False) -> None:  # noqa: B006 - see up
    """Try what is pending in a scratch database, and show what it locks, what it rewrites, and if it can be undone."""
    planned = asyncio.run(migrations.plan(migration_dsn_of(ctx), tracks=tracks))
    if as_json:
        typer.echo(json.dumps([asdict(step) for step in planned], indent=2))
        return
    for step in planned:
        _show(step)
    if not planned:
        output.line("nothing is pending")


@app.command()
def baseline(
    ctx: typer.Context,
    version: Annotated[int, typer.Argument(min=1, help="The number of the newest migration whose tables are there.")],
    track: _Track = "core",
) -> None:
    """Note migrations as applied without running them: for a database that has their tables already."""
    output.steps("noted", asyncio.run(migrations.baseline(migration_dsn_of(ctx), version, track=track)))


@app.command()
def repair(
    ctx: typer.Context,
    steps: Annotated[list[str], typer.Argument(metavar="MIGRATION...", help="Such as core/0002_agents.")],
) -> None:
    """Make the ledger say what the files of these migrations say now. Runs nothing."""
    output.steps("repaired", asyncio.run(migrations.repair(migration_dsn_of(ctx), steps)))


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Such as agents_by_topic.")],
    track: _Track = "core",
    root: Annotated[Path | None, typer.Option(help="The folder of the tracks.", show_default="sql/")] = None,
) -> None:
    """Make the folder of a new migration, with the next free number."""
    output.line(f"made {asyncio.run(migrations.new(name, track=track, root=root))}")


@app.command()
def backfill(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="By which its position is kept, so that it can be resumed.")],
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The statement that does the next batch.")],
    *,
    size: Annotated[int, typer.Option(min=1, help="Rows of a batch.")] = 1000,
    total: Annotated[int, typer.Option(min=0, help="Rows to do, for the progress bar.")] = 0,
    pause: Annotated[float, typer.Option(min=0, help="Seconds to leave to others after each batch.")] = 0,
) -> None:
    """Change many rows in small batches. Can be stopped anywhere; the same command resumes it."""
    sql = file.read_text(encoding="utf-8")
    with output.counting_bar(name) as on_progress:
        done = asyncio.run(
            migrations.backfill(
                migration_dsn_of(ctx), name, sql, size=size, total=total, pause_s=pause, on_progress=on_progress
            )
        )
    output.line(f"{name}: {done:,} rows are done")


def _teller(verb: str) -> Callable[[Applied], None]:
    def tell(row: Applied) -> None:
        output.steps(verb, [row])

    return tell


def _end(verb: str, doing: Coroutine[Any, Any, list[Applied]]) -> None:
    """Wait for what tells its steps itself, and say so if there was none."""
    if not asyncio.run(doing):
        output.steps(verb, [])


def _show(step: PlannedMigration) -> None:
    output.line(f"{step.name}: {step.irreversible or 'can be taken back'}", style="bold")
    for statement in step.statements:
        alone = " (outside of a transaction)" if statement.alone else ""
        output.line(f"  {statement.place}: {statement.sql[:100]}{alone}")
        for lock in statement.locks:
            mode = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", lock.mode.removesuffix("Lock")).upper()
            rows = "" if lock.rows is None else f" (about {lock.rows:,} rows)"
            output.line(f"      locks {lock.table}{rows}: {mode}, {lock.blocks} wait", style="yellow")
        for name in statement.rewrites:
            output.line(f"      rewrites {name}", style="red")


def _as_json(now: Status) -> dict[str, Any]:
    applied = [{**asdict(row), "applied_at": row.applied_at.isoformat()} for row in now.applied]
    pending = [{"track": step.track, "version": step.version, "name": step.name} for step in now.pending]
    problems = [{"kind": type(problem).__name__, "message": str(problem)} for problem in now.problems]
    return {"at_head": now.at_head, "applied": applied, "pending": pending, "problems": problems}
