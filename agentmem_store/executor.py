"""Where statements run: on any connection of the pool, or on the one connection of a transaction."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, Literal

import anyio
import asyncpg

from agentmem_store import errors

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable

    from agentmem_store.pool import Lease, PoolManager
    from agentmem_store.query import Query
    from agentmem_store.telemetry import Observer

    Connection = asyncpg.Connection[asyncpg.Record]

__all__ = ["ConnectionExecutor", "Executor", "Isolation", "PoolExecutor"]

Isolation = Literal["read_committed", "repeatable_read", "serializable"]

_ROLLBACK_TIMEOUT_S: Final = 5.0

# A row can hold megabytes, so a stream takes few at a time: the next hundred costs one round trip.
_STREAMED_AT_ONCE: Final = 100


class Executor(ABC):
    """Runs a statement and returns its records. There are two: a pool's and a connection's."""

    @abstractmethod
    async def fetch(self, query: Query[Any], args: tuple[Any, ...]) -> list[Any]:
        """Run one statement and return its records, in the server's order.

        Raises:
            AgentMemError: from the tree in `agentmem_store.errors`, by SQLSTATE.
        """

    @abstractmethod
    def transaction(
        self, isolation: Isolation | None, *, read_only: bool
    ) -> AbstractAsyncContextManager[ConnectionExecutor]:
        """Begin a transaction, or a savepoint within one; commit on leaving, roll back on an exception."""


class PoolExecutor(Executor):
    """Each statement on any connection of the pool, for as long as the statement takes."""

    def __init__(self, pool: PoolManager, observer: Observer) -> None:
        self._pool = pool
        self._observer = observer

    async def fetch(self, query: Query[Any], args: tuple[Any, ...]) -> list[Any]:
        """See `Executor.fetch`."""
        asked = time.perf_counter()
        while True:
            lease = await self._pool.acquire()
            began = time.perf_counter()
            try:
                records = await lease.connection.fetch(query.text, *args)
                break
            except errors.DRIVER_ERRORS as error:
                failure = self._observer.failed(query, error)
                if failure.outcome != "not_sent" or not lease.connection.is_closed():
                    raise failure from error
                # It had died while idle, and nothing was sent. Another may serve; each round uses a dead one up.
            finally:
                self._pool.release(lease)
        ended = time.perf_counter()
        self._observer.finished(query, wait_s=began - asked, run_s=ended - began, rows=len(records))
        return records

    @asynccontextmanager
    async def transaction(
        self, isolation: Isolation | None, *, read_only: bool
    ) -> AsyncGenerator[ConnectionExecutor, None]:
        """See `Executor.transaction`."""
        lease = await self._pool.acquire()
        try:
            executor = ConnectionExecutor(lease.connection, self._observer)
            async with executor.transaction(isolation, read_only=read_only) as inner:
                yield inner
        finally:
            self._pool.release(lease)

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[Connection, None]:
        """Lend a raw connection; whatever was done to its session is undone before it is lent again."""
        lease: Lease = await self._pool.acquire()
        lease.dirty = True
        try:
            yield lease.connection
        finally:
            self._pool.release(lease)


class ConnectionExecutor(Executor):
    """Every statement on one connection: the pool's, within a transaction, or the application's own."""

    def __init__(self, connection: Connection, observer: Observer, *, in_transaction: bool = False) -> None:
        self._connection = connection
        self._observer = observer
        self._in_transaction = in_transaction
        self._finished = False

    async def fetch(self, query: Query[Any], args: tuple[Any, ...]) -> list[Any]:
        """See `Executor.fetch`."""
        self._check_usable()
        began = time.perf_counter()
        try:
            records = await self._connection.fetch(query.text, *args)
        except errors.DRIVER_ERRORS as error:
            raise self._explain(query, error) from error
        self._observer.finished(query, wait_s=0.0, run_s=time.perf_counter() - began, rows=len(records))
        return records

    async def copy(self, query: Query[int], data: AsyncIterable[bytes]) -> int:
        """Send what a ``COPY … FROM STDIN`` expects, in pieces of any size, and return the number of rows stored.

        Raises:
            AgentMemError: from the tree in `agentmem_store.errors`, by SQLSTATE.
        """
        self._check_usable()
        # The driver's public copies put a statement of their own together, and the one for records goes through the
        # connection's codecs, which an application may have set.
        connection: Any = self._connection
        began = time.perf_counter()
        try:
            tag: str = await connection._copy_in(query.text, data, None)  # noqa: SLF001
        except errors.DRIVER_ERRORS as error:
            raise self._explain(query, error) from error
        rows = int(tag.rpartition(" ")[2])
        self._observer.finished(query, wait_s=0.0, run_s=time.perf_counter() - began, rows=rows)
        return rows

    async def stream(self, query: Query[Any], args: tuple[Any, ...]) -> AsyncGenerator[Any, None]:
        """Run one statement within a transaction and yield its records, in the server's order, few held at a time.

        What is observed is the time that the server took, not the time that the caller took between two records.

        Raises:
            UsageError: no transaction is begun on this connection, or it is finished.
            AgentMemError: from the tree in `agentmem_store.errors`, by SQLSTATE.
        """
        cursor, run_s, rows = None, 0.0, 0
        while True:
            self._check_usable()
            if not self._connection.is_in_transaction():
                raise errors.UsageError("a stream runs within a transaction: begin one first")
            began = time.perf_counter()
            try:
                cursor = cursor or await self._connection.cursor(query.text, *args)
                records = await cursor.fetch(_STREAMED_AT_ONCE)
            except errors.DRIVER_ERRORS as error:
                raise self._explain(query, error) from error
            run_s, rows = run_s + time.perf_counter() - began, rows + len(records)
            if not records:
                break
            for record in records:
                yield record
        self._observer.finished(query, wait_s=0.0, run_s=run_s, rows=rows)

    @asynccontextmanager
    async def transaction(
        self, isolation: Isolation | None, *, read_only: bool
    ) -> AsyncGenerator[ConnectionExecutor, None]:
        """See `Executor.transaction`."""
        self._check_usable()
        if isolation is not None and self._connection.is_in_transaction():
            raise errors.UsageError("a nested transaction is a savepoint: set the isolation on the outermost one")
        transaction = self._connection.transaction(isolation=isolation, readonly=read_only)
        await self._control(transaction.start())
        inner = ConnectionExecutor(self._connection, self._observer, in_transaction=True)
        try:
            yield inner
        except BaseException:
            inner._finished = True
            await self._roll_back(transaction)
            raise
        inner._finished = True
        await self._commit(transaction)

    def _explain(self, query: Query[Any], error: Exception) -> errors.AgentMemError:
        # The driver's own complaint about a connection that works: it is busy with another statement.
        is_ours = isinstance(error, asyncpg.InterfaceError) and not isinstance(error, ValueError)
        if is_ours and not self._connection.is_closed():
            return errors.UsageError(
                "two tasks used one transaction at the same time: give each its own, or await in turn"
            )
        failure = self._observer.failed(query, error)
        if self._in_transaction and isinstance(failure, errors.ConnectionLost):
            failure.outcome = "rolled_back"  # its COMMIT was never sent
        return failure

    def _check_usable(self) -> None:
        if self._finished:
            raise errors.UsageError("this transaction is finished: use the scope it was made from, or begin another")

    async def _control(self, statement: Any) -> None:
        try:
            await statement
        except errors.DRIVER_ERRORS as error:
            raise errors.from_driver(error) from error

    async def _commit(self, transaction: Any) -> None:
        try:
            await self._control(transaction.commit())
        except errors.ConnectionLost as lost:
            if lost.outcome == "not_sent" or self._in_transaction:
                lost.outcome = "rolled_back"
                raise
            raise errors.CommitUnknown("the connection broke while committing", sqlstate=lost.sqlstate) from lost

    async def _roll_back(self, transaction: Any) -> None:
        """Roll back even while being cancelled; a connection that cannot do it in time is ended."""
        with anyio.move_on_after(_ROLLBACK_TIMEOUT_S, shield=True) as deadline:
            try:
                await transaction.rollback()
            except errors.DRIVER_ERRORS:
                deadline.cancel()
        if deadline.cancelled_caught or self._connection.is_closed():
            self._connection.terminate()
