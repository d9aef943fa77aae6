"""`Database`: one pool on one server, from which every scope comes."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Self

from agentmem_store import connect, errors, migrations
from agentmem_store.config import DEFAULT, PoolConfig
from agentmem_store.executor import PoolExecutor
from agentmem_store.pool import PoolManager, PoolStats
from agentmem_store.scope import Root
from agentmem_store.telemetry import Observer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from types import TracebackType

    import asyncpg

__all__ = ["Database"]


class Database(Root):
    """A PostgreSQL database that holds the memory of agents. Making one does no I/O.

    Args:
        dsn: ``postgresql://user@host/name``, or ``embedded:DIRECTORY`` for a private server (extra ``embedded``).
        config: a preset such as `agentmem_store.PRODUCTION`, or one varied with `PoolConfig.with_`.

    Raises:
        ConfigurationError: the DSN cannot be read.
    """

    def __init__(self, dsn: str, config: PoolConfig = DEFAULT) -> None:
        self._given = connect.normalize(dsn)
        self._config = config
        self._stack: AsyncExitStack | None = None
        self._pool = PoolManager(self._given, config)
        observer = Observer(config.slow_query_ms)
        super().__init__(PoolExecutor(self._pool, observer), observer)

    async def open(self) -> None:
        """Start the embedded server if there is one to start, and open the pool with one proven connection.

        Raises:
            ConnectError: the server cannot be reached or refuses.
            ConfigurationError: the embedded server cannot run there.
            UsageError: it is open already.
        """
        if self._stack is not None:
            raise errors.UsageError("this database is open already")
        async with AsyncExitStack() as stack:
            dsn = await stack.enter_async_context(connect.serving(self._given))
            self._pool = PoolManager(dsn, self._config)
            self._executor = PoolExecutor(self._pool, self._observer)
            await self._pool.open()
            stack.push_async_callback(self._pool.close)
            self._dsn = dsn
            self._stack = stack.pop_all()

    async def close(self) -> None:
        """Wait for lent connections, up to the configured deadline, and close all. Safe to repeat."""
        stack, self._stack = self._stack, None
        if stack is not None:
            await stack.aclose()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def dsn(self) -> str:
        """The DSN of the server really in use, which for an embedded one is known only once it runs.

        Raises:
            UsageError: the database is not open.
        """
        if self._stack is None:
            raise errors.UsageError("the database is not open: use `async with Database(…)` or `await db.open()`")
        return self._dsn

    async def migrate(self) -> list[migrations.Applied]:
        """Bring the schema to the newest version and return what was applied, oldest first. Safe to repeat.

        Raises:
            MigrationError: see `agentmem_store.migrations.up`.
        """
        return await migrations.up(self.dsn)

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[asyncpg.Connection[Any], None]:
        """Lend a raw asyncpg connection. Its session is cleaned before it is lent again.

        Raises:
            PoolTimeout: none became free in time.
        """
        executor = self._executor
        assert isinstance(executor, PoolExecutor)
        async with executor.connection() as connection:
            yield connection

    def stats(self) -> PoolStats:
        """Return the pool as it is now. No I/O."""
        return self._pool.stats()
