"""What commands do with the store: open it, resolve names, store a file."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid5

from agentmem_store import chatlog, migrations
from agentmem_store.config import DEVELOPMENT, default_dsn
from agentmem_store.database import Database
from agentmem_store.errors import ConfigurationError, NotFound
from agentmem_store.models.agents import NewAgent
from agentmem_store.models.organizations import NewOrganization
from agentmem_store.repositories import agents, organizations

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

    import typer

    from agentmem_store.models.agents import Agent
    from agentmem_store.models.organizations import Organization
    from agentmem_store.scope import Root, Scope

__all__ = ["POOL", "dsn_of", "existing_agent", "existing_organization", "opened", "store_file"]

# One command at a time; a batch of an import takes as long as it takes, and is no slow statement to warn of.
POOL: Final = DEVELOPMENT.with_(max_size=2, slow_query_ms=10_000)

_IDS: Final = UUID("6f1d7a3e-40c5-5b0e-9c57-0a4f3f6f7d21")


def dsn_of(ctx: typer.Context) -> str:
    """Return the DSN that was given before the command, else the default."""
    return ctx.obj or default_dsn()


@asynccontextmanager
async def opened(dsn: str) -> AsyncGenerator[Database]:
    """Open a database that is at the newest version of the schema.

    Raises:
        ConfigurationError: migrations are pending.
        MigrationDrift: what was applied is not what the files say.
        ConnectError: the server cannot be reached or refuses.
    """
    async with Database(dsn, POOL) as db:
        status = await migrations.status(db.dsn)
        if status.verified().pending:
            raise ConfigurationError("this database is not migrated; run: agentmem-store migrate up")
        yield db


async def existing_organization(db: Database, name: str | None) -> Organization:
    """Return the oldest organization of that name; without a name, the only one there is.

    Raises:
        NotFound: there is none.
        ConfigurationError: no name is given, and there are several.
    """
    if name is None:
        some = (await organizations.list(db, limit=2)).items
        if len(some) > 1:
            raise ConfigurationError("there are several organizations; choose one with --org NAME")
        known = some[0] if some else None
    else:
        known = await organizations.find_by_name(db, name)
    if known is None:
        raise NotFound("organization", "there is no such organization; import something first, or see --org")
    return known


async def existing_agent(scope: Scope, name: str) -> Agent:
    """Return the oldest agent of that name.

    Raises:
        NotFound: there is none.
    """
    known = await agents.find_by_name(scope, name)
    if known is None:
        raise NotFound("agent", "this organization has no such agent; see --agent and --org")
    return known


async def store_file(
    db: Database, org: str, agent: str, path: Path, on_progress: Callable[[int], None] | None = None
) -> chatlog.Imported:
    """Store a chat log with the oldest agent of that name in the oldest organization of that name.

    Those that are missing are created, in the transaction that stores the file: all of it or nothing.

    Raises:
        ChatFileInvalid: see `chatlog.load`.
        ValidationError: a name cannot be one.
    """
    async with db.transaction() as tx:
        scope = tx.tenant((await _organization_named(tx, org)).id)
        owner = await _agent_named(scope, agent)
        return await chatlog.load(scope, owner.id, path, on_progress=on_progress)


async def _organization_named(root: Root, name: str) -> Organization:
    """Return the oldest organization of that name; where there is none, create it."""
    known = await organizations.find_by_name(root, name)
    if known is not None:
        return known
    # An id made of the name, so that imports that run at the same time create one and not one each.
    made = await organizations.create(root, NewOrganization(id=uuid5(_IDS, name), name=name))
    if made.is_deleted or made.name != name:
        made = await organizations.create(root, NewOrganization(name=name))
    return made


async def _agent_named(scope: Scope, name: str) -> Agent:
    """Return the oldest agent of that name; where there is none, create it. See `_organization_named`."""
    known = await agents.find_by_name(scope, name)
    if known is not None:
        return known
    made = await agents.create(scope, NewAgent(id=uuid5(scope.organization_id, name), name=name))
    if made.is_deleted or made.name != name:
        made = await agents.create(scope, NewAgent(name=name))
    return made
