"""Fixtures: a real server, a migrated database, and scopes of fresh tenants in it."""

from __future__ import annotations

import asyncio
import itertools
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import asyncpg
import pytest
from anyio.from_thread import start_blocking_portal

from agentmem_store import connect, embedded, migrations
from agentmem_store.config import DEVELOPMENT
from agentmem_store.database import Database
from agentmem_store.executor import ConnectionExecutor
from agentmem_store.models.organizations import NewOrganization
from agentmem_store.repositories import organizations
from agentmem_store.scope import Root, Scope
from agentmem_store.telemetry import Observer
from tests.servers import CONTAINER_IMAGE, admin, on_database, open_directory, why_no_docker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

# What a crash would lose does not matter here, so the disk is not waited for.
_FAST = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_connections": "200",
    "autovacuum": "off",  # a plan must not depend on whether it came by meanwhile; tests ANALYZE where they mean to
}
_numbers = itertools.count(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--postgres",
        default="embedded",
        help="the server to test on: embedded (default), the DSN of a superuser, or container "
        f"(of the image {CONTAINER_IMAGE}; the environment variable AGENTMEM_TEST_IMAGE names another)",
    )


def pytest_report_header(config: pytest.Config) -> str:
    choice = config.getoption("--postgres")
    shown = connect.describe(choice) if "://" in choice else choice
    return f"postgres: {shown}" + (f" of {CONTAINER_IMAGE}" if choice == "container" else "")


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    """The DSN of the server's maintenance database."""
    choice = request.config.getoption("--postgres")
    if choice == "embedded":
        with embedded_server() as dsn:
            yield dsn
    elif choice == "container":
        with container_server() as dsn:
            yield dsn
    else:
        yield choice


@contextmanager
def embedded_server() -> Iterator[str]:
    """Run an embedded server in a directory of its own, which its system user can reach."""
    with (
        open_directory() as home,
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(embedded.running(str(home / "pg"), settings=_FAST)) as running,
    ):
        yield running.dsn


@contextmanager
def container_server() -> Iterator[str]:
    """Run a container with pgvector; skip with the reason where Docker does not answer."""
    if reason := why_no_docker():
        pytest.skip(reason)
    from testcontainers.community.postgres import PostgresContainer

    settings = [f"-c{name}={value}" for name, value in _FAST.items()]
    with PostgresContainer(CONTAINER_IMAGE, driver=None).with_command(["postgres", *settings]) as container:
        yield container.get_connection_url()


@pytest.fixture(scope="session")
def template(server: str) -> Iterator[str]:
    """The name of a migrated database, from which others are cloned."""
    name = f"agentmem_template_{os.getpid()}"
    asyncio.run(admin(server, f'CREATE DATABASE "{name}"'))
    asyncio.run(migrations.up(on_database(server, name)))
    yield name
    asyncio.run(admin(server, f'DROP DATABASE "{name}" WITH (FORCE)'))


@pytest.fixture(scope="session")
def shared(server: str, template: str) -> Iterator[str]:
    """The DSN of a migrated database in which tests only ever work in transactions that are rolled back."""
    name = f"{template}_shared"
    asyncio.run(admin(server, f'CREATE DATABASE "{name}" TEMPLATE "{template}"'))
    yield on_database(server, name)
    asyncio.run(admin(server, f'DROP DATABASE "{name}" WITH (FORCE)'))


@pytest.fixture
async def empty_database(server: str) -> AsyncIterator[str]:
    """The DSN of a fresh database with nothing in it."""
    name = f"agentmem_empty_{os.getpid()}_{next(_numbers)}"
    await admin(server, f'CREATE DATABASE "{name}" TEMPLATE template0')
    yield on_database(server, name)
    await admin(server, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
async def dsn(server: str, template: str) -> AsyncIterator[str]:
    """The DSN of a fresh clone of the migrated database."""
    name = f"agentmem_clone_{os.getpid()}_{next(_numbers)}"
    await admin(server, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    yield on_database(server, name)
    await admin(server, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
async def db(dsn: str) -> AsyncIterator[Database]:
    """An open database on a fresh clone: what is committed is really committed."""
    async with Database(dsn, DEVELOPMENT) as database:
        yield database


@pytest.fixture
async def tenant(db: Database) -> Scope:
    """The scope of a fresh organization in `db`."""
    organization = await organizations.create(db, NewOrganization(name="tenant"))
    return db.tenant(organization.id)


@pytest.fixture
async def connection(shared: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection in a transaction that is rolled back."""
    connection = await connect.connect(shared)
    transaction = connection.transaction()
    await transaction.start()
    yield connection
    await transaction.rollback()
    await connection.close()


@pytest.fixture
def root(connection: asyncpg.Connection[asyncpg.Record]) -> Root:
    """What organization functions take, within the transaction that is rolled back."""
    observer = Observer(slow_query_ms=10_000)
    return Root(ConnectionExecutor(connection, observer), observer)


@pytest.fixture
async def scope(root: Root) -> Scope:
    """The scope of a fresh organization, within the transaction that is rolled back."""
    organization = await organizations.create(root, NewOrganization(name="scope"))
    return root.tenant(organization.id)


@pytest.fixture
async def other(root: Root) -> Scope:
    """The scope of another organization, within the same transaction."""
    organization = await organizations.create(root, NewOrganization(name="other"))
    return root.tenant(organization.id)
