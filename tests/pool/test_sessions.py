"""Whatever was done to a session is invisible to the next who borrows the connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from agentmem_store import errors
from tests.pool.tools import agrees, executor_of, until

if TYPE_CHECKING:
    from tests.pool.conftest import Opening


# What is done, and a question whose answer would tell.
TRACES: dict[str, tuple[str, str]] = {
    "setting": ("SET work_mem = '7MB'", "SELECT current_setting('work_mem') = '7MB'"),
    "search_path": ("SET search_path = pg_catalog", "SELECT current_setting('search_path') = 'pg_catalog'"),
    "custom setting": ("SET app.who = 'secret'", "SELECT current_setting('app.who', TRUE) = 'secret'"),
    "plan mode": ("SET plan_cache_mode = auto", "SELECT current_setting('plan_cache_mode') = 'auto'"),
    "role": ("SET ROLE pg_monitor", "SELECT current_user = 'pg_monitor'"),
    "session role": ("SET SESSION AUTHORIZATION pg_monitor", "SELECT session_user = 'pg_monitor'"),
    "listen": ("LISTEN somewhere", "SELECT EXISTS (SELECT FROM pg_listening_channels())"),
    "advisory lock": (
        "SELECT pg_advisory_lock(42)",
        "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())",
    ),
    "temporary table": ("CREATE TEMP TABLE left_over (n INT)", "SELECT to_regclass('pg_temp.left_over') IS NOT NULL"),
    "open cursor": (
        "BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT 1; COMMIT",
        "SELECT EXISTS (SELECT FROM pg_cursors WHERE name = 'c')",
    ),
    "prepared statement": (
        "PREPARE mine AS SELECT 1",
        "SELECT EXISTS (SELECT FROM pg_prepared_statements WHERE name = 'mine')",
    ),
    "sequence": (
        "CREATE TEMP SEQUENCE s; SELECT nextval('s')",
        "SELECT EXISTS (SELECT FROM pg_class WHERE relname = 's' AND relpersistence = 't')",
    ),
    "open transaction": (
        "BEGIN; CREATE TABLE public.left_over (n INT)",
        "SELECT to_regclass('public.left_over') IS NOT NULL",
    ),
    "failed transaction": ("BEGIN; SET app.failed = 'yes'", "SELECT current_setting('app.failed', TRUE) = 'yes'"),
}


@pytest.mark.parametrize("trace", TRACES)
async def test_what_was_left_in_a_session_is_gone(opened: Opening, trace: str) -> None:
    pool = await opened(max_size=1)
    executor = executor_of(pool)
    done, question = TRACES[trace]
    async with executor.connection() as connection:
        assert await connection.fetchval(question) is not True
        await connection.execute(done)
        assert await connection.fetchval(question) is True
    async with executor.connection() as connection:
        assert await connection.fetchval(question) is not True
        assert not connection.is_in_transaction()
    assert pool.stats().created == 1


async def test_a_transaction_that_failed_is_gone(opened: Opening) -> None:
    pool = await opened(max_size=1)
    executor = executor_of(pool)
    async with executor.connection() as connection:
        await connection.execute("BEGIN")
        with pytest.raises(Exception, match="division by zero"):
            await connection.execute("SELECT 1 / 0")
    async with executor.connection() as connection:
        assert await connection.fetchval("SELECT 1") == 1
    assert pool.stats().created == 1


async def test_listeners_of_the_driver_are_gone(opened: Opening, caplog: pytest.LogCaptureFixture) -> None:
    heard: list[Any] = []
    pool = await opened(max_size=1)
    executor = executor_of(pool)
    async with executor.connection() as connection:
        await connection.add_listener("news", lambda *told: heard.append(told))
    async with executor.connection() as connection:
        await connection.execute("NOTIFY news")
        await connection.fetchval("SELECT 1")
    assert heard == []
    assert not caplog.records


async def test_the_drivers_own_statements_stay_prepared(opened: Opening) -> None:
    pool = await opened(max_size=1)
    executor = executor_of(pool)
    for _ in range(3):
        async with executor.connection() as connection:
            assert await connection.fetchval("SELECT $1::INT + 1", 1) == 2
    async with executor.connection() as connection:
        kept = await connection.fetch("SELECT statement FROM pg_prepared_statements WHERE NOT from_sql")
    assert [row["statement"] for row in kept].count("SELECT $1::INT + 1") == 1


async def test_a_dirty_connection_is_not_lent_before_it_is_clean(opened: Opening) -> None:
    pool = await opened(min_size=1, max_size=1)
    lease = await pool.acquire()
    await lease.connection.execute("SET work_mem = '7MB'")
    lease.dirty = True
    pool.release(lease)
    assert (pool.stats().checking, pool.stats().idle) == (1, 0)
    again = await pool.acquire()
    assert again is lease
    assert await again.connection.fetchval("SHOW work_mem") != "7MB"
    pool.release(again)


async def test_a_raw_connection_that_was_closed_is_replaced(opened: Opening) -> None:
    pool = await opened(max_size=1)
    async with executor_of(pool).connection() as connection:
        await connection.close()
    async with executor_of(pool).connection() as connection:
        assert await connection.fetchval("SELECT 1") == 1
    assert agrees(pool)


async def test_what_a_cancelled_borrower_left_is_gone(opened: Opening) -> None:
    import asyncio

    pool = await opened(max_size=1)
    executor = executor_of(pool)

    async def borrow() -> None:
        async with executor.connection() as connection, connection.transaction():
            await connection.execute("SET work_mem = '7MB'")
            await asyncio.Event().wait()

    task = asyncio.create_task(borrow())
    await until(lambda: pool.stats().in_use == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with executor.connection() as connection:
        assert await connection.fetchval("SHOW work_mem") != "7MB"


async def test_a_transaction_whose_error_was_caught_within_does_not_pass_for_stored(opened: Opening) -> None:
    from agentmem_store.query import Query

    pool = await opened(max_size=1)
    divide: Query[int] = Query("test.divide", int, "SELECT 1 / $1::INT")
    with pytest.raises(errors.TransactionRolledBack, match="nothing was stored"):
        async with executor_of(pool).transaction(None, read_only=False) as inner:
            with pytest.raises(errors.DatabaseError):
                await inner.fetch(divide, (0,))
    async with executor_of(pool).transaction(None, read_only=False) as inner:
        with pytest.raises(errors.DatabaseError):
            async with inner.transaction(None, read_only=False) as innermost:
                await innermost.fetch(divide, (0,))
        assert (await inner.fetch(divide, (1,)))[0][0] == 1
