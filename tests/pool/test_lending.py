from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING

import pytest

from agentmem_store import errors
from agentmem_store.database import Database
from agentmem_store.models.agents import NewAgent
from agentmem_store.models.organizations import NewOrganization
from agentmem_store.pool import PoolManager
from agentmem_store.repositories import agents, organizations
from tests.pool.tools import agrees, fill, give, one_waiting, take, turns, until

if TYPE_CHECKING:
    from agentmem_store.pool import Lease
    from tests.pool.conftest import Opening


async def test_pool_manager(opened: Opening) -> None:
    pool = await opened(min_size=2, max_size=2, acquire_timeout_s=0.05)
    await until(lambda: pool.stats().idle == 2)
    first, second = await take(pool, 2)
    assert await first.connection.fetchval("SELECT 1") == 1
    assert (pool.stats().in_use, pool.stats().utilization) == (2, 1.0)

    with pytest.raises(errors.PoolTimeout) as caught:
        await asyncio.create_task(pool.acquire())
    assert (caught.value.size, caught.value.in_use, caught.value.waiting) == (2, 2, 1)
    assert (pool.stats().timeouts, pool.stats().waiting) == (1, 0)

    pool.release(first)
    assert await pool.acquire() is first
    give(pool, [first, second])
    assert (pool.stats().idle, pool.stats().in_use) == (2, 0)


async def test_waiters_are_served_first_come_first_served(pool: PoolManager) -> None:
    leases = await take(pool, 2)
    waiting = [await one_waiting(pool) for _ in range(2)]
    pool.release(leases[0])
    assert await waiting[0] is leases[0]
    assert not waiting[1].done()
    pool.release(leases[1])
    assert await waiting[1] is leases[1]
    give(pool, leases)


async def test_who_gives_one_back_and_asks_again_is_served_after_those_who_wait(pool: PoolManager) -> None:
    leases = await take(pool, 2)
    waiting = await one_waiting(pool)
    pool.release(leases[0])
    again = await one_waiting(pool)
    assert await waiting is leases[0]
    assert not again.done()
    give(pool, leases)
    pool.release(await again)


async def test_of_the_idle_ones_the_last_used_is_lent_first(opened: Opening) -> None:
    pool = await opened(max_size=3)
    leases = await fill(pool, 3)
    assert [await pool.acquire() for _ in leases] == leases[::-1]
    give(pool, leases)


async def test_a_waiter_cancelled_as_it_is_served_gives_the_connection_back(pool: PoolManager) -> None:
    leases = await take(pool, 2)
    waiting = await one_waiting(pool)
    pool.release(leases[0])
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await pool.acquire() is leases[0]
    give(pool, leases)


async def test_a_cancelled_waiter_is_passed_over(pool: PoolManager) -> None:
    leases = await take(pool, 2)
    gone, stays = await one_waiting(pool), await one_waiting(pool)
    gone.cancel()
    pool.release(leases[0])
    assert await stays is leases[0]
    give(pool, leases)


async def test_a_cancelled_waiter_leaves_the_line(pool: PoolManager) -> None:
    leases = await take(pool, 2)
    gone = await one_waiting(pool)
    gone.cancel()
    await turns()
    assert pool.stats().waiting == 0
    give(pool, leases)


async def test_giving_one_back_twice_does_no_harm(pool: PoolManager) -> None:
    lease = await pool.acquire()
    give(pool, [lease, lease])
    assert pool.stats().idle == 1


async def test_each_waiter_waits_its_own_time(opened: Opening) -> None:
    """One alarm serves all: it is set anew for each who has come after the first."""
    pool = await opened(max_size=1, acquire_timeout_s=0.5)
    lease = await pool.acquire()
    early = await one_waiting(pool)
    await until(early.done)
    late = [await one_waiting(pool) for _ in range(2)]
    results = await asyncio.gather(early, *late, return_exceptions=True)
    assert [type(result) for result in results] == [errors.PoolTimeout] * 3
    assert pool.stats().timeouts == 3
    pool.release(lease)


async def test_beyond_max_waiting_a_caller_is_refused_at_once(opened: Opening) -> None:
    pool = await opened(max_size=1, max_waiting=2)
    lease = await pool.acquire()
    waiting = [await one_waiting(pool) for _ in range(2)]
    with pytest.raises(errors.PoolFull) as caught:
        await asyncio.create_task(pool.acquire())
    assert (caught.value.size, caught.value.in_use, caught.value.waiting) == (1, 1, 2)
    assert caught.value.retryable
    assert pool.stats().full == 1
    for task in waiting:
        pool.release(lease)
        lease = await task
    pool.release(lease)


