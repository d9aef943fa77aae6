from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from agentmem_store import errors
from agentmem_store.config import DEVELOPMENT
from agentmem_store.database import Database
from agentmem_store.executor.pooled import _only_reads
from agentmem_store.models.organizations import NewOrganization
from agentmem_store.repositories import organizations
from tests.pool.tools import ONE, agrees, executor_of, fill, give, kill_all, take, until
from tests.servers import admin

if TYPE_CHECKING:
    from agentmem_store.pool import PoolManager
    from tests.pool.conftest import Opening
    from tests.proxy import Proxy


async def test_a_dead_connection_is_replaced(pool: PoolManager) -> None:
    lease = await pool.acquire()
    lease.connection.terminate()
    pool.release(lease)
    fresh = await pool.acquire()
    assert fresh is not lease
    assert await fresh.connection.fetchval("SELECT 1") == 1
    pool.release(fresh)
    assert pool.stats().closed_by == {"dead": 1}


async def test_a_connection_that_died_while_idle_is_not_lent(pool: PoolManager) -> None:
    lease = await pool.acquire()
    pool.release(lease)
    lease.connection.terminate()
    fresh = await pool.acquire()
    assert await fresh.connection.fetchval("SELECT 1") == 1
    pool.release(fresh)


async def test_one_that_ends_while_idle_is_seen_to_at_once(opened: Opening, shared: str) -> None:
    pool = await opened(min_size=2, max_size=3)
    before = set(await fill(pool, 2))
    await kill_all(shared)
    await until(lambda: pool.stats().closed_by.get("dead") == 2 and pool.stats().idle == 2)
    after = await take(pool, 2)
    assert not before & set(after)
    give(pool, after)


async def test_after_all_idle_ones_were_killed_the_next_reads_all_succeed(opened: Opening, shared: str) -> None:
    """Asked before the driver has heard of it, so that statements go to servers that are ending."""
    pool = await opened(max_size=10, ping_after_s=60)
    executor = executor_of(pool)
    for _ in range(5):
        await fill(pool, 10)
        await kill_all(shared)
        for _ in range(20):
            assert [tuple(row) for row in await executor.fetch(ONE, ())] == [(1,)]
        results = await asyncio.gather(*(executor.fetch(ONE, ()) for _ in range(200)))
        assert [rows[0][0] for rows in results] == [1] * 200
        assert agrees(pool)


async def test_a_transaction_begins_on_a_connection_that_lives(opened: Opening, shared: str) -> None:
    pool = await opened(max_size=5, ping_after_s=60)
    executor = executor_of(pool)
    await fill(pool, 5)
    await kill_all(shared)
    for _ in range(5):
        async with executor.transaction(None, read_only=False) as inner:
            assert (await inner.fetch(ONE, ()))[0][0] == 1


async def test_a_read_that_kills_its_server_process_is_not_sent_for_ever(opened: Opening) -> None:
    from agentmem_store.query import Query

    pool = await opened(max_size=5)
    executor = executor_of(pool)
    suicide = Query("test.suicide", bool, "SELECT pg_terminate_backend(pg_backend_pid())")
    with pytest.raises(errors.ConnectionLost):
        await executor.fetch(suicide, ())
    await until(lambda: pool.stats().closed_by.get("dead") == 3)
    assert pool.stats().created <= 4


async def test_a_write_whose_connection_broke_is_not_sent_again(opened: Opening) -> None:
    from agentmem_store.query import Query

    pool = await opened(max_size=5)
    executor = executor_of(pool)
    write = Query("test.write", bool, "SELECT pg_terminate_backend(pg_backend_pid()), set_config('a.b', '', false)")
    with pytest.raises(errors.ConnectionLost) as caught:
        await executor.fetch(write, ())
    assert caught.value.outcome == "unknown"
    assert pool.stats().acquired == 1


async def test_one_that_was_idle_for_long_is_asked_before_it_is_lent(opened: Opening, hole: tuple[Proxy, str]) -> None:
    proxy, through = hole
    for after_s, trips in ((1e-9, 1), (3600, 0)):
        pool = await opened(through, ping_after_s=after_s)
        before = proxy.round_trips
        pool.release(await pool.acquire())
        assert proxy.round_trips - before == trips


async def test_one_that_does_not_answer_is_not_lent(opened: Opening, hole: tuple[Proxy, str]) -> None:
    proxy, through = hole
    pool = await opened(through, max_size=2, ping_after_s=1e-9)
    proxy.flows.clear()
    waiting = asyncio.create_task(pool.acquire())
    await until(lambda: pool.stats().closed_by.get("dead") == 1)
    proxy.flows.set()
    lease = await waiting
    assert await lease.connection.fetchval("SELECT 1") == 1
    pool.release(lease)


async def test_one_death_has_all_others_asked_side_by_side(opened: Opening, hole: tuple[Proxy, str]) -> None:
    proxy, through = hole
    pool = await opened(through, max_size=5)
    leases = await fill(pool, 5)
    proxy.flows.clear()
    leases[0].connection.terminate()
    await until(lambda: pool.stats().checking == 4)
    assert pool.stats().idle == 0
    proxy.flows.set()
    await until(lambda: pool.stats().idle == 4)
    assert pool.stats().closed_by == {"dead": 1}


async def test_while_one_is_asked_no_other_is_opened_for_its_caller(opened: Opening, hole: tuple[Proxy, str]) -> None:
    proxy, through = hole
    pool = await opened(through, max_size=5, ping_after_s=1e-9)
    for _ in range(10):
        pool.release(await pool.acquire())
    assert (pool.stats().created, proxy.connections) == (1, 1)


