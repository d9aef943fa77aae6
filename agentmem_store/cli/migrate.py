"""The commands ``migrate up``, ``down``, ``status`` and ``verify``."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentmem_store import migrations
from agentmem_store.cli import output
from agentmem_store.cli.store import dsn_of

if TYPE_CHECKING:
    from agentmem_store.migrations import Status

__all__ = ["app"]

app = typer.Typer(help="Bring the database's schema up, take it back, or tell how it stands.", no_args_is_help=True)


@app.command()
def up(ctx: typer.Context) -> None:
    """Apply every migration that is pending. Safe to repeat, and from several processes at once."""
    output.steps("applied", asyncio.run(migrations.up(dsn_of(ctx))))


@app.command()
def down(
    ctx: typer.Context,
    steps: Annotated[int, typer.Option(min=1, help="How many of the newest migrations to take back.")] = 1,
) -> None:
    """Take back the newest migration. What is stored in the tables it made is lost."""
    output.steps("took back", asyncio.run(migrations.down(dsn_of(ctx), steps=steps)))


@app.command()
def status(
    ctx: typer.Context,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Show what is applied, pending and wrong. Exit status: 0 when nothing is pending or wrong, else 1."""
    now = asyncio.run(migrations.status(dsn_of(ctx)))
    if as_json:
        typer.echo(json.dumps(_as_json(now), indent=2))
    else:
        output.status_table(now)
    raise typer.Exit(0 if now.at_head else 1)


@app.command()
def verify(ctx: typer.Context) -> None:
    """Check that what was applied is what this version has. Exit status: 0 when it is, else 1."""
    asyncio.run(migrations.verify(dsn_of(ctx)))
    output.line("all that was applied is as the files say")


def _as_json(now: Status) -> dict[str, Any]:
    applied = [{**asdict(row), "applied_at": row.applied_at.isoformat()} for row in now.applied]
    pending = [{"track": step.track, "version": step.version, "name": step.name} for step in now.pending]
    return {"at_head": now.at_head, "applied": applied, "pending": pending, "problems": [*map(str, now.problems)]}
