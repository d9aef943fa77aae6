"""Statements on any connection of the pool."""

from __future__ import annotations

import re
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from agentmem_store import errors
from agentmem_store.executor.base import Executor, Isolation, explain
from agentmem_store.executor.coalescer import Coalescer
from agentmem_store.executor.connected import ConnectionExecutor
from agentmem_store.executor.sending import Deadline, Deadlines, send
from agentmem_store.telemetry.slow import caller

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from agentmem_store.connect import Connection
    from agentmem_store.executor.connected import Block
    from agentmem_store.pool import Lease, PoolManager
    from agentmem_store.query import Query
    from agentmem_store.telemetry import Observer

__all__ = ["PoolExecutor"]

# A read that was sent is sent again when its connection broke so soon that it had most likely been broken before. One
# that an administrator ended is left alone, and one that itself ends the server's processes must not end many.
_READS_AGAIN: Final = 2
_SOON_S: Final = 1.0

# What only reads: begins so, holds no word that writes, locks or changes the session, and calls no function of another
# schema, which may do anything.
_READS: Final = re.compile(r"\s*(SELECT|WITH)\b", re.IGNORECASE)
_DOES_MORE: Final = re.compile(
    r"\b(INSERT|UPDATE|DELETE|MERGE|INTO|SHARE|nextval|setval|set_config|pg_notify|pg_\w*(advisory|reset)\w*"
    r"|lo_\w+|dblink\w*)\b|\b(?!agentmem\.|pg_catalog\.)\w+\.\w+\(",
    re.IGNORECASE,
)


class PoolExecutor(Executor):
    """Each statement on any connection of the pool, for as long as the statement takes."""

    def __init__(self, pool: PoolManager, observer: Observer) -> None:
        self._pool = pool
        self._observer = observer
        self._deadlines = Deadlines(pool.config.command_timeout_s)
        self.coalescer = Coalescer(self, pool) if pool.config.coalesce else None

    async def fetch(
        self, query: Query[Any], args: tuple[Any, ...], depart: Callable[[], tuple[Any, ...]] | None = None
    ) -> list[Any]:
        """See `Executor.fetch`. What was not sent, and a read, is sent again when it was the connection that failed.

        Args:
            query: what to run.
            args: its arguments; or
            depart: returns them, called once, as soon as there is a connection.
        """
        observer = self._observer
        observer.started()
        asked, began, failures = time.perf_counter(), 0.0, 0
        try:
            while True:
                lease = await self._pool.acquire()
                began = time.perf_counter()
                try:
                    if depart is not None:
                        args, depart = depart(), None
                    with Deadline(self._deadlines, lease.holder, began):
                        records = await send(lease.connection, query.text, args)
                    break
                except errors.DRIVER_ERRORS as error:
                    failures += 1
                    failure = explain(lease, error, query.name)
                    is_soon = time.perf_counter() - began < _SOON_S
                    if not lease.connection.is_closed() or not self._may_repeat(query, failure, failures, is_soon):
                        raise failure from error
                except BaseException:
                    lease.interrupted = True
                    raise
                finally:
                    self._pool.release(lease)
        except BaseException as error:
            _account(observer, query, args, error, asked=asked, began=began)
            raise
        ended = time.perf_counter()
        observer.finished(query, wait_s=began - asked, run_s=ended - began, rows=len(records), args=args)
        return records

    @asynccontextmanager
    async def transaction(
        self, isolation: Isolation | None, *, read_only: bool
    ) -> AsyncGenerator[ConnectionExecutor, None]:
        """See `Executor.transaction`."""
        lease, executor, block = await self._begin(isolation, read_only=read_only)
        try:
            async with executor.within(block) as inner:
                yield inner
        finally:
            self._pool.release(lease)

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[Connection, None]:
        """Lend a raw connection; whatever was done to its session is undone before it is lent again."""
        lease = await self._borrow()
        lease.dirty = True
        try:
            yield lease.connection
        except asyncpg.PostgresError as error:
            lease.note(error.sqlstate)
            raise
        finally:
            self._pool.release(lease)

    async def _begin(self, isolation: Isolation | None, *, read_only: bool) -> tuple[Lease, ConnectionExecutor, Block]:
        """Begin on a connection that lives: where one is found dead, nothing has happened yet, and another serves."""
        failures = 0
        while True:
            lease = await self._borrow()
            executor = ConnectionExecutor(lease.connection, self._observer, lease=lease)
            try:
                return lease, executor, await executor.begin(isolation, read_only=read_only)
            except BaseException as error:
                failures += 1
                is_dead = isinstance(error, errors.ConnectionLost) and lease.connection.is_closed()
                self._pool.release(lease)
                if not is_dead or failures > self._pool.config.max_size:
                    raise

    async def _borrow(self) -> Lease:
        """Take a connection for as long as the application pleases."""
        lease = await self._pool.acquire()
        if self._pool.config.leak_after_s is not None:
            lease.where = caller()
        return lease

    def _may_repeat(self, query: Query[Any], failure: errors.AgentMemError, failures: int, is_soon: bool) -> bool:
        # Each round uses a dead connection up, of which there are no more than the pool is large.
        if failure.outcome == "not_sent":
            return failures <= self._pool.config.max_size
        is_lost = isinstance(failure, errors.ConnectionLost)
        return is_lost and is_soon and failures <= _READS_AGAIN and _only_reads(query.sql)


def _account(
    observer: Observer, query: Query[Any], args: tuple[Any, ...], error: BaseException, *, asked: float, began: float
) -> None:
    """Tell the observer of a statement that raised; `began` is 0 when it was not sent."""
    now = time.perf_counter()
    wait_s, run_s = (began or now) - asked, now - began if began else None
    if isinstance(error, errors.AgentMemError):
        observer.failed(query, error, wait_s=wait_s, run_s=run_s, args=args)
    else:
        observer.cancelled(query, wait_s=wait_s, run_s=run_s, args=args)


def _only_reads(sql: str) -> bool:
    return _READS.match(sql) is not None and _DOES_MORE.search(sql) is None
