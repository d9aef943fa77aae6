"""No wait is without an end, and a cancelled call ends at once, whatever the network does.

Nothing here measures time: what has to happen at once happens within turns of the event loop, with every deadline far
away; what has to happen in time happens although the network never does anything again.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from agentmem_store import errors
from agentmem_store.config import DEVELOPMENT
from agentmem_store.executor import PoolExecutor
from agentmem_store.pool import PoolManager
from tests.pool.tools import ONE, SLEEP, agrees, cancel, executor_of, fill, turns, until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agentmem_store.executor import ConnectionExecutor
    from tests.pool.conftest import Opening
    from tests.proxy import Proxy

PATIENT = {"command_timeout_s": 600, "cancel_timeout_s": 600, "reset_timeout_s": 600}
BRIEF = {"cancel_timeout_s": 0.05, "reset_timeout_s": 0.05, "close_timeout_s": 5}


async def one_read(executor: PoolExecutor, reached: asyncio.Event) -> None:
    reached.set()
    await executor.fetch(ONE, ())


async def a_statement(inner: ConnectionExecutor) -> None:
    await inner.fetch(ONE, ())


async def a_savepoint(inner: ConnectionExecutor) -> None:
    async with inner.transaction(None, read_only=False) as innermost:
        await innermost.fetch(ONE, ())


async def waits_for_something_else(_inner: ConnectionExecutor) -> None:
    await asyncio.Event().wait()


async def nothing(_inner: ConnectionExecutor) -> None:
    """Leave the block, which commits."""


async def fails(_inner: ConnectionExecutor) -> None:
    """Leave the block with an error, which rolls back."""
    raise LookupError


async def in_the_hole(
    proxy: Proxy, executor: PoolExecutor, work: Callable[[ConnectionExecutor], Awaitable[None]]
) -> asyncio.Task[None]:
    """Begin a transaction, have the network vanish, and start what is to hang."""
    begun = asyncio.Event()

    async def run() -> None:
        async with executor.transaction(None, read_only=False) as inner:
            begun.set()
            proxy.flows.clear()
            await work(inner)

    task = asyncio.create_task(run())
    await begun.wait()
    await turns()
    return task


async def test_a_cancelled_read_returns_at_once(opened: Opening, hole: tuple[Proxy, str]) -> None:
    proxy, through = hole
    pool = await opened(through, max_size=1, **{**PATIENT, "close_timeout_s": 0.05})
    proxy.flows.clear()
    task = asyncio.create_task(executor_of(pool).fetch(ONE, ()))
    await until(lambda: proxy.messages > 0)
    await cancel(task)
    assert (pool.stats().in_use, pool.stats().checking) == (0, 1)


WORK = [a_statement, a_savepoint, waits_for_something_else, nothing, fails]


@pytest.mark.parametrize("work", WORK, ids=lambda work: work.__name__)
async def test_a_cancelled_transaction_returns_at_once(
    opened: Opening, hole: tuple[Proxy, str], work: Callable[[ConnectionExecutor], Awaitable[None]]
) -> None:
    proxy, through = hole
    pool = await opened(through, max_size=1, **{**PATIENT, "close_timeout_s": 0.05})
    task = await in_the_hole(proxy, executor_of(pool), work)
    assert not task.done()
    await cancel(task)
    assert (pool.stats().in_use, pool.stats().checking) == (0, 1)


async def test_the_deadline_of_a_statement_ends_the_call_and_not_its_cleaning(
    opened: Opening, hole: tuple[Proxy, str]
) -> None:
    proxy, through = hole
    pool = await opened(through, max_size=1, **{**PATIENT, "command_timeout_s": 0.1, "close_timeout_s": 0.05})
    executor = executor_of(pool)
    task = await in_the_hole(proxy, executor, a_statement)
    with pytest.raises(errors.StatementTimeout):
        await task
    assert (pool.stats().in_use, pool.stats().checking) == (0, 1)


async def test_what_hangs_in_the_reaper_is_replaced_in_time(opened: Opening, hole: tuple[Proxy, str]) -> None:
    proxy, through = hole
    pool = await opened(through, min_size=1, max_size=1, **BRIEF)
    proxy.flows.clear()
    task = asyncio.create_task(executor_of(pool).fetch(ONE, ()))
    await until(lambda: proxy.messages > 0)
    await cancel(task)
    await until(lambda: pool.stats().closed_by == {"reset_failed": 1})
    assert agrees(pool)
    proxy.flows.set()
    assert [row[0] for row in await executor_of(pool).fetch(ONE, ())] == [1]


async def test_a_session_that_cannot_be_cleaned_in_time_is_replaced(opened: Opening, hole: tuple[Proxy, str]) -> None:
    proxy, through = hole
    pool = await opened(through, max_size=1, **BRIEF)
    async with executor_of(pool).connection() as connection:
        await connection.execute("SET work_mem = '7MB'")
        proxy.flows.clear()
    await until(lambda: pool.stats().closed_by == {"reset_failed": 1})
    proxy.flows.set()


async def test_a_cancelled_statement_that_the_server_ends_keeps_its_connection(opened: Opening) -> None:
    pool = await opened(max_size=1)
    executor = executor_of(pool)
    for _ in range(3):
        task = asyncio.create_task(executor.fetch(SLEEP, ()))
        await until(lambda: pool.stats().in_use == 1)
        await turns()
        await cancel(task)
        await until(lambda: pool.stats().idle == 1)
    assert (pool.stats().created, pool.stats().closed) == (1, 0)


async def test_a_caller_waits_no_longer_than_for_the_acquire_timeout(opened: Opening, hole: tuple[Proxy, str]) -> None:
    proxy, through = hole
    pool = await opened(through, min_size=0, max_size=2, acquire_timeout_s=0.1)
    lease = await pool.acquire()
    proxy.flows.clear()
    with pytest.raises(errors.PoolTimeout):
        await asyncio.create_task(pool.acquire())
    pool.release(lease)


async def test_connecting_has_an_end(hole: tuple[Proxy, str]) -> None:
    proxy, through = hole
    proxy.flows.clear()
    with pytest.raises(errors.ConnectError, match="no answer in time"):
        await PoolManager(through, DEVELOPMENT.with_(connect_timeout_s=0.1)).open()


async def close_in_the_hole(hole: tuple[Proxy, str], hold: bool, **changes: Any) -> PoolManager:
    """Close a pool whose connections cannot be reached any more."""
    proxy, through = hole
    pool = PoolManager(through, DEVELOPMENT.with_(max_size=3, **changes))
    await pool.open()
    leases = await fill(pool, 3)
    if hold:
        leases = [await pool.acquire()]
    proxy.flows.clear()
    async with asyncio.timeout(10):
        await pool.close()
    assert all(lease.connection.is_closed() for lease in leases)
    return pool


@pytest.mark.parametrize("hold", [False, True], ids=["idle", "lent"])
async def test_closing_has_an_end(hole: tuple[Proxy, str], hold: bool) -> None:
    pool = await close_in_the_hole(hole, hold, close_timeout_s=0.1)
    assert (pool.stats().size, pool.stats().closed_by) == (0, {"pool_closed": 3})


async def test_closing_waits_for_what_comes_back_in_time(opened: Opening) -> None:
    pool = await opened(max_size=1)
    lease = await pool.acquire()
    closing = asyncio.create_task(pool.close())
    await turns()
    assert await lease.connection.fetchval("SELECT 1") == 1
    pool.release(lease)
    await closing
    assert lease.connection.is_closed()


async def test_closing_ends_what_does_not_come_back(opened: Opening) -> None:
    pool = await opened(close_timeout_s=0.01)
    lease = await pool.acquire()
    await pool.close()
    assert lease.connection.is_closed()
    pool.release(lease)
    assert (pool.stats().size, pool.stats().in_use) == (0, 0)
    assert agrees(pool)


async def test_what_is_being_cleaned_when_the_close_is_cancelled_is_counted_once(
    opened: Opening, hole: tuple[Proxy, str]
) -> None:
    proxy, through = hole
    pool = await opened(through, max_size=1)
    lease = await pool.acquire()
    lease.dirty = True
    proxy.flows.clear()
    pool.release(lease)
    closing = asyncio.create_task(pool.close())
    await turns()
    await cancel(closing)
    await turns()
    assert pool.stats().closed_by == {"pool_closed": 1}
    assert agrees(pool)


async def test_a_cancelled_close_leaves_nothing_open(opened: Opening) -> None:
    pool = await opened(max_size=3)
    leases = await fill(pool, 3)
    held = await pool.acquire()
    closing = asyncio.create_task(pool.close())
    await turns()
    await cancel(closing)
    assert pool.stats().size == 0
    await until(lambda: all(lease.connection.is_closed() for lease in [held, *leases]))
