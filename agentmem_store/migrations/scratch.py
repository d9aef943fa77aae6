"""A database to try things in: on the same server, or where that is not allowed, on an embedded one."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import anyio
import asyncpg

from agentmem_store import connect, errors
from agentmem_store.address import EMBEDDED
from agentmem_store.migrations import runner
from agentmem_store.migrations.problems import MigrationNoScratch

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from agentmem_store.migrations.ledger import Connection

__all__ = ["database"]

_CLEANUP_S: Final = 10


@asynccontextmanager
async def database(live: Connection, dsn: str) -> AsyncGenerator[Connection]:
    """Yield a connection to an empty database that is gone afterwards.

    Args:
        live: a connection to the database that is to be left alone.
        dsn: of the same, as the server is really reached.

    Raises:
        MigrationNoScratch: the role may not create databases, and the extra ``embedded`` is not installed.
    """
    async with AsyncExitStack() as stack:
        try:
            place = await stack.enter_async_context(_beside(live, dsn))
        except asyncpg.InsufficientPrivilegeError:
            place = await stack.enter_async_context(_embedded())
        scratch = await stack.enter_async_context(runner.connection(place))
        await scratch.execute(runner.SETTLE)
        yield scratch


@asynccontextmanager
async def _beside(live: Connection, dsn: str) -> AsyncGenerator[str]:
    name = f"agentmem_scratch_{token_hex(8)}"
    await live.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
    try:
        yield _on_database(dsn, name)
    finally:
        with anyio.move_on_after(_CLEANUP_S, shield=True), suppress(*runner.DRIVER_ERRORS):
            await live.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@asynccontextmanager
async def _embedded() -> AsyncGenerator[str]:
    home = _open_directory()
    try:
        async with connect.serving(f"{EMBEDDED}{home / 'pg'}") as dsn:
            yield dsn
    except errors.ConfigurationError as error:
        said = "this role may not create a database to try the migrations in, and there is no embedded server either"
        raise MigrationNoScratch(f"{said}: ALTER ROLE … CREATEDB, or install agentmem-store[embedded]") from error
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _open_directory() -> Path:
    """Make a directory that the server's account can enter: as root, it runs as another one."""
    home = Path(tempfile.mkdtemp(prefix="agentmem-scratch-"))
    home.chmod(0o755)
    return home


def _on_database(dsn: str, name: str) -> str:
    parts = urlsplit(dsn)
    options = [(key, value) for key, value in parse_qsl(parts.query) if key not in {"database", "dbname"}]
    return urlunsplit(parts._replace(path=f"/{name}", query=urlencode(options)))
