from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from structlog.testing import capture_logs

from agentmem_store import errors
from tests.pool.tools import ONE, agrees, executor_of, give, one_waiting, take, until

if TYPE_CHECKING:
    from tests.pool.conftest import Opening


async def test_one_not_given_back_is_logged_once_with_its_holder_and_again_when_it_returns(opened: Opening) -> None:
    pool = await opened(leak_after_s=0.05)
    ends = asyncio.Event()

    async def forgetful() -> None:
        async with executor_of(pool).connection():
            await ends.wait()

    with capture_logs() as logs:
        task = asyncio.create_task(forgetful(), name="forgetful")
        await until(lambda: pool.stats().leaks == 1)
        pool._look_after()
        ends.set()
        await task
    assert pool.stats().leaks_returned == 1
    assert [log.pop("held_s") >= 0.05 for log in logs] == [True, True]
    place = logs[0]["caller"]
    assert place.partition(":")[0] == __name__
    said: dict[str, Any] = {"task": "forgetful", "caller": place}
    assert logs == [
        {"event": "agentmem.pool.leak", "log_level": "warning", **said},
        {"event": "agentmem.pool.leak_returned", "log_level": "info", **said},
    ]


async def test_a_transaction_that_stays_open_is_found_too(opened: Opening) -> None:
    pool = await opened(leak_after_s=0.02)
    with capture_logs() as logs:
        async with executor_of(pool).transaction(None, read_only=False):
            await until(lambda: pool.stats().leaks == 1)
    assert [log["caller"].partition(":")[0] for log in logs] == [__name__] * 2


async def test_without_a_threshold_nothing_is_logged(opened: Opening) -> None:
    pool = await opened(leak_after_s=None)
    lease = await pool.acquire()
    lease.lent_at -= 1e6
    with capture_logs() as logs:
        pool._look_after()
        pool.release(lease)
    assert logs == []
    assert (pool.stats().leaks, pool.stats().leaks_returned) == (0, 0)


async def test_a_task_that_holds_the_last_one_and_wants_another_hears_so_at_once(opened: Opening) -> None:
    pool = await opened(max_size=1, acquire_timeout_s=600)
    executor = executor_of(pool)
    with pytest.raises(errors.PoolDeadlock, match="holds a connection and waits for another"):
        async with executor.transaction(None, read_only=False):
            await executor.fetch(ONE, ())
    assert pool.stats().deadlocks == 1
    assert [row[0] for row in await executor.fetch(ONE, ())] == [1]


async def test_the_last_of_a_ring_of_tasks_hears_so_and_the_others_are_served(opened: Opening) -> None:
    pool = await opened(max_size=3, acquire_timeout_s=600)
    executor = executor_of(pool)
    all_hold = asyncio.Barrier(3)

    async def greedy() -> None:
        async with executor.transaction(None, read_only=False):
            await all_hold.wait()
            await executor.fetch(ONE, ())

    results = await asyncio.gather(*(greedy() for _ in range(3)), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["NoneType", "NoneType", "PoolDeadlock"]
    assert agrees(pool)


async def test_while_anyone_else_may_give_one_back_there_is_hope(opened: Opening) -> None:
    pool = await opened(max_size=2, acquire_timeout_s=600)
    other = await pool.acquire()
    got = asyncio.Event()

    async def greedy() -> None:
        leases = await take(pool, 2)
        got.set()
        give(pool, leases)

    task = asyncio.create_task(greedy())
    await until(lambda: pool.stats().waiting == 1)
    pool.release(other)
    await task
    assert got.is_set()


async def test_a_task_that_holds_none_only_waits(opened: Opening) -> None:
    pool = await opened(max_size=1, acquire_timeout_s=600)
    lease = await pool.acquire()
    waiting = await one_waiting(pool)
    pool.release(lease)
    pool.release(await waiting)
    assert pool.stats().deadlocks == 0


async def test_a_logging_that_fails_costs_no_connection(opened: Opening, caplog: pytest.LogCaptureFixture) -> None:
    def broken(*_: object) -> Any:
        raise ValueError("I/O operation on closed file")

    pool = await opened(max_size=1, leak_after_s=0.001)
    lease = await pool.acquire()
    before = structlog.get_config()
    structlog.configure(processors=[broken])
    try:
        await until(lambda: pool.stats().leaks == 1)
        pool.release(lease)
    finally:
        structlog.configure(**before)
    assert (pool.stats().leaks_returned, pool.stats().idle) == (1, 1)
    assert [record.message.partition("\n")[0] for record in caplog.records] == [
        "agentmem.pool.leak could not be logged", "agentmem.pool.leak_returned could not be logged",
    ]  # fmt: skip
