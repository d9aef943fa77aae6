"""A database with rows in every table, and a schema beside ours for what rules are tried on."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from agentmem_store import connect
from agentmem_store.config import DEVELOPMENT
from agentmem_store.database import Database
from tests.analysis.population import fill
from tests.servers import admin, on_database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    Connection = asyncpg.Connection[Any]


@pytest.fixture(scope="session")
def filled(server: str, template: str) -> Iterator[str]:
    """The DSN of a migrated database that is filled and analyzed, with HypoPG where the server has it."""
    name = f"agentmem_filled_{os.getpid()}"
    asyncio.run(admin(server, f'CREATE DATABASE "{name}" TEMPLATE "{template}"'))
    asyncio.run(_fill(on_database(server, name)))
    yield on_database(server, name)
    asyncio.run(admin(server, f'DROP DATABASE "{name}" WITH (FORCE)'))


async def _fill(dsn: str) -> None:
    connection = await connect.connect(dsn)
    try:
        await with_hypopg(connection)
        await fill(connection)
    finally:
        await connection.close()


async def with_hypopg(connection: Connection) -> None:
    """Install HypoPG where the server has it."""
    if await connection.fetchval("SELECT count(*) FROM pg_available_extensions WHERE name = 'hypopg'"):
        await connection.execute("CREATE EXTENSION IF NOT EXISTS hypopg")


@pytest.fixture
async def busy(filled: str) -> AsyncIterator[Database]:
    """An open database on the filled one. What a test changes there, it changes back."""
    async with Database(filled, DEVELOPMENT.with_(slow_query_ms=60_000)) as database:
        yield database


@pytest.fixture
async def drill(db: Database) -> AsyncIterator[Connection]:
    """A connection to a fresh database that has an empty schema `drill` beside ours, and HypoPG where there is one."""
    connection = await connect.connect(db.dsn)
    await with_hypopg(connection)
    await connection.execute("CREATE SCHEMA drill")
    yield connection
    await connection.close()
