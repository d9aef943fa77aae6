"""Fixtures: a real server, a migrated database, and scopes of fresh tenants in it."""

from __future__ import annotations

import asyncio
import itertools
import os
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import asyncpg
import hypothesis
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
from tests.browser import CHROMIUM
from tests.narrow import configure, narrowed, pooled
from tests.servers import (
    CONTAINER_IMAGE,
    admin,
    on_database,
    open_directory,
    pgbouncer,
    why_no_docker,
    why_no_pgbouncer,
)

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

# No test may fail because the machine is busy.
hypothesis.settings.register_profile("untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--postgres",
        default="embedded",
        help="the server to test on: embedded (default), the DSN of a superuser, or container "
        f"(of the image {CONTAINER_IMAGE}; the environment variable AGENTMEM_TEST_IMAGE names another)",
    )
    parser.addoption("--pgbouncer", action="store_true", help="reach the server through PgBouncer, transaction mode")
    parser.addoption("--rows", type=int, default=50_000, help="rows that plans are held at (tests/test_plans.py)")
    parser.addoption("--max-size", type=int, help="give every pool this many connections at most")


@pytest.hookimpl(trylast=True)  # after other conftest.py files have marked theirs
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--pgbouncer") or config.getoption("--max-size"):
        needed = pytest.mark.skip(reason="it needs sessions of its own, or several")
        for item in items:
            if item.get_closest_marker("own_sessions"):
                item.add_marker(needed)


def pytest_report_header(config: pytest.Config) -> list[str]:
    choice = config.getoption("--postgres")
    shown = connect.describe(choice) if "://" in choice else choice
    lines = [f"postgres: {shown}" + (f" of {CONTAINER_IMAGE}" if choice == "container" else "")]
    if find_spec("langgraph") is None:
        lines.append("tests/bench: left out, because the bench's peers are not installed (make setup-bench)")
    return lines


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
def entrance(request: pytest.FixtureRequest, server: str) -> Iterator[str]:
    """The DSN by which tests reach databases that are migrated: the server's own, or that of a PgBouncer before it."""
    if not request.config.getoption("--pgbouncer"):
        yield server
        return
    if reason := why_no_pgbouncer():
        pytest.skip(reason)
    # A database is dropped right after its test, with a new one of PgBouncer's connections to it still in the making.
    with pgbouncer(server, server_login_retry=0) as through, pooled(through):
        yield through


@pytest.fixture(scope="session", autouse=True)
def _max_size(request: pytest.FixtureRequest) -> Iterator[None]:
    """Narrow every pool to what --max-size says."""
    most = request.config.getoption("--max-size")
    with pytest.MonkeyPatch.context() as patch:
        if most:
            configure(patch, lambda _, config: narrowed(config, most))
        yield


@pytest.fixture(scope="session")
def shared(server: str, entrance: str, template: str) -> Iterator[str]:
    """The DSN of a migrated database in which tests only ever work in transactions that are rolled back."""
    name = f"{template}_shared"
    asyncio.run(admin(server, f'CREATE DATABASE "{name}" TEMPLATE "{template}"'))
    yield on_database(entrance, name)
    asyncio.run(admin(server, f'DROP DATABASE "{name}" WITH (FORCE)'))


@pytest.fixture(scope="session")
def vector_template(server: str) -> Iterator[str]:
    """The name of a database migrated with the track `vector` too. Skips where the server has no pgvector."""
    if not asyncio.run(_has_pgvector(server)):
        pytest.skip("this server has no pgvector")
    name = f"agentmem_vector_{os.getpid()}"
    asyncio.run(admin(server, f'CREATE DATABASE "{name}"'))
    asyncio.run(migrations.up(on_database(server, name), tracks=("core", "vector")))
    yield name
    asyncio.run(admin(server, f'DROP DATABASE "{name}" WITH (FORCE)'))


async def _has_pgvector(server: str) -> bool:
    connection = await connect.connect(server)
    try:
        found = await connection.fetchval("SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'")
    finally:
        await connection.close()
    return bool(found)


@pytest.fixture(scope="session")
def vector_shared(server: str, entrance: str, vector_template: str) -> Iterator[str]:
    """As `shared`, with the track `vector`."""
    name = f"{vector_template}_shared"
    asyncio.run(admin(server, f'CREATE DATABASE "{name}" TEMPLATE "{vector_template}"'))
    yield on_database(entrance, name)
    asyncio.run(admin(server, f'DROP DATABASE "{name}" WITH (FORCE)'))


@pytest.fixture
async def empty_database(server: str) -> AsyncIterator[str]:
    """The DSN of a fresh database with nothing in it."""
    name = f"agentmem_empty_{os.getpid()}_{next(_numbers)}"
    await admin(server, f'CREATE DATABASE "{name}" TEMPLATE template0')
    yield on_database(server, name)
    await admin(server, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
async def dsn(server: str, entrance: str, template: str) -> AsyncIterator[str]:
    """The DSN of a fresh clone of the migrated database."""
    name = f"agentmem_clone_{os.getpid()}_{next(_numbers)}"
    await admin(server, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    yield on_database(entrance, name)
    await admin(server, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
async def db(dsn: str) -> AsyncIterator[Database]:
    """An open database on a fresh clone: what is committed is really committed.

    On a busy machine any statement may be slow; nothing here is to be explained on a connection beside it.
    """
    async with Database(dsn, DEVELOPMENT.with_(slow_query_ms=60_000)) as database:
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


@pytest.fixture
async def browser() -> AsyncIterator[Any]:
    """The system's Chromium, for tests that are marked `needs_a_browser`."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        await browser.close()
