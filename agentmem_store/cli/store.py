"""What commands do with the store: open it, resolve names, store a file."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid5

from agentmem_store import chatlog, migrations, search
from agentmem_store.address import EMBEDDED
from agentmem_store.config import DEVELOPMENT, PoolConfig, default_dsn, migration_dsn
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

__all__ = [
    "database",
    "dsn_of",
    "existing_agent",
    "existing_organization",
    "migration_dsn_of",
    "opened",
    "store_file",
]

# One command at a time; an import takes as long as it takes, and is neither a slow statement nor a leak to warn of.
_POOL: Final[dict[str, Any]] = {"min_size": 1, "max_size": 2, "slow_query_ms": 10_000, "leak_after_s": None}

_IDS: Final = UUID("6f1d7a3e-40c5-5b0e-9c57-0a4f3f6f7d21")


def dsn_of(ctx: typer.Context) -> str:
    """Return the DSN that was given before the command, else the default."""
    return ctx.obj or default_dsn()


def migration_dsn_of(ctx: typer.Context) -> str:
    """Return the DSN for migrations: that before the command, else that of the environment."""
    return ctx.obj or migration_dsn() or default_dsn()


def database(dsn: str) -> Database:
    """Return the database of a DSN, not open yet, with the settings that AGENTMEM_* variables make.

    Raises:
        ConfigurationError: a variable or the DSN cannot be used.
    """
    config = PoolConfig.from_environment(DEVELOPMENT).with_(**_POOL)
    if dsn.startswith(EMBEDDED):
        config = config.with_(pooler=None)
    # AGENTMEM_MIGRATION_DSN is of the database that AGENTMEM_DSN names, not of one that --dsn names.
    return Database(dsn, config, migration_dsn=migration_dsn() if dsn == default_dsn() else None)


@asynccontextmanager
async def opened(dsn: str) -> AsyncGenerator[Database]:
    """Open a database that is at the newest version of the schema.

    Raises:
        MigrationPending: migrations are to be applied first.
        MigrationNewer: a newer release migrated the database.
        MigrationDrift: what was applied is not what the files say.
        ConnectError: the server cannot be reached or refuses.
    """
    async with database(dsn) as db:
        await migrations.require_head(db.migration_dsn)
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
        imported = await chatlog.load(scope, owner.id, path, on_progress=on_progress)
        if imported.stored:
            await search.refresh(scope, owner.id)
        return imported


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
