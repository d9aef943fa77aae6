"""The commands ``dump`` and ``load``."""

from __future__ import annotations

import asyncio
from pathlib import Path  # noqa: TC003 - typer reads annotations at run time
from typing import TYPE_CHECKING, Annotated

import typer

from agentmem_store import transfer
from agentmem_store.cli import output, store

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["dump", "load"]


def dump(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write; compressed when it ends in .gz.")],
    org: Annotated[str, typer.Option(metavar="NAME", help="The organization.")],
    agent: Annotated[str | None, typer.Option(metavar="NAME", help="Only this agent, with all that it needs.")] = None,
) -> None:
    """Write an organization, or one agent of it, to a file: JSONL, from one snapshot, while others go on writing.

    Of several organizations or agents of a name the oldest is meant. A file that is there is replaced in the end.
    """
    done = asyncio.run(_dump(store.dsn_of(ctx), file, org, agent))
    output.line(f"dumped {_counted(done.rows)} to {file} ({done.size:,} bytes)")


async def _dump(dsn: str, file: Path, org: str, agent: str | None) -> transfer.DumpReport:
    async with store.opened(dsn) as db:
        scope = db.tenant((await store.existing_organization(db, org)).id)
        agent_id = None if agent is None else (await store.existing_agent(scope, agent)).id
        with output.counting_bar(file.name) as on_progress:
            return await transfer.dump(scope, file, agent_id=agent_id, on_progress=on_progress)


def load(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What dump wrote.")],
    into: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The organization that takes an agent. Default: the one it was dumped from."),
    ] = None,
) -> None:
    """Store what a file holds, just as it was dumped: all of it, or nothing when it is damaged or there already.

    An agent's users, blocks and tools may be there already, and stay if they are just as in the file.
    """
    done = asyncio.run(_load(store.dsn_of(ctx), file, into))
    kept = f"; {_counted(done.kept)} were there already" if any(done.kept.values()) else ""
    output.line(f"loaded {_counted(done.stored)} from {file}{kept}")


async def _load(dsn: str, file: Path, into: str | None) -> transfer.LoadReport:
    async with store.opened(dsn) as db:
        organization_id = None if into is None else (await store.existing_organization(db, into)).id
        with output.counting_bar(file.name) as on_progress:
            return await transfer.load(db, file, into=organization_id, on_progress=on_progress)


def _counted(rows: Mapping[str, int]) -> str:
    tables = ", ".join(f"{table} {count:,}" for table, count in rows.items() if count)
    return f"{sum(rows.values()):,} rows ({tables})" if tables else "no rows"
