"""The commands ``reembed`` and ``index vectors``."""

from __future__ import annotations

import asyncio
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from agentmem_store.cli import output, store
from agentmem_store.errors import ConfigurationError
from agentmem_store.repositories import embeddings

if TYPE_CHECKING:
    from agentmem_store.models.embeddings import Embedder

__all__ = ["index_vectors", "reembed"]


def reembed(
    ctx: typer.Context,
    *,
    embedder: Annotated[
        str, typer.Option(metavar="MODULE:FACTORY", help="What makes the embedder; also looked for in this directory.")
    ],
    org: Annotated[str | None, typer.Option(metavar="NAME", help="The organization. Default: the only one.")] = None,
    agent: Annotated[str | None, typer.Option(metavar="NAME", help="Only this agent. Default: all rows.")] = None,
    batch: Annotated[int, typer.Option(min=1, max=1000, help="Texts to embed at a time.")] = 100,
    drop: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Remove this model's embeddings in the end.")
    ] = None,
) -> None:
    """Embed the memories and messages that a model has not embedded, or not as they stand.

    It can be stopped anywhere; run again, it goes on with what is left. Searches go on meanwhile.
    """
    made = _embedder(embedder)
    done = asyncio.run(_reembed(store.dsn_of(ctx), org, agent, made, batch))
    dropped = asyncio.run(_drop(store.dsn_of(ctx), org, drop)) if drop else 0
    output.line(f"embedded {done:,} rows by {made.model}" + (f", removed {dropped:,} by {drop}" if drop else ""))


async def _reembed(dsn: str, org: str | None, agent: str | None, embedder: Embedder, batch: int) -> int:
    async with store.opened(dsn) as db:
        organization = await store.existing_organization(db, org)
        scope = db.tenant(organization.id)
        agent_id = None if agent is None else (await store.existing_agent(scope, agent)).id
        with output.counting_bar(organization.name) as told:
            return await embeddings.reembed(scope, embedder, agent_id=agent_id, batch_size=batch, on_progress=told)


async def _drop(dsn: str, org: str | None, model: str) -> int:
    async with store.opened(dsn) as db:
        scope = db.tenant((await store.existing_organization(db, org)).id)
        with output.counting_bar(f"removing {model}") as told:
            return await embeddings.drop(scope, model, on_progress=told)


def _embedder(path: str) -> Embedder:
    """Return what the factory of that name makes.

    Raises:
        ConfigurationError: there is no such factory, or what it makes is no `Embedder`.
    """
    module, _, name = path.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        factory: Any = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(f"--embedder {path}: {error}; give it as package.module:factory") from error
    made: Any = factory()
    if not all(hasattr(made, part) for part in ("model", "dimension", "embed")):
        raise ConfigurationError(f"--embedder {path}: what it makes has no model, dimension and embed")
    embedder: Embedder = made
    return embedder


def index_vectors(
    ctx: typer.Context,
    dimension: Annotated[int, typer.Argument(help="How many numbers the vectors have.")],
    of: Annotated[Literal["memories", "messages"], typer.Option(help="Whose embeddings.")] = "memories",
    *,
    drop: Annotated[bool, typer.Option("--drop", help="Remove the index instead.")] = False,
) -> None:
    """Build the index by which searches of agents with very many embeddings do not read all of them.

    Others go on reading and writing meanwhile. It takes minutes, and pays from about 10,000 embeddings of one agent on.
    """
    dsn = store.migration_dsn_of(ctx)
    if drop:
        asyncio.run(embeddings.drop_index(dsn, of, dimension))
        output.line(f"there is no index over the {of} of dimension {dimension}")
        return
    built = asyncio.run(embeddings.create_index(dsn, of, dimension))
    output.line(f"{'built' if built else 'there already is'} the index over the {of} of dimension {dimension}")
