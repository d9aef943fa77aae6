"""Statements that are sent past the driver's `fetch`, and their time limit, which one timer keeps for a whole pool."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from agentmem_store import errors
from agentmem_store.executor.sending import Deadline, Deadlines, send
from agentmem_store.query import Query
from tests.pool.tools import ONE, SLEEP, agrees, executor_of, kill_all, turns, until

if TYPE_CHECKING:
    from agentmem_store.pool import PoolManager
    from tests.pool.conftest import Opening

SLEEPING = Query("test.sleeping", int, "SELECT count(*) FROM pg_stat_activity WHERE query = $1 AND state = 'active'")
CHANGING = Query("test.changing", Any, "SELECT * FROM public.changing")


async def run(pool: PoolManager, statement: str) -> None:
    async with executor_of(pool).connection() as connection:
        await connection.execute(statement)


async def test_a_late_statement_is_ended_here_and_on_the_server(opened: Opening, pool: PoolManager) -> None:
    hasty = await opened(min_size=1, max_size=1, command_timeout_s=0.5)
    with pytest.raises(errors.StatementTimeout) as caught:
        await executor_of(hasty).fetch(SLEEP, ())
    assert caught.value.query == "test.sleep"
    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]
    await until(lambda: hasty.stats().checking == 0)
    assert [row[0] for row in await executor_of(pool).fetch(SLEEPING, (SLEEP.text,))] == [0]
    assert agrees(hasty)


async def test_a_table_that_changed_is_read_again(pool: PoolManager) -> None:
    """The server refuses the prepared statement, whose columns are other ones by now."""
    await run(pool, "CREATE TABLE public.changing (a) AS SELECT 1")
    try:
        executor = executor_of(pool)
        assert [tuple(row) for row in await executor.fetch(CHANGING, ())] == [(1,)]
        await run(pool, "ALTER TABLE public.changing ADD b text DEFAULT 'new'")
        assert [tuple(row) for row in await executor.fetch(CHANGING, ())] == [(1, "new")]
    finally:
        await run(pool, "DROP TABLE public.changing")


async def test_a_connection_that_ended_is_told_from_a_statement_that_failed(pool: PoolManager) -> None:
    lease = await pool.acquire()
    await kill_all(pool._dsn)
    await until(lease.connection.is_closed)
    with pytest.raises(Exception, match="closed"):
        await send(lease.connection, ONE.text, ())
    pool.release(lease)
    assert [row[0] for row in await executor_of(pool).fetch(ONE, ())] == [1]


async def test_a_query_logger_of_the_application_is_told(opened: Opening) -> None:
    pool = await opened(min_size=1, max_size=1)
    seen: list[str] = []
    lease = await pool.acquire()
    lease.connection.add_query_logger(lambda record: seen.append(record.query))
    pool.release(lease)
    await executor_of(pool).fetch(ONE, ())
    await until(lambda: seen)
    assert seen == [ONE.text]


async def waits(deadlines: Deadlines, began: float) -> None:
    with Deadline(deadlines, asyncio.current_task(), began):
        await asyncio.Event().wait()


async def test_what_is_late_is_cut_short_and_nothing_else() -> None:
    deadlines = Deadlines(limit_s=100)
    old, new = (asyncio.create_task(waits(deadlines, began)) for began in (0.0, 60.0))
    await turns()
    deadlines.look(now=100.0)
    await turns()
    assert isinstance(old.exception(), TimeoutError)
    assert not new.done()
    assert len(deadlines.under_way) == 1
    new.cancel()
    await turns()
    assert new.cancelled()
    assert not deadlines.under_way


async def test_the_timer_is_set_for_the_oldest_and_rests_when_there_is_none() -> None:
    deadlines, loop = Deadlines(limit_s=100), asyncio.get_running_loop()
    task = asyncio.create_task(waits(deadlines, 60.0))
    await turns()
    first = deadlines.timer
    assert first is not None
    deadlines.look(now=100.0)
    again = deadlines.timer
    assert again is not None
    assert again.when() <= loop.time() + 60
    task.cancel()
    await turns()
    deadlines.look(now=160.0)
    assert deadlines.timer is None
    for timer in (first, again):
        timer.cancel()


async def test_who_cancels_a_late_statement_is_heard() -> None:
    deadlines = Deadlines(limit_s=100)
    task = asyncio.create_task(waits(deadlines, 0.0))
    await turns()
    deadlines.look(now=100.0)
    task.cancel()
    await turns()
    assert task.cancelled()


def test_a_timer_of_a_loop_that_has_ended_is_set_again() -> None:
    """A database may be closed, and opened in another loop."""
    deadlines = Deadlines(limit_s=0.01)

    async def begin() -> None:
        deadlines.watch()

    asyncio.run(begin())
    assert deadlines.timer is not None
    with pytest.raises(TimeoutError):
        asyncio.run(waits(deadlines, time.perf_counter()))


async def test_a_timeout_of_the_application_is_its_own(pool: PoolManager) -> None:
    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(0.05):
            await executor_of(pool).fetch(SLEEP, ())
    assert not isinstance(caught.value, errors.AgentMemError)


def test_a_statement_needs_a_task() -> None:
    with pytest.raises(errors.UsageError, match="within a task"):
        Deadline(Deadlines(limit_s=1), None, 0.0)
