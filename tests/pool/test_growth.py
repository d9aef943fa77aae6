from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from agentmem_store import errors
from tests.pool.tools import agrees, give, one_waiting, take, until

if TYPE_CHECKING:
    from agentmem_store.pool import PoolManager
    from tests.pool.conftest import Opening
    from tests.proxy import Proxy


async def test_the_floor_is_filled_in_the_background(opened: Opening) -> None:
    pool = await opened(min_size=3, max_size=3)
    await until(lambda: pool.stats().idle == 3)
    assert pool.stats().created == 3


async def test_the_floor_is_restored_after_a_death(opened: Opening) -> None:
    pool = await opened(min_size=2, max_size=3)
    await until(lambda: pool.stats().idle == 2)
    lease = await pool.acquire()
    lease.connection.terminate()
    pool.release(lease)
    await until(lambda: pool.stats().idle == 2)
    assert pool.stats().created == 3


async def test_fifty_callers_at_once_open_hardly_any_connection(opened: Opening, hole: tuple[Proxy, str]) -> None:
    """Those who wait take what comes back; the one that is being opened meanwhile is not theirs to wait for."""
    proxy, through = hole
    pool = await opened(through, min_size=1, max_size=50)
    proxy.admits.clear()

    async def work() -> None:
        lease = await pool.acquire()
        await lease.connection.fetchval("SELECT 1")
        pool.release(lease)

    await asyncio.gather(*(work() for _ in range(50)))
    assert (pool.stats().created, pool.stats().opening) == (1, 1)
    proxy.admits.set()
    await until(lambda: pool.stats().opening == 0)
    assert (pool.stats().created, proxy.connections) == (2, 2)


async def test_connections_are_opened_one_after_another(opened: Opening, hole: tuple[Proxy, str]) -> None:
    proxy, through = hole
    pool = await opened(through, min_size=1, max_size=5)
    proxy.admits.clear()
    leases = await take(pool, 1)
    waiting = [await one_waiting(pool) for _ in range(4)]
    await until(lambda: proxy.connections == 2)
    assert pool.stats().opening == 1
    proxy.admits.set()
    leases += await asyncio.gather(*waiting)
    assert (pool.stats().size, pool.stats().in_use) == (5, 5)
    give(pool, leases)


async def test_waiters_hear_that_no_connection_can_be_made(pool: PoolManager) -> None:
    lease = await pool.acquire()
    pool._dsn = "postgresql://nobody@127.0.0.1:1/none"
    lease.connection.terminate()
    pool.release(lease)
    results = await asyncio.gather(pool.acquire(), pool.acquire(), return_exceptions=True)
    assert [type(result) for result in results] == [errors.ConnectError] * 2
    assert results[0] is not results[1]
    assert pool.stats().connect_errors >= 1
    assert agrees(pool)


async def test_while_others_hold_connections_a_failed_one_is_no_error(opened: Opening) -> None:
    pool = await opened(max_size=3)
    lease = await pool.acquire()
    there, pool._dsn = pool._dsn, "postgresql://nobody@127.0.0.1:1/none"
    waiting = await one_waiting(pool)
    await until(lambda: pool.stats().connect_errors == 1)
    pool.release(lease)
    assert await waiting is lease
    pool._dsn = there
    pool.release(lease)


async def test_the_floor_is_tried_again_by_itself(opened: Opening) -> None:
    pool = await opened(min_size=1, max_size=2, keepalive_s=0.1)
    there, pool._dsn = pool._dsn, "postgresql://nobody@127.0.0.1:1/none"
    lease = await pool.acquire()
    lease.connection.terminate()
    pool.release(lease)
    await until(lambda: pool.stats().connect_errors >= 2)
    pool._dsn = there
    await until(lambda: pool.stats().idle == 1)


async def test_a_failure_of_another_kind_is_heard_too(pool: PoolManager, monkeypatch: pytest.MonkeyPatch) -> None:
    async def breaks(*_: object) -> None:
        raise RuntimeError("secret")

    lease = await pool.acquire()
    monkeypatch.setattr("agentmem_store.connect.for_pool", breaks)
    lease.connection.terminate()
    pool.release(lease)
    with pytest.raises(errors.ConnectError, match="RuntimeError") as caught:
        await pool.acquire()
    assert "secret" not in str(caught.value)
