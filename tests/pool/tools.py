"""What tests of the pool do again and again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from agentmem_store import connect
from agentmem_store.executor import PoolExecutor
from agentmem_store.query import Query
from agentmem_store.telemetry import Observer

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentmem_store.pool import Lease, PoolManager

ONE = Query("test.one", int, "SELECT 1")
SLEEP = Query("test.sleep", str, "SELECT pg_sleep(60)::TEXT")

_KILL_OTHERS = """
    SELECT count(pg_terminate_backend(pid))
    FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'agentmem_store' AND pid <> pg_backend_pid()
"""


def executor_of(pool: PoolManager) -> PoolExecutor:
    """What runs statements on a pool; none is slow to it."""
    return PoolExecutor(pool, Observer(slow_query_ms=60_000))


async def until(condition: Callable[[], object]) -> None:
    """Let other tasks run until something has come about."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.001)


async def turns(number: int = 10) -> None:
    """Let other tasks run for as long as it takes without waiting for anything outside."""
    for _ in range(number):
        await asyncio.sleep(0)


async def take(pool: PoolManager, number: int) -> list[Lease]:
    return [await pool.acquire() for _ in range(number)]


def give(pool: PoolManager, leases: list[Lease]) -> None:
    for lease in leases:
        pool.release(lease)


async def fill(pool: PoolManager, number: int) -> list[Lease]:
    """Have a pool open so many connections, idle all."""
    leases = await take(pool, number)
    give(pool, leases)
    return leases


async def one_waiting(pool: PoolManager) -> asyncio.Task[Lease]:
    """Start a task that waits for a connection, and return once it waits."""
    before = pool.stats().waiting
    task = asyncio.create_task(pool.acquire())
    await until(lambda: pool.stats().waiting > before)
    return task


async def kill_all(dsn: str) -> None:
    """End every other session of the database, as an administrator would."""
    assassin = await connect.connect(dsn)
    await assassin.execute(_KILL_OTHERS)
    await assassin.close()


def agrees(pool: PoolManager) -> bool:
    """Whether the counters of a pool agree with each other; they do at any time."""
    stats = pool.stats()
    return (
        stats.created - stats.closed == stats.size == stats.idle + stats.in_use + stats.checking
        and stats.size + stats.opening <= stats.max_size
        and stats.acquired == stats.wait.count
        and stats.acquired - stats.in_use == stats.use.count
        and stats.closed == sum(stats.closed_by.values())
    )


async def cancel(task: asyncio.Task[Any]) -> None:
    """Cancel a task that returns at once, whatever the network does."""
    task.cancel()
    await turns()
    assert task.cancelled()
