"""The commands ``import`` and ``search``."""

from __future__ import annotations

import asyncio
from pathlib import Path  # noqa: TC003 - typer reads annotations at run time
from typing import TYPE_CHECKING, Annotated

import typer

from agentmem_store.cli import output, store
from agentmem_store.repositories import messages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentmem_store.chatlog import Imported
    from agentmem_store.models.messages import MessageHit

__all__ = ["import_files", "search"]


def import_files(
    ctx: typer.Context,
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Chat logs: JSONL, a message a line.")],
    org: Annotated[str, typer.Option(metavar="NAME", help="The organization; created if there is none of that name.")],
    agent: Annotated[
        str,
        typer.Option(metavar="NAME", help="The agent, likewise. '{stem}' is the file's name: an agent for each file."),
    ],
) -> None:
    """Store chat logs. A file is stored as a whole or not at all; imported again, only its new lines are stored.

    A line is a JSON object: role, content (a string or a list of parts), and where you have them name, created_at, id,
    metadata and the other fields of a message. Of several organizations or agents of a name the oldest is meant. The
    first file that cannot be stored ends the command; those before it stay.
    """
    done: list[tuple[str, str, Imported]] = []
    try:
        asyncio.run(_import(store.dsn_of(ctx), files, org, agent, done))
    finally:
        if done:
            output.files_table(done)


async def _import(dsn: str, files: Sequence[Path], org: str, agent: str, done: list[tuple[str, str, Imported]]) -> None:
    async with store.opened(dsn) as db:
        with output.bytes_bar() as bar:
            for path in files:
                name = agent.replace("{stem}", path.stem)
                with output.task_of(bar, path) as advance:
                    counts = await store.store_file(db, org, name, path, advance)
                done.append((str(path), name, counts))


def search(
    ctx: typer.Context,
    query: Annotated[str, typer.Argument(help="Words, in any language.")],
    agent: Annotated[str, typer.Option(metavar="NAME", help="Whose messages.")],
    org: Annotated[str | None, typer.Option(metavar="NAME", help="The organization. Default: the only one.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many to show at most.")] = 10,
) -> None:
    """Find an agent's messages in which any of the words occurs, best first."""
    hits = asyncio.run(_search(store.dsn_of(ctx), query, agent, org, limit))
    if hits:
        output.hits_table(query, hits)
    else:
        output.line("nothing found")


async def _search(dsn: str, query: str, agent: str, org: str | None, limit: int) -> list[MessageHit]:
    async with store.opened(dsn) as db:
        scope = db.tenant((await store.existing_organization(db, org)).id)
        known = await store.existing_agent(scope, agent)
        return await messages.search(scope, known.id, query, limit=limit)
