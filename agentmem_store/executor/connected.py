"""Statements on one connection: the pool's, within a transaction, or the application's own."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import anyio
import asyncpg

from agentmem_store import errors
from agentmem_store.executor.base import Executor, Isolation, explain
from agentmem_store.executor.watch import Watch
from agentmem_store.pool.reaper import cancelled

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable

    from agentmem_store.connect import Connection
    from agentmem_store.pool import Lease
    from agentmem_store.query import Query
    from agentmem_store.telemetry import Observer

__all__ = ["Block", "ConnectionExecutor"]

_BEGIN: Final[dict[Isolation | None, str]] = {
    None: "BEGIN",
    "read_committed": "BEGIN ISOLATION LEVEL READ COMMITTED",
    "repeatable_read": "BEGIN ISOLATION LEVEL REPEATABLE READ",
    "serializable": "BEGIN ISOLATION LEVEL SERIALIZABLE",
}

_ROLLBACK_TIMEOUT_S: Final = 5.0

# A row can hold megabytes, so a stream takes few at a time: the next hundred costs one round trip.
_STREAMED_AT_ONCE: Final = 100


class Block(NamedTuple):
    """The statements of a transaction, or of a savepoint within one."""

    begin: str
    undo: str
    commit: str

    @property
    def is_outermost(self) -> bool:
        """Whether it is a transaction."""
        return self.commit == "COMMIT"


class ConnectionExecutor(Executor):
    """Every statement on one connection: the pool's, within a transaction, or the application's own.

    Args:
        connection: where statements run.
        observer: sees them.
        lease: the pool's hold on the connection; None for the application's own.
        depth: how many of our transactions and savepoints are around it.
    """

    def __init__(
        self, connection: Connection, observer: Observer, *, lease: Lease | None = None, depth: int = 0
    ) -> None:
        self._connection = connection
        self.observer = observer
        self._lease = lease
        self._depth = depth
        self._finished = False
        # A savepoint that was left in haste: to be rolled back to before anything else happens here.
        self._owed: str | None = None

    async def fetch(self, query: Query[Any], args: tuple[Any, ...]) -> list[Any]:
        """See `Executor.fetch`."""
        await self._make_ready()
        with Watch(self, query, args) as watch:
            records = await self._connection.fetch(query.text, *args)
            watch.rows = len(records)
        return records

    async def copy(self, query: Query[int], data: AsyncIterable[bytes]) -> int:
        """Send what a ``COPY … FROM STDIN`` expects, in pieces of any size, and return the number of rows stored.

        Raises:
            AgentMemError: from the tree in `agentmem_store.errors`, by SQLSTATE.
        """
        await self._make_ready()
        # The driver's public copies put a statement of their own together, and the one for records goes through the
        # connection's codecs, which an application may have set.
        connection: Any = self._connection
        with Watch(self, query, ()) as watch:
            tag: str = await connection._copy_in(query.text, data, None)  # noqa: SLF001
            watch.rows = int(tag.rpartition(" ")[2])
        return watch.rows

    async def stream(self, query: Query[Any], args: tuple[Any, ...]) -> AsyncGenerator[Any, None]:
        """Run one statement within a transaction and yield its records, in the server's order, few held at a time.

        What is observed is the time that the server took, not the time that the caller took between two records.

        Raises:
            UsageError: no transaction is begun on this connection, or it is finished.
            AgentMemError: from the tree in `agentmem_store.errors`, by SQLSTATE.
        """
        with Watch(self, query, args) as watch:
            cursor = None
            while True:
                await self._make_ready()
                if not self._is_in_transaction():
                    raise errors.UsageError("a stream runs within a transaction: begin one first")
                cursor = cursor or await self._connection.cursor(query.text, *args)
                records = await cursor.fetch(_STREAMED_AT_ONCE)
                if not records:
                    break
                watch.rows += len(records)
                with watch.away():
                    for record in records:
                        yield record

    @asynccontextmanager
    async def transaction(
        self, isolation: Isolation | None, *, read_only: bool
    ) -> AsyncGenerator[ConnectionExecutor, None]:
        """See `Executor.transaction`."""
        block = await self.begin(isolation, read_only=read_only)
        async with self.within(block) as inner:
            yield inner

    async def begin(self, isolation: Isolation | None, *, read_only: bool) -> Block:
        """Begin a transaction, or a savepoint within one, for `within`.

        Raises:
            AgentMemError: it did not begin.
        """
        await self._make_ready()
        block = self._block(isolation, read_only=read_only)
        try:
            await self._control(block.begin)
        except errors.ConnectionLost as lost:
            lost.outcome = "rolled_back"
            raise
        except BaseException:
            if block.is_outermost and self._lease is None:
                await self._roll_back_own(block.undo)
            raise
        return block

    @asynccontextmanager
    async def within(self, block: Block) -> AsyncGenerator[ConnectionExecutor, None]:
        """Yield what runs within a transaction that was begun; commit on leaving, roll back on an exception."""
        inner = ConnectionExecutor(self._connection, self.observer, lease=self._lease, depth=self._depth + 1)
        try:
            yield inner
            await inner._make_ready()
        except BaseException as error:
            inner._finished = True
            await self._roll_back(block, error)
            raise
        inner._finished = True
        await self._commit(block)

    def explain(self, error: Exception, query: str | None = None) -> errors.AgentMemError:
        """Return our error for the driver's, and take note of what it says about the connection."""
        # The driver's own complaint about a connection that works: it is busy with another statement.
        is_ours = isinstance(error, asyncpg.InterfaceError) and not isinstance(error, ValueError)
        if is_ours and not self._connection.is_closed():
            return errors.UsageError(
                "two tasks used one transaction at the same time: give each its own, or await in turn"
            )
        failure = explain(self._lease, error, query)
        if self._depth and isinstance(failure, errors.ConnectionLost):
            failure.outcome = "rolled_back"  # its COMMIT was never sent
        return failure

    def interrupted(self) -> None:
        """Take note that a statement was cut short, so that the connection is looked after before it is lent again."""
        if self._lease is not None:
            self._lease.interrupted = True

    async def _make_ready(self) -> None:
        if self._finished:
            raise errors.UsageError("this transaction is finished: use the scope it was made from, or begin another")
        if self._owed is not None:
            await self._undo(self._owed)
            self._owed = None

    def _block(self, isolation: Isolation | None, *, read_only: bool) -> Block:
        if not self._is_in_transaction():
            return Block(_BEGIN[isolation] + (" READ ONLY" if read_only else ""), "ROLLBACK", "COMMIT")
        if isolation is not None:
            raise errors.UsageError("a nested transaction is a savepoint: set the isolation on the outermost one")
        name = f"agentmem_{self._depth}"
        release = f"RELEASE SAVEPOINT {name}"
        # Rolled back to, it would still be there, and the next would be set within it, and so on.
        return Block(f"SAVEPOINT {name}", f"ROLLBACK TO SAVEPOINT {name}; {release}", release)

    def _is_in_transaction(self) -> bool:
        """Ask the driver, which of a connection that has ended knows nothing."""
        if self._connection.is_closed():
            raise self.explain(asyncpg.InterfaceError("the connection is closed"))
        return self._connection.is_in_transaction()

    async def _control(self, statement: str) -> str:
        try:
            return await self._connection.execute(statement)
        except errors.DRIVER_ERRORS as error:
            raise self.explain(error) from error
        except BaseException:
            self.interrupted()
            raise

    async def _commit(self, block: Block) -> None:
        try:
            tag = await self._control(block.commit)
        except (errors.ConnectionLost, errors.StatementTimeout) as lost:
            if lost.outcome == "not_sent" or self._depth:
                lost.outcome = "rolled_back"
                raise
            if isinstance(lost, errors.StatementTimeout) and lost.sqlstate is not None:
                raise  # the server says so itself: it did not commit
            raise errors.CommitUnknown("the connection broke while committing", sqlstate=lost.sqlstate) from lost
        if tag == "ROLLBACK":
            raise errors.TransactionRolledBack(
                "nothing was stored: a statement of the transaction failed, and its error was caught within; "
                "put what may fail into a transaction of its own within this one"
            )

    async def _roll_back(self, block: Block, error: BaseException) -> None:
        """Roll back; where there is no time for it, after a cancellation or a deadline, leave it to who comes next."""
        in_haste = not isinstance(error, Exception) or isinstance(error, TimeoutError | errors.StatementTimeout)
        if self._lease is None and not self._depth:
            await self._roll_back_own(block.undo)
        elif in_haste:
            self._leave(block)
        else:
            try:
                await self._undo(block.undo)
            except BaseException:
                self._leave(block)
                raise

    def _leave(self, block: Block) -> None:
        """Leave a rollback to the next statement of the transaction around it, or to the pool."""
        if self._depth:
            self._owed = block.undo
        else:
            self.interrupted()

    async def _undo(self, statement: str) -> None:
        """Roll back; end a connection that cannot do it in time."""
        try:
            await self._connection.execute(statement, timeout=_ROLLBACK_TIMEOUT_S)
        except errors.DRIVER_ERRORS:
            self._connection.terminate()

    async def _roll_back_own(self, statement: str) -> None:
        """Roll back on the application's own connection even while being cancelled: nobody comes to do it later."""
        if self._connection.is_closed():
            return
        with anyio.CancelScope(shield=True):
            try:
                await cancelled(self._connection, _ROLLBACK_TIMEOUT_S)
                if self._connection.is_in_transaction():
                    await self._connection.execute(statement, timeout=_ROLLBACK_TIMEOUT_S)
            except TimeoutError:
                self._connection.terminate()
            except errors.DRIVER_ERRORS:
                pass  # what broke the transaction is on its way to the caller already
