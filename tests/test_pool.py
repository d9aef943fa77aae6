from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING

import pytest

from agentmem_store import errors
from agentmem_store.config import DEVELOPMENT
from agentmem_store.pool import PoolManager

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from agentmem_store.pool import Lease

SMALL = DEVELOPMENT.with_(min_size=1, max_size=2, acquire_timeout_s=0.05, close_timeout_s=5)


@pytest.fixture
async def pool(shared: str) -> AsyncIterator[PoolManager]:
    pool = PoolManager(shared, SMALL)
    await pool.open()
    yield pool
    await pool.close()


async def take_all(pool: PoolManager) -> list[Lease]:
    return [await pool.acquire() for _ in range(SMALL.max_size)]


async def one_waiting(pool: PoolManager) -> asyncio.Task[Lease]:
    """Start a task that waits for a connection, and return once it waits."""
    before = pool.stats().waiting
    task = asyncio.create_task(pool.acquire())
    while pool.stats().waiting == before:
        await asyncio.sleep(0)
    return task


async def test_pool_manager(pool: PoolManager) -> None:
    first, second = await take_all(pool)
    assert await first.connection.fetchval("SELECT 1") == 1
    assert (pool.stats().in_use, pool.stats().utilization) == (2, 1.0)

    with pytest.raises(errors.PoolTimeout) as caught:
        await pool.acquire()
    assert (caught.value.size, caught.value.in_use, caught.value.waiting) == (2, 2, 1)
    assert (pool.stats().timeouts, pool.stats().waiting) == (1, 0)

    pool.release(first)
    assert await pool.acquire() is first
    pool.release(first)
    pool.release(second)
    assert (pool.stats().idle, pool.stats().in_use) == (2, 0)


async def test_waiters_are_served_first_come_first_served(pool: PoolManager) -> None:
    leases = await take_all(pool)
    waiting = [await one_waiting(pool) for _ in range(2)]
    pool.release(leases[0])
    assert await waiting[0] is leases[0]
    assert not waiting[1].done()
    pool.release(leases[1])
    assert await waiting[1] is leases[1]
    for lease in leases:
        pool.release(lease)


async def test_a_waiter_cancelled_as_it_is_served_gives_the_connection_back(pool: PoolManager) -> None:
    leases = await take_all(pool)
    waiting = await one_waiting(pool)
    pool.release(leases[0])
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await pool.acquire() is leases[0]
    for lease in leases:
        pool.release(lease)


async def test_a_cancelled_waiter_is_passed_over(pool: PoolManager) -> None:
    leases = await take_all(pool)
    gone, stays = await one_waiting(pool), await one_waiting(pool)
    gone.cancel()
    pool.release(leases[0])
    assert await stays is leases[0]
    for lease in leases:
        pool.release(lease)


async def test_a_dead_connection_is_replaced(pool: PoolManager) -> None:
    lease = await pool.acquire()
    lease.connection.terminate()
    pool.release(lease)
    fresh = await pool.acquire()
    assert fresh is not lease
    assert await fresh.connection.fetchval("SELECT 1") == 1
    pool.release(fresh)
    assert pool.stats().closed == 1


async def test_a_connection_that_died_while_idle_is_not_lent(pool: PoolManager) -> None:
    lease = await pool.acquire()
    pool.release(lease)
    lease.connection.terminate()
    fresh = await pool.acquire()
    assert await fresh.connection.fetchval("SELECT 1") == 1
    pool.release(fresh)


async def test_an_old_connection_is_not_kept(shared: str) -> None:
    pool = PoolManager(shared, SMALL.with_(max_lifetime_s=1e-6))
    await pool.open()
    lease = await pool.acquire()
    pool.release(lease)
    assert pool.stats().closed == 1
    await pool.close()


