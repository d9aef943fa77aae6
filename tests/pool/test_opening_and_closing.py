"""Opening and closing in each other's way: nothing is left open, nobody is left waiting."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from agentmem_store import errors
from agentmem_store.config import DEVELOPMENT
from agentmem_store.database import Database
from agentmem_store.executor import PoolExecutor
from agentmem_store.models.agents import NewAgent
from agentmem_store.models.organizations import NewOrganization
from agentmem_store.pool import PoolManager
from agentmem_store.repositories import agents, organizations
from agentmem_store.telemetry import Observer
from tests.pool.tools import agrees, cancel, fill, one_waiting, turns, until

if TYPE_CHECKING:
    from tests.pool.conftest import Opening
    from tests.proxy import Proxy


def reaping() -> set[str]:
    return {task.get_name() for task in asyncio.all_tasks()} & {"agentmem-pool-reaper", "agentmem-pool-grower"}


async def test_closing_waits_for_what_cleaning_leaves_to_be_closed(opened: Opening) -> None:
    pool = await opened(max_size=1)
    async with PoolExecutor(pool, Observer(slow_query_ms=60_000)).connection() as connection:
        await connection.execute("SET work_mem = '7MB'")
    assert pool.stats().checking == 1
    await pool.close()
    assert reaping() == set()
    assert connection.is_closed()


async def test_who_closes_second_returns_when_all_is_closed(opened: Opening) -> None:
    pool = await opened(max_size=1)
    lease = await pool.acquire()
    closing = [asyncio.create_task(pool.close()) for _ in range(2)]
    await turns()
    assert [task.done() for task in closing] == [False, False]
    pool.release(lease)
    await asyncio.gather(*closing)
    assert lease.connection.is_closed()


async def test_opening_while_a_close_is_under_way_comes_after_it(opened: Opening) -> None:
    pool = await opened(max_size=1)
    lease = await pool.acquire()
    closing = asyncio.create_task(pool.close())
    await turns()
    opening = asyncio.create_task(pool.open())
    await turns()
    pool.release(lease)
    await asyncio.gather(closing, opening)
    again = await pool.acquire()
    assert again is not lease
    assert await again.connection.fetchval("SELECT 1") == 1
    pool.release(again)
    assert agrees(pool)


async def test_a_pool_that_is_closed_while_it_opens_stays_closed(hole: tuple[Proxy, str]) -> None:
    proxy, through = hole
    pool = PoolManager(through, DEVELOPMENT)
    proxy.admits.clear()
    opening = asyncio.create_task(pool.open())
    await until(lambda: proxy.connections == 1)
    await pool.close()
    proxy.admits.set()
    with pytest.raises(errors.PoolClosed):
        await opening
    await until(lambda: not reaping())
    assert (pool.stats().size, pool._rounds._timer) == (0, None)


async def test_who_waits_for_a_pool_that_cannot_be_opened_hears_of_it(hole: tuple[Proxy, str]) -> None:
    proxy, through = hole
    pool = PoolManager(through, DEVELOPMENT)
    proxy.admits.clear()
    opening = asyncio.create_task(pool.open())
    await until(lambda: proxy.connections == 1)
    waiting = await one_waiting(pool)
    opening.cancel()
    with pytest.raises(errors.PoolClosed):
        await waiting
    await asyncio.wait([opening])
    assert pool.stats().size == 0


def test_a_pool_can_be_closed_in_one_loop_and_opened_in_another(shared: str) -> None:
    pool = PoolManager(shared, DEVELOPMENT.with_(max_size=1))

    async def use() -> None:
        await pool.open()
        lease = await pool.acquire()
        closing = [asyncio.create_task(pool.close()) for _ in range(2)]
        await turns()
        pool.release(lease)
        await asyncio.gather(*closing)

    asyncio.run(use())
    asyncio.run(use())
    assert pool.stats().closed_by == {"pool_closed": 2}


async def test_a_forked_process_cannot_close_what_its_parent_uses(
    pool: PoolManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would end the parent's sessions: both hold the same sockets."""
    (lease,) = await fill(pool, 1)
    monkeypatch.setattr(os, "getpid", lambda: 1)
    with pytest.raises(errors.UsageError, match="fork"):
        await pool.close()
    monkeypatch.undo()
    assert await pool.acquire() is lease
    assert await lease.connection.fetchval("SELECT 1") == 1
    pool.release(lease)


async def test_a_connection_that_was_in_the_making_is_drained_too(opened: Opening, hole: tuple[Proxy, str]) -> None:
    proxy, through = hole
    pool = await opened(through, min_size=1, max_size=2)
    lease = await pool.acquire()
    proxy.admits.clear()
    waiting = await one_waiting(pool)
    await until(lambda: proxy.connections == 2)
    pool.drain()
    proxy.admits.set()
    pool.release(lease)
    pool.release(await waiting)
    await until(lambda: pool.stats().opening == 0)
    assert pool.stats().closed_by == {"drained": 2}


async def test_a_database_opened_twice_at_once_is_opened_once(dsn: str) -> None:
    db = Database(dsn, DEVELOPMENT)
    results = await asyncio.gather(db.open(), db.open(), return_exceptions=True)
    assert [type(result) for result in results] == [type(None), errors.UsageError]
    await db.close()
    assert (db.stats().size, reaping()) == (0, set())


async def test_a_scope_is_a_value_made_before_opening_or_before_opening_again(dsn: str) -> None:
    db = Database(dsn, DEVELOPMENT)
    organization = NewOrganization(name="x")
    scope = db.tenant(organization.id)
    for name in ("a", "b"):
        async with db:
            await organizations.create(db, organization)
            await agents.create(scope, NewAgent(name=name))
    async with db:
        assert await agents.count(scope) == 2


async def test_a_call_that_is_dropped_while_it_waits_is_lent_nothing(opened: Opening) -> None:
    """A coroutine that nobody awaits any more is closed, not cancelled."""
    pool = await opened(max_size=1)
    lease = await asyncio.create_task(pool.acquire())
    waiting = pool.acquire()
    waiting.send(None)
    waiting.close()
    pool.release(lease)
    assert await pool.acquire() is lease
    pool.release(lease)


async def test_a_cancelled_opening_can_be_repeated(hole: tuple[Proxy, str]) -> None:
    proxy, through = hole
    pool = PoolManager(through, DEVELOPMENT)
    proxy.admits.clear()
    opening = asyncio.create_task(pool.open())
    await until(lambda: proxy.connections == 1)
    await cancel(opening)
    proxy.admits.set()
    await pool.open()
    await pool.close()
    assert pool.stats().closed_by == {"pool_closed": 1}