async def test_idle_ones_are_asked_every_so_often(opened: Opening, hole: tuple[Proxy, str]) -> None:
    proxy, through = hole
    pool = await opened(through, max_size=3, keepalive_s=0.05)
    await fill(pool, 3)
    before = proxy.round_trips
    await until(lambda: proxy.round_trips >= before + 6)
    await until(lambda: pool.stats().idle == 3)
    assert pool.stats().closed == 0


async def test_asking_does_not_make_an_idle_one_look_used(opened: Opening) -> None:
    pool = await opened(min_size=1, max_size=3, keepalive_s=0.04, idle_timeout_s=0.2)
    await fill(pool, 3)
    await until(lambda: pool.stats().closed_by.get("idle") == 2)
    assert pool.stats().size == 1


async def test_old_ones_are_replaced_while_idle(opened: Opening) -> None:
    pool = await opened(min_size=2, max_size=3, max_lifetime_s=0.2)
    await until(lambda: pool.stats().closed_by.get("lifetime", 0) >= 2 and pool.stats().idle == 2)


async def test_an_old_one_is_not_kept_when_it_comes_back(opened: Opening) -> None:
    pool = await opened(max_lifetime_s=1e-6)
    pool.release(await pool.acquire())
    assert pool.stats().closed_by["lifetime"] >= 1


async def test_lifetimes_are_spread(opened: Opening) -> None:
    """Connections made together do not end together: each lives up to a tenth less than the setting says."""
    pool = await opened(max_size=5, max_lifetime_s=1000)
    leases = await fill(pool, 5)
    assert len({lease.patience for lease in leases}) == 5
    lives = [lease.expires_at - lease.lent_at for lease in leases]
    assert all(895 < life <= 1000 for life in lives)


@pytest.mark.parametrize("sqlstate", ["57P01", "57P05", "08006", "08P01"])
async def test_what_the_server_says_of_itself_evicts(opened: Opening, sqlstate: str) -> None:
    from agentmem_store.query import Query

    pool = await opened()
    says: Query[Any] = Query("test.says", bool, "SELECT pg_temp.says($1)")
    lease = await pool.acquire()
    await lease.connection.execute(
        "CREATE FUNCTION pg_temp.says(said TEXT) RETURNS BOOL LANGUAGE plpgsql "
        "AS $$ BEGIN RAISE 'made up' USING ERRCODE = said; END $$"
    )
    pool.release(lease)
    with pytest.raises(errors.AgentMemError) as caught:
        await executor_of(pool).fetch(says, (sqlstate,))
    assert caught.value.sqlstate == sqlstate
    assert pool.stats().closed_by == {"evicted": 1}


async def test_a_server_that_takes_no_writes_has_all_connections_replaced(server: str, dsn: str) -> None:
    name = dsn.partition("?")[0].rpartition("/")[2]
    read_only = f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'
    writable = read_only.replace("= on", "= off")
    await admin(dsn, read_only)
    async with Database(dsn, DEVELOPMENT) as db:
        await fill(db._pool, 3)
        with pytest.raises(errors.ReadOnly):
            await organizations.create(db, NewOrganization(name="x"))
        assert db.stats().closed_by == {"read_only": 1, "drained": 2}
        await admin(server, writable)
        db._pool.drain()
        await organizations.create(db, NewOrganization(name="x"))


async def test_refused_writes_do_not_replace_connections_again_and_again(dsn: str) -> None:
    name = dsn.partition("?")[0].rpartition("/")[2]
    await admin(dsn, f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    async with Database(dsn, DEVELOPMENT) as db:
        for _ in range(3):
            await fill(db._pool, 2)
            with pytest.raises(errors.ReadOnly):
                await organizations.create(db, NewOrganization(name="x"))
        assert db.stats().closed_by["drained"] == 1


async def test_a_write_in_a_read_only_transaction_says_nothing_about_the_server(opened: Opening) -> None:
    from agentmem_store.query import Query

    pool = await opened()
    write = Query("test.write", int, "DELETE FROM agentmem.organizations WHERE id = gen_random_uuid() RETURNING 1")
    with pytest.raises(errors.ReadOnly):
        async with executor_of(pool).transaction(None, read_only=True) as inner:
            await inner.fetch(write, ())
    assert pool.stats().closed == 0


async def test_a_read_only_server_that_ends_its_connection_is_still_one_to_be_left(opened: Opening) -> None:
    """What the driver was told of the server is gone with the connection."""
    pool = await opened()
    lease = await pool.acquire()
    lease.connection.terminate()
    lease.note("25006")
    assert lease.expiry == "read_only"
    pool.release(lease)


@pytest.mark.parametrize(
    ("sql", "reads"),
    [
        ("SELECT count(*) FROM agentmem.agents AS agent WHERE agent.name IN ('a', 'b')", True),
        ("WITH found AS (SELECT agentmem.search_fold($1)) SELECT 1 FROM found", True),
        ("SELECT id FROM agentmem.agents FOR NO KEY UPDATE", False),
        ("SELECT id FROM agentmem.agents FOR KEY SHARE", False),
        ("WITH gone AS (DELETE FROM agentmem.agents RETURNING id) SELECT id FROM gone", False),
        ("SELECT 1 INTO TEMPORARY TABLE kept", False),
        ("SELECT nextval('numbers')", False),
        ("SELECT pg_try_advisory_lock(1)", False),
        ("SELECT pg_stat_statements_reset()", False),
        ("SELECT app.enqueue($1)", False),
        ("VACUUM", False),
    ],
)
def test_what_counts_as_a_read(sql: str, reads: bool) -> None:
    assert _only_reads(sql) is reads
