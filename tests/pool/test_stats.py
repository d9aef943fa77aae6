from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from agentmem_store import errors
from agentmem_store.config import DEVELOPMENT
from agentmem_store.database import Database
from agentmem_store.executor import PoolExecutor
from agentmem_store.query import Query
from agentmem_store.repositories import organizations
from agentmem_store.telemetry import Observer
from tests.pool.tools import ONE, SLEEP, agrees, cancel, fill, give, one_waiting, take, until

if TYPE_CHECKING:
    from tests.pool.conftest import Opening


async def test_counters_agree_whatever_happens(opened: Opening) -> None:
    pool = await opened(max_size=3)
    assert agrees(pool)
    leases = await take(pool, 3)
    waiting = await one_waiting(pool)
    assert agrees(pool)
    leases[0].connection.terminate()
    leases[1].dirty = True
    give(pool, leases)
    assert agrees(pool)
    pool.release(await waiting)
    await until(lambda: pool.stats().checking == 0)
    assert agrees(pool)
    await pool.close()
    assert agrees(pool)
    assert pool.stats().size == 0


async def test_times_are_recorded(opened: Opening) -> None:
    pool = await opened(max_size=1)
    lease = await pool.acquire()
    waiting = await one_waiting(pool)
    await asyncio.sleep(0.02)
    pool.release(lease)
    pool.release(await waiting)
    stats = pool.stats()
    assert (stats.wait.count, stats.use.count, stats.connect.count) == (2, 2, 1)
    assert stats.wait.min == 0
    assert stats.wait.max >= 0.02
    assert stats.use.max >= 0.02
    assert stats.connect.min > 0


async def test_every_closed_connection_has_its_reason(opened: Opening) -> None:
    pool = await opened(min_size=0, max_size=4)
    leases = await fill(pool, 4)
    leases[0].expire("lifetime")
    pool._look_after()
    pool.drain()
    await fill(pool, 2)
    await pool.close()
    assert pool.stats().closed_by == {"lifetime": 1, "drained": 3, "pool_closed": pool.stats().closed - 4}
    assert agrees(pool)


async def test_stats_do_not_change_once_taken(opened: Opening) -> None:
    pool = await opened()
    before = pool.stats()
    pool.release(await pool.acquire())
    pool.drain()
    assert (before.acquired, before.wait.count, dict(before.closed_by)) == (0, 0, {})
    with pytest.raises(AttributeError):
        before.size = 5  # type: ignore[misc]


async def test_a_database_shows_the_pool_beside_its_statements(dsn: str) -> None:
    async with Database(dsn, DEVELOPMENT) as db:
        await organizations.count(db)
        stats = db.stats()
    assert stats.acquired == stats.wait.count >= 1
    assert stats.utilization == 0


async def test_every_statement_that_started_ended_somehow(opened: Opening) -> None:
    pool = await opened(min_size=2, max_size=2, acquire_timeout_s=0.05)
    await until(lambda: pool.stats().idle == 2)
    observer = Observer(slow_query_ms=60_000)
    executor = PoolExecutor(pool, observer)
    broken = Query("test.broken", int, "SELECT 1 / 0")
    await executor.fetch(ONE, ())
    with pytest.raises(errors.DatabaseError):
        await executor.fetch(broken, ())
    tasks = [asyncio.create_task(executor.fetch(SLEEP, ())) for _ in range(2)]
    await until(lambda: pool.stats().in_use == 2)
    with pytest.raises(errors.PoolTimeout):
        await executor.fetch(ONE, ())
    for task in tasks:
        await cancel(task)
    async with executor.transaction(None, read_only=False) as inner:
        await inner.fetch(ONE, ())
        async for _ in inner.stream(Query("test.stream", int, "SELECT generate_series(1, 250)"), ()):
            pass
    stats = observer.statements()
    assert (stats.started, stats.ok, stats.failed, stats.cancelled, stats.running) == (7, 3, 2, 2, 0)
    assert dict(stats.timeouts) == {"acquire": 1}
