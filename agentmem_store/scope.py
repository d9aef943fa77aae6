"""What every repository function takes first: a `Scope`, or for organizations a `Root`."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from agentmem_store import errors
from agentmem_store.config import RETRY_DEFAULT, RetryConfig
from agentmem_store.executor import ConnectionExecutor, Executor, Isolation
from agentmem_store.inputs import check_uuid
from agentmem_store.retry import commit_surely, repeat

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable
    from uuid import UUID

    import asyncpg

    from agentmem_store.executor import Coalescer
    from agentmem_store.query import Query
    from agentmem_store.telemetry import Observer

__all__ = ["Root", "Scope"]

Row = TypeVar("Row")
Result = TypeVar("Result")


class Root:
    """Runs statements that belong to no tenant, which are those over organizations: a `Database` or its transaction."""

    def __init__(self, executor: Executor, observer: Observer) -> None:
        self._executor = executor
        self._observer = observer

    def tenant(self, organization_id: UUID, *, actor_id: UUID | None = None) -> Scope:
        """Return the scope of one organization. A value: no I/O, and no check that the organization exists.

        Args:
            organization_id: the tenant; its rows are all that the scope can see or touch.
            actor_id: who acts; written to the audit columns of what is created, changed or deleted.

        Raises:
            ValidationError: an id is not a UUID.
        """
        if actor_id is not None:
            check_uuid(actor_id, "actor_id")
        return Scope(self._executor, self._observer, check_uuid(organization_id, "organization_id"), actor_id)

    @asynccontextmanager
    async def transaction(
        self, *, isolation: Isolation | None = None, read_only: bool = False
    ) -> AsyncGenerator[Root, None]:
        """Begin a transaction: commits on leaving the block, rolls back on an exception. Nested, a savepoint.

        Args:
            isolation: read_committed (default), repeatable_read or serializable; only on the outermost one.
            read_only: whether the server refuses writes.

        Raises:
            PoolTimeout: no connection became free in time.
            PoolFull: too many callers wait for one already.
            PoolDeadlock: this task holds a connection, and every other one is held by a task that waits for another.
            TransactionRolledBack: the server rolled it back; run the whole of it again.
            UsageError: isolation on a nested transaction, or on a finished one.
        """
        async with self._executor.transaction(isolation, read_only=read_only) as executor:
            yield Root(executor, self._observer)

    async def fetch_all(self, query: Query[Row], *args: Any) -> list[Row]:
        """Run a query and return its rows, in the server's order."""
        return [query.decode(record) for record in await self._executor.fetch(query, args)]

    async def fetch_optional(self, query: Query[Row], *args: Any) -> Row | None:
        """Run a query and return its first row, or None."""
        records = await self._executor.fetch(query, args)
        return query.decode(records[0]) if records else None

    async def fetch_one(self, query: Query[Row], *args: Any) -> Row:
        """Run a query that always returns a row, such as a count, and return it."""
        return query.decode((await self._executor.fetch(query, args))[0])


