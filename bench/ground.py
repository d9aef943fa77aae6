"""Where questions are asked: databases of their own on one server, each a copy of the same filled one."""

from __future__ import annotations

import itertools
import secrets
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from agentmem_store import PRODUCTION, Database
from agentmem_store.connect import serving
from bench import peers, seed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from agentmem_store import PoolConfig, Scope
    from bench.peers import Peer
    from bench.seed import World
    from bench.sizes import Size

__all__ = ["Ground", "Place", "Skipped", "opened", "pool_config"]

_PREFIX: Final = "agentmem_bench_"


class Skipped(Exception):
    """A question cannot be asked here; the message says why."""


@dataclass(frozen=True)
class Place:
    """A database, and the organization in it."""

    dsn: str
    world: World

    def open(self, config: PoolConfig) -> Database:
        """Open it with this package, for `async with`."""
        return Database(self.dsn, config)

    @asynccontextmanager
    async def ours(self, config: PoolConfig) -> AsyncGenerator[Scope]:
        """Open it and yield the organization's scope."""
        async with self.open(config) as db:
            yield db.tenant(self.world.organization_id)

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[asyncpg.Connection[Any]]:
        """Hold one raw connection."""
        async with _connected(self.dsn) as connection:
            yield connection


@dataclass(frozen=True)
class Ground:
    """A server with a filled database to copy."""

    server: str
    template: str
    world: World
    size: Size
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def config(self) -> PoolConfig:
        """The settings of our pool; see `pool_config`."""
        return pool_config(self.size)

    @asynccontextmanager
    async def place(self) -> AsyncGenerator[Place]:
        """Copy the filled database, and drop the copy afterwards."""
        name = f"{self.template}_{next(self._numbers)}"
        await _administer(self.server, f'CREATE DATABASE "{name}" TEMPLATE "{self.template}"')
        try:
            yield Place(_on_database(self.server, name), self.world)
        finally:
            await _administer(self.server, f'DROP DATABASE "{name}" WITH (FORCE)')

    @asynccontextmanager
    async def peers(self, *names: str) -> AsyncGenerator[dict[str, Peer]]:
        """Open peers by their names on one copy of the filled database, those that are installed."""
        there = filter(peers.is_installed, names)
        async with self.place() as place, AsyncExitStack() as stack:
            yield {name: await stack.enter_async_context(peers.opened(name, place, self.config)) for name in there}


def pool_config(size: Size) -> PoolConfig:
    """Return our pool's settings: as many connections as each peer, nobody refused, the slow log armed but silent."""
    count = size.connections
    return _quiet(PRODUCTION.with_(min_size=count, max_size=count, acquire_timeout_s=60, max_waiting=100_000))


@asynccontextmanager
async def opened(dsn: str, size: Size) -> AsyncGenerator[Ground]:
    """Fill a database on a server, which an embedded DSN starts; drop it afterwards, and what a killed run left.

    Raises:
        asyncpg.PostgresError: the user of the DSN may not create databases.
    """
    token = secrets.token_hex(4)
    name = f"{_PREFIX}{token}"
    async with serving(dsn) as server, _connected(server) as holder:
        await _drop_abandoned(holder)
        await holder.execute("SELECT pg_advisory_lock($1)", int(token, 16))
        await holder.execute(f'CREATE DATABASE "{name}"')
        try:
            world = await _filled(_on_database(server, name), size)
            yield Ground(server, name, world, size)
        finally:
            await holder.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


async def _drop_abandoned(connection: asyncpg.Connection[Any]) -> None:
    """Drop the databases of runs that are no more: nobody holds the lock on their token."""
    for (name,) in await connection.fetch("SELECT datname FROM pg_database WHERE starts_with(datname, $1)", _PREFIX):
        token = int(name.removeprefix(_PREFIX).split("_")[0], 16)
        if await connection.fetchval("SELECT pg_try_advisory_lock($1)", token):
            await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            await connection.execute("SELECT pg_advisory_unlock($1)", token)


async def _filled(dsn: str, size: Size) -> World:
    async with Database(dsn, _quiet(PRODUCTION)) as db:
        await db.migrate()
        world = await seed.make_world(db, size)
        async with db.connection() as connection:
            await seed.settle(connection)
    return world


def _quiet(config: PoolConfig) -> PoolConfig:
    """Leave the slow log and the leak detector armed, at thresholds that nothing here reaches."""
    return config.with_(slow_query_ms=60_000, leak_after_s=3_600)


async def _administer(dsn: str, statement: str) -> None:
    async with _connected(dsn) as connection:
        await connection.execute(statement)


@asynccontextmanager
async def _connected(dsn: str) -> AsyncGenerator[asyncpg.Connection[Any]]:
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


def _on_database(dsn: str, name: str) -> str:
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))
