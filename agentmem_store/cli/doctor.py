"""The command ``doctor``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agentmem_store import connect, health
from agentmem_store.cli.store import dsn_of
from agentmem_store.config import DEVELOPMENT, PoolConfig

if TYPE_CHECKING:
    from agentmem_store.models.health import Health, Status

__all__ = ["doctor"]

# A failure is an error as everywhere else; 2 is taken by wrong usage, so that a warning has the next.
_EXIT: Final[dict[Status, int]] = {"ok": 0, "fail": 1, "warn": 3}
_STYLE: Final[dict[Status, str]] = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def doctor(
    ctx: typer.Context,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    timeout: Annotated[float, typer.Option(min=0.001, help="Seconds that each check may take.")] = 5.0,
) -> None:
    """Look at the server and what goes on in it. Exit status: 0 all is well, 1 a failure, 3 warnings only."""
    found = asyncio.run(_diagnose(dsn_of(ctx), timeout))
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
    else:
        Console().print(_table(found))
    raise typer.Exit(_EXIT[found.status])


async def _diagnose(dsn: str, timeout_s: float) -> Health:
    config = PoolConfig.from_environment(DEVELOPMENT)
    async with connect.serving(dsn) as served:
        return await health.diagnose(served, config, timeout_s)


def _table(found: Health) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("Check", no_wrap=True)
    table.add_column("State", no_wrap=True)
    table.add_column("Found")
    table.add_column("ms", justify="right", no_wrap=True)
    for check in found.checks:
        state = Text(check.status, _STYLE[check.status])
        table.add_row(check.name, state, Text(check.message), f"{check.duration_ms:.1f}")
    return table