class Scope:
    """A tenant, who acts, and where statements run. A cheap value: make one wherever it is needed.

    Every statement that runs through a scope gets the organization as its ``$1``.

    Attributes:
        organization_id: the tenant.
        actor_id: who acts, or None.
    """

    __slots__ = ("_executor", "_observer", "actor_id", "organization_id")

    def __init__(self, executor: Executor, observer: Observer, organization_id: UUID, actor_id: UUID | None) -> None:
        self._executor = executor
        self._observer = observer
        self.organization_id = organization_id
        self.actor_id = actor_id

    @asynccontextmanager
    async def transaction(
        self, *, isolation: Isolation | None = None, read_only: bool = False
    ) -> AsyncGenerator[Scope, None]:
        """Begin a transaction and yield the same scope bound to it. See `Root.transaction`."""
        async with self._executor.transaction(isolation, read_only=read_only) as executor:
            yield self._with(executor)

    async def run(
        self,
        work: Callable[[Scope], Awaitable[Result]],
        *,
        retry: RetryConfig = RETRY_DEFAULT,
        isolation: Isolation | None = None,
        read_only: bool = False,
    ) -> Result:
        """Await `work(tx)` in a transaction, and run the whole of it again when nothing of it happened.

        A serialization failure, a deadlock, a lock timeout, a connection that could not be made or broke before the
        commit: each is followed by another attempt on a fresh connection; none is held while waiting. When the
        connection breaks during the commit, the server is asked whether the transaction is stored. Errors that would
        come again are raised at once. Within a transaction, `work` runs once, in a savepoint: only the outermost
        transaction can be run again.

        Args:
            work: may be awaited several times, so what it does besides the database should bear that.
            retry: how often, and after how long.
            isolation: read_committed (default), repeatable_read or serializable.
            read_only: whether the server refuses writes.

        Returns:
            what `work` returned in the attempt that was committed.

        Raises:
            AgentMemError: the last attempt's own error.
            CommitUnknown: the connection broke while committing, and the server could not be asked in time.
        """
        if self.in_transaction:
            async with self.transaction() as tx:
                return await work(tx)

        def on_connection(executor: ConnectionExecutor) -> Awaitable[Result]:
            return work(self._with(executor))

        def attempt() -> Awaitable[Result]:
            return commit_surely(self._executor, on_connection, retry, isolation=isolation, read_only=read_only)

        return await repeat(attempt, retry)

    @property
    def in_transaction(self) -> bool:
        """Whether statements run on one connection, where a failed one loses the whole transaction."""
        return isinstance(self._executor, ConnectionExecutor)

    @property
    def coalescer(self) -> Coalescer | None:
        """What lets concurrent calls share statements; None in a transaction, and where it is not configured."""
        return self._executor.coalescer

    def on(self, connection: asyncpg.Connection[Any]) -> Scope:
        """Return the same scope on a connection of the application's own, so that its rows and ours commit together.

        Args:
            connection: an asyncpg connection, with or without a transaction begun; it stays the caller's to close. Its
                own `transaction()` may stand around a transaction of ours, but not within one: the driver raises
                InterfaceError there, because it did not begin the outer one. Nest with `scope.transaction()`.
        """
        return self._with(ConnectionExecutor(connection, self._observer))

    async def fetch_all(self, query: Query[Row], *args: Any) -> list[Row]:
        """Run a query of this tenant and return its rows, in the server's order."""
        return [query.decode(r) for r in await self._executor.fetch(query, (self.organization_id, *args))]

    async def fetch_optional(self, query: Query[Row], *args: Any) -> Row | None:
        """Run a query of this tenant and return its first row, or None."""
        records = await self._executor.fetch(query, (self.organization_id, *args))
        return query.decode(records[0]) if records else None

    async def fetch_one(self, query: Query[Row], *args: Any) -> Row:
        """Run a query of this tenant that always returns a row, such as a count, and return it."""
        return query.decode((await self._executor.fetch(query, (self.organization_id, *args)))[0])

    async def copy(self, query: Query[int], data: AsyncIterable[bytes]) -> int:
        """Send what a ``COPY … FROM STDIN`` expects, in pieces of any size; return the number of rows stored.

        The one statement that takes no ``$1``: each row has to carry the organization.

        Raises:
            UsageError: this scope is not bound to a transaction.
        """
        return await self._bound("COPY").copy(query, data)

    async def stream(self, query: Query[Row], *args: Any) -> AsyncGenerator[Row, None]:
        """Run a query of this tenant and yield its rows, in the server's order, at most a hundred in memory at a time.

        Raises:
            UsageError: this scope is not bound to a transaction.
        """
        async for record in self._bound("a stream").stream(query, (self.organization_id, *args)):
            yield query.decode(record)

    def _bound(self, what: str) -> ConnectionExecutor:
        if not isinstance(self._executor, ConnectionExecutor):
            raise errors.UsageError(f"{what} runs within a transaction: use the scope that `transaction()` yields")
        return self._executor

    def _with(self, executor: Executor) -> Scope:
        return Scope(executor, self._observer, self.organization_id, self.actor_id)
