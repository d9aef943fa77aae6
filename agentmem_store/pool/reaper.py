"""What happens to connections off their callers' path: cleaning and closing, each with a deadline."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from agentmem_store.config import PoolConfig
    from agentmem_store.connect import Connection
    from agentmem_store.pool.lease import Lease

__all__ = ["Reaper", "cancelled"]

# What the driver's own reset leaves: the role, temporary tables, sequences' last values, and statements that were
# prepared in SQL. Its own prepared statements stay, because it goes on using them.
_FORGET: Final = """
    RESET SESSION AUTHORIZATION; RESET ROLE; DISCARD TEMP; DISCARD SEQUENCES;
    DO $$
    DECLARE
        prepared TEXT;
    BEGIN
        FOR prepared IN SELECT name FROM pg_prepared_statements WHERE from_sql LOOP
            EXECUTE format('DEALLOCATE %I', prepared);
        END LOOP;
    END $$
"""


class Reaper:
    """Cleans sessions and closes connections in tasks of its own.

    Args:
        config: the deadlines.
    """

    def __init__(self, config: PoolConfig) -> None:
        self._config = config
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something in a task that `finish` waits for."""
        task = asyncio.get_running_loop().create_task(work, name="agentmem-pool-reaper")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def restore(self, lease: Lease) -> bool:
        """Bring a session back to what a new one is; return whether that was possible in time."""
        connection = lease.connection
        try:
            await cancelled(connection, self._config.cancel_timeout_s)
            async with asyncio.timeout(self._config.reset_timeout_s):
                await _clean(connection, thoroughly=lease.dirty)
        except Exception:  # noqa: BLE001 - whatever went wrong, the answer is the same: it is not worth keeping
            return False
        lease.dirty = lease.interrupted = False
        return True

    def hang_up(self, connection: Connection) -> None:
        """Close a connection, politely when it still works."""
        if not connection.is_closed():
            self.spawn(self._close(connection))

    async def finish(self, timeout_s: float) -> None:
        """Wait until all is done, and give up what is not done in time."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + timeout_s
        while self._tasks and loop.time() < ends:  # what was cleaned is then closed, in a task of its own
            await asyncio.wait(self._tasks, timeout=ends - loop.time())
        late = tuple(self._tasks)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=1)

    async def _close(self, connection: Connection) -> None:
        try:
            await connection.close(timeout=self._config.reset_timeout_s)
        except Exception:  # noqa: BLE001 - it is being thrown away; what remains is to free the socket
            connection.terminate()


async def cancelled(connection: Any, timeout_s: float) -> None:
    """Wait until a statement that was cut short has ended, if there is one.

    The driver has asked the server, over a second connection, to cancel it. Until the server has answered both, the
    next statement would not be sent, or be cancelled in its place. A request that comes before the statement does is
    forgotten by the server, which happens when a call is cancelled right after it was made; so it is repeated once.

    Args:
        connection: an asyncpg connection that is not closed.
        timeout_s: seconds to wait at most.

    Raises:
        TimeoutError: it has not ended in time.
    """
    # There is no public way that does not send something; sent into an aborted transaction, it would be an error.
    ended = connection._protocol._wait_for_cancellation  # noqa: SLF001 - see above
    async with asyncio.timeout(timeout_s):
        try:
            async with asyncio.timeout(timeout_s / 10):
                await ended()
        except TimeoutError:
            connection._cancel_current_command(asyncio.get_running_loop().create_future())  # noqa: SLF001
            await ended()


async def _clean(connection: Connection, *, thoroughly: bool) -> None:
    if connection.is_in_transaction():
        await connection.execute("ROLLBACK")
    if thoroughly:
        await connection.reset()
        if connection.get_reset_query():  # none through a pooler: the session would be somebody else's
            await connection.execute(_FORGET)