async def test_a_thousand_may_wait_for_each_connection(opened: Opening) -> None:
    pool = await opened(max_size=2)
    leases = await take(pool, 2)
    waiting = [asyncio.create_task(pool.acquire()) for _ in range(2000)]
    await until(lambda: pool.stats().waiting == 2000)
    with pytest.raises(errors.PoolFull):
        await asyncio.create_task(pool.acquire())
    for task in reversed(waiting):
        task.cancel()
    await asyncio.wait(waiting)
    assert pool.stats().waiting == 0
    give(pool, leases)


async def test_a_plain_gather_of_thousands_is_served(dsn: str) -> None:
    async with Database(dsn) as db:
        scope = db.tenant((await organizations.create(db, NewOrganization(name="x"))).id)
        agent = await agents.create(scope, NewAgent(name="planner"))
        found = await asyncio.gather(*(agents.get(scope, agent.id) for _ in range(3000)))
        assert {each.id for each in found} == {agent.id}
        assert (db.stats().full, db.stats().timeouts) == (0, 0)


async def test_while_the_pool_can_grow_nobody_is_refused(opened: Opening) -> None:
    pool = await opened(max_size=3, max_waiting=0)
    leases = await asyncio.gather(*(pool.acquire() for _ in range(3)))
    with pytest.raises(errors.PoolFull):
        await asyncio.create_task(pool.acquire())
    give(pool, list(leases))


async def test_draining_replaces_every_connection_without_disturbing_anyone(opened: Opening) -> None:
    pool = await opened(min_size=1, max_size=3)
    lent, *idle = await take(pool, 3)
    give(pool, idle)
    pool.drain()
    assert await lent.connection.fetchval("SELECT 1") == 1
    pool.release(lent)
    assert pool.stats().closed_by == {"drained": 3}
    fresh = await pool.acquire()
    assert fresh not in {lent, *idle}
    pool.release(fresh)


async def test_a_closed_pool_says_so(pool: PoolManager) -> None:
    await pool.close()
    await pool.close()
    with pytest.raises(errors.PoolClosed):
        await pool.acquire()
    assert pool.stats().size == 0


async def test_a_closed_pool_can_be_opened_again(pool: PoolManager) -> None:
    await pool.close()
    await pool.open()
    lease = await pool.acquire()
    assert await lease.connection.fetchval("SELECT 1") == 1
    pool.release(lease)
    assert agrees(pool)


async def test_closing_tells_those_who_wait(pool: PoolManager) -> None:
    leases = await take(pool, 2)
    waiting = await one_waiting(pool)
    closing = asyncio.create_task(pool.close())
    with pytest.raises(errors.PoolClosed):
        await waiting
    give(pool, leases)
    await closing
    assert pool.stats().size == 0


async def test_opening_twice_is_refused(pool: PoolManager) -> None:
    with pytest.raises(errors.UsageError, match="open already"):
        await pool.open()


async def test_a_server_that_is_not_there_fails_at_open() -> None:
    from agentmem_store.config import DEVELOPMENT

    pool = PoolManager("postgresql://nobody@127.0.0.1:1/none", DEVELOPMENT)
    with pytest.raises(errors.ConnectError, match=r"127\.0\.0\.1:1/none"):
        await pool.open()
    with pytest.raises(errors.PoolClosed):
        await pool.acquire()


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


async def test_everyone_gets_a_turn(opened: Opening) -> None:
    """Of many who ask again and again, none is served twice as often as another."""
    pool = await opened(max_size=2)
    await fill(pool, 2)
    served = dict.fromkeys(range(20), 0)
    ends = asyncio.Event()

    async def work(number: int) -> None:
        while not ends.is_set():
            lease: Lease = await pool.acquire()
            await asyncio.sleep(0)
            pool.release(lease)
            served[number] += 1

    tasks = [asyncio.create_task(work(number)) for number in served]
    await until(lambda: sum(served.values()) >= 400)
    ends.set()
    await asyncio.gather(*tasks)
    assert max(served.values()) - min(served.values()) <= 1
