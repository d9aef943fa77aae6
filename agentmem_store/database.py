"""`Database`: one pool on one server, from which every scope comes."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Self

from agentmem_store import connect, errors, handshake, migrations
from agentmem_store.config import DEFAULT, PoolConfig
from agentmem_store.executor import PoolExecutor
from agentmem_store.health import Doctor, not_open
from agentmem_store.inputs import check_limit
from agentmem_store.pool import PoolManager, PoolStats
from agentmem_store.scope import Root
from agentmem_store.telemetry import Observer, Order, QueryStats, StatementStats

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from types import TracebackType

    import asyncpg

    from agentmem_store.models.health import Health

__all__ = ["Database", "DatabaseStats"]


@dataclass(frozen=True, slots=True)
class DatabaseStats(PoolStats):
    """The pool and the statements at one moment.

    Attributes:
        statements: what became of all statements since the database was made.
    """

    statements: StatementStats


class Database(Root):
    """A PostgreSQL database that holds the memory of agents. Making one does no I/O.

    Args:
        dsn: ``postgresql://user@host/name``, or ``embedded:DIRECTORY`` for a private server (extra ``embedded``).
        config: a preset such as `agentmem_store.PRODUCTION`, or one varied with `PoolConfig.with_`.
        migration_dsn: where `migrate` connects; by default `dsn`. Needed where `dsn` leads to a pooler, because
            migrations need a session of their own.

    Raises:
        ConfigurationError: a DSN cannot be read.
    """

    def __init__(self, dsn: str, config: PoolConfig = DEFAULT, *, migration_dsn: str | None = None) -> None:
        self._given = connect.normalize(dsn)
        self._migration_dsn = migration_dsn and connect.normalize(migration_dsn)
        self._config = config
        self._stack: AsyncExitStack | None = None
        self._doctor: Doctor | None = None
        self._pool = PoolManager(self._given, config)
        observer = Observer(config.slow_query_ms, config.slow_queries, pool=self.stats)
        super().__init__(PoolExecutor(self._pool, observer), observer)

    async def open(self) -> None:
        """Start the embedded server if there is one to start, and open the pool with one proven connection.

        Raises:
            ConnectError: the server cannot be reached or refuses.
            ConfigurationError: the embedded server cannot run there, or a pooler stands before the server and the
                configuration does not say so.
            UsageError: it is open already.
        """
        if self._stack is not None:
            raise errors.UsageError("this database is open already")
        async with AsyncExitStack() as stack:
            dsn = await stack.enter_async_context(connect.serving(self._given))
            await self._pool.open(dsn)
            stack.push_async_callback(self._pool.close)
            await self._check_settings()
            self._keep_slow_plans(stack, dsn)
            self._dsn = dsn
            self._doctor = Doctor(self._pool, dsn, self._config)
            self._stack = stack.pop_all()

    def _keep_slow_plans(self, stack: AsyncExitStack, dsn: str) -> None:
        from agentmem_store.analysis.slow import SlowPlans  # it takes its time to import, and opening does anyway

        slow = SlowPlans(dsn, self._config, self._observer.keep_plan)
        stack.push_async_callback(slow.close)
        self._observer.on_slow = slow.note

    async def _check_settings(self) -> None:
        lease = await self._pool.acquire()
        try:
            await handshake.check(lease.connection, self._config)
        finally:
            self._pool.release(lease)

    async def close(self) -> None:
        """Wait for lent connections, up to the configured deadline, and close all. Safe to repeat."""
        stack, self._stack, self._doctor = self._stack, None, None
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

    @property
    def migration_dsn(self) -> str:
        """The DSN that migrations connect to: the one given for them, else `dsn`.

        Raises:
            UsageError: the database is not open.
            ConfigurationError: there is a pooler, and none was given.
        """
        served = self.dsn
        if self._config.pooler is not None and self._migration_dsn is None:
            raise errors.ConfigurationError(
                "migrations need a session of their own, which no pooler gives: name the server itself by "
                "Database(…, migration_dsn=…), on the command line by AGENTMEM_MIGRATION_DSN"
            )
        return self._migration_dsn or served

    async def migrate(self, *, tracks: Sequence[str] = ("core",)) -> list[migrations.Applied]:
        """Bring the schema to the newest version and return what was applied, oldest first. Safe to repeat.

        Args:
            tracks: which series of migrations; ``("core", "vector")`` for embeddings too, which needs pgvector.

        Raises:
            MigrationError: see `agentmem_store.migrations.up`.
            ConfigurationError: there is a pooler and no `migration_dsn`.
        """
        return await migrations.up(self.migration_dsn, tracks=tracks)

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[asyncpg.Connection[Any], None]:
        """Lend a raw asyncpg connection. Its session is cleaned before it is lent again.

        Raises:
            PoolTimeout: none became free in time.
            PoolFull: too many callers wait for one already.
            PoolDeadlock: this task holds a connection, and every other one is held by a task that waits for another.
        """
        executor = self._executor
        assert isinstance(executor, PoolExecutor)
        async with executor.connection() as connection:
            yield connection

    @property
    def pool(self) -> PoolManager:
        """What lends connections; another one after each `open`."""
        return self._pool

    @property
    def observer(self) -> Observer:
        """What watches every statement; `agentmem_store.telemetry` shows it to Prometheus and OpenTelemetry."""
        return self._observer

    def stats(self) -> DatabaseStats:
        """Return the pool and the totals of statements as they are now. No I/O."""
        pool = self._pool.stats()
        values: dict[str, Any] = {each.name: getattr(pool, each.name) for each in fields(pool)}
        return DatabaseStats(**values, statements=self._observer.statements())

    def queries(self, *, order: Order = "total", limit: int = 20) -> list[QueryStats]:
        """Return what became of the calls of each query since the database was made, or they were reset. No I/O.

        Args:
            order: ``slowest`` (by mean), ``frequent`` (by calls) or ``total`` (by the sum of the times).
            limit: how many, 1 to 1,000.

        Returns:
            the first of that order; those that are equal by name. There are at most 501: see `QueryStats.query`.

        Raises:
            ValidationError: there is no such order, or limit is out of bounds.
        """
        return self._observer.queries(order=order, limit=check_limit(limit))

    def reset_queries(self) -> None:
        """Forget the statistics of single queries. The totals in `stats` go on."""
        self._observer.reset()

    def live(self) -> Health:
        """Tell whether this process can go on: open, in a running event loop of this process. No I/O.

        Nothing here depends on the server: a process that is restarted because its server is down only comes back to a
        server that is down. May be called from any thread.
        """
        return self._doctor.live() if self._doctor else not_open()

    async def ready(self, timeout_s: float = 1.0) -> Health:
        """Tell whether calls can be served now: the pool, a connection, a round trip, writes, migrations at head.

        Asked on an idle connection of the pool, else on one of its own: it never waits in the pool's queue. What was
        found is told again for a second, and those who ask at the same time share one look. No error is raised for
        what is wrong: it is in the result.

        Args:
            timeout_s: seconds for all of it, above 0.

        Returns:
            the checks ``pool``, ``connection``, ``round_trip``, ``writable`` and ``migrations``; `Health.ok` is what a
            readiness probe asks. Callers that wait, or a database newer than this release, are warnings.
        """
        return await self._doctor.ready(timeout_s) if self._doctor else not_open()

    async def diagnose(self, timeout_s: float = 5.0) -> Health:
        """Look at the pool, the server and what goes on in it, on a connection of its own.

        Args:
            timeout_s: seconds for each of the checks, above 0.

        Returns:
            the checks of `ready` and those of the server: version, capabilities, connections, long transactions,
            blocked statements, replication, vacuum, indexes. docs/operations.md says what each means.
        """
        return await self._doctor.diagnose(timeout_s) if self._doctor else not_open()