async def test_a_dirty_session_is_reset_before_it_is_lent_again(shared: str) -> None:
    pool = PoolManager(shared, SMALL.with_(max_size=1, acquire_timeout_s=5))
    await pool.open()
    lease = await pool.acquire()
    await lease.connection.execute("SET work_mem = '7MB'")
    await lease.connection.execute("BEGIN")
    lease.dirty = True
    pool.release(lease)
    again = await pool.acquire()
    assert again is lease
    assert not again.connection.is_in_transaction()
    assert await again.connection.fetchval("SHOW work_mem") != "7MB"
    pool.release(again)
    await pool.close()


async def test_a_clean_release_costs_nothing_on_the_wire(pool: PoolManager) -> None:
    lease = await pool.acquire()
    pid = lease.connection.get_server_pid()
    pool.release(lease)
    again = await pool.acquire()
    seen = await again.connection.fetchval("SELECT query FROM pg_stat_activity WHERE pid = $1", pid)
    assert "pg_stat_activity" in seen
    pool.release(again)


async def test_counters_agree(pool: PoolManager) -> None:
    leases = await take_all(pool)
    leases[0].connection.terminate()
    for lease in leases:
        pool.release(lease)
    stats = pool.stats()
    assert stats.created - stats.closed == stats.idle + stats.in_use
    assert stats.acquired == 2


async def test_the_floor_is_filled_in_the_background(shared: str) -> None:
    pool = PoolManager(shared, DEVELOPMENT.with_(min_size=3, max_size=3))
    await pool.open()
    leases = [await pool.acquire() for _ in range(3)]
    assert pool.stats().created == 3
    for lease in leases:
        pool.release(lease)
    await pool.close()


async def test_a_closed_pool_says_so(pool: PoolManager) -> None:
    await pool.close()
    await pool.close()
    with pytest.raises(errors.PoolClosed):
        await pool.acquire()


async def test_closing_tells_those_who_wait(pool: PoolManager) -> None:
    leases = await take_all(pool)
    waiting = await one_waiting(pool)
    closing = asyncio.create_task(pool.close())
    with pytest.raises(errors.PoolClosed):
        await waiting
    for lease in leases:
        pool.release(lease)
    await closing
    assert pool.stats().size == 0


async def test_closing_ends_what_does_not_come_back(shared: str) -> None:
    pool = PoolManager(shared, SMALL.with_(close_timeout_s=0.01))
    await pool.open()
    lease = await pool.acquire()
    await pool.close()
    assert lease.connection.is_closed()
    pool.release(lease)
    assert pool.stats().size == 0


async def test_opening_twice_is_refused(pool: PoolManager) -> None:
    with pytest.raises(errors.UsageError, match="open already"):
        await pool.open()


async def test_a_server_that_is_not_there_fails_at_open(shared: str) -> None:
    pool = PoolManager("postgresql://nobody@127.0.0.1:1/none", SMALL)
    with pytest.raises(errors.ConnectError, match=r"127\.0\.0\.1:1/none"):
        await pool.open()
    with pytest.raises(errors.PoolClosed):
        await pool.acquire()


async def test_waiters_hear_that_no_connection_can_be_made(pool: PoolManager) -> None:
    lease = await pool.acquire()
    pool._dsn = "postgresql://nobody@127.0.0.1:1/none"
    lease.connection.terminate()
    pool.release(lease)
    with pytest.raises(errors.ConnectError):
        await pool.acquire()
    assert pool.stats().connect_errors == 1


async def test_use_from_another_loop_is_refused(pool: PoolManager) -> None:
    caught: list[BaseException] = []

    def elsewhere() -> None:
        try:
            asyncio.run(pool.acquire())
        except errors.UsageError as error:
            caught.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    await asyncio.to_thread(thread.join)
    assert "another event loop" in str(caught[0])


async def test_use_after_a_fork_is_refused(pool: PoolManager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getpid", lambda: 1)
    with pytest.raises(errors.UsageError, match="fork"):
        await pool.acquire()
    monkeypatch.undo()
