"""Health: what is found, on which connection it is asked, and that no check can keep the others from running."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from agentmem_store import connect, health, migrations
from agentmem_store.config import DEVELOPMENT
from agentmem_store.database import Database
from agentmem_store.health import checks, doctor
from agentmem_store.health.visit import Found, Visit
from agentmem_store.pool import PoolManager
from tests.clusters import clusters, why_no_cluster
from tests.servers import admin

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from agentmem_store.models.health import Health

    Connection = asyncpg.Connection[asyncpg.Record]

READY = ["pool", "connection", "round_trip", "writable", "migrations"]
DIAGNOSED = [
    "connection", "round_trip", "pooler", "server", "writable", "migrations", "capabilities", "connections",
    "long_transactions", "blocked", "replication", "vacuum", "indexes",
]  # fmt: skip
NOWHERE = "postgresql://nobody@127.0.0.1:1/none"
ONE = DEVELOPMENT.with_(min_size=1, max_size=1)


def names(found: Health) -> list[str]:
    return [check.name for check in found.checks]


def statuses(found: Health) -> dict[str, str]:
    return {check.name: check.status for check in found.checks if check.status != "ok"}


@asynccontextmanager
async def named_connection(dsn: str, name: str) -> AsyncIterator[Connection]:
    connection = await connect.connect(dsn, application_name=name)
    try:
        yield connection
    finally:
        connection.terminate()


async def test_live_is_told_without_io() -> None:
    db = Database(NOWHERE)
    assert statuses(db.live()) == statuses(await db.ready()) == statuses(await db.diagnose()) == {"open": "fail"}


async def test_live_while_open_from_any_thread(db: Database) -> None:
    assert db.live().status == (await asyncio.to_thread(db.live)).status == "ok"
    await db.close()
    assert not db.live().ok


async def test_a_forked_process_is_told(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert "fork" in db.live()["open"].message


def test_an_event_loop_that_has_ended_is_told() -> None:
    async def made() -> health.Doctor:
        return health.Doctor(PoolManager(NOWHERE, DEVELOPMENT), NOWHERE, DEVELOPMENT)

    assert "event loop" in asyncio.run(made()).live()["open"].message


async def test_ready_when_all_is_well(db: Database) -> None:
    found = await db.ready()
    assert (names(found), found.status, found.ok) == (READY, "ok", True)
    told = json.loads(found.model_dump_json())
    assert told["status"] == "ok"
    assert set(told["checks"][0]) == {"name", "status", "message", "duration_ms", "facts"}
    assert db.stats().in_use == 0


async def test_ready_does_not_wait_for_a_pool_that_is_full(dsn: str) -> None:
    async with Database(dsn, ONE) as db, db.connection():
        waiting = asyncio.create_task(db._pool.acquire())
        while not db.stats().waiting:
            await asyncio.sleep(0)
        lent = db.stats().acquired
        found = await db.ready(timeout_s=30)
        assert (found.ok, statuses(found)) == (True, {"pool": "warn"})
        assert found["pool"].facts == {"size": 1, "max_size": 1, "in_use": 1, "waiting": 1}
        assert (db.stats().waiting, db.stats().acquired) == (1, lent)
        waiting.cancel()
        await asyncio.wait([waiting])


async def test_what_ready_found_is_told_again_and_shared(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_FRESH_S", 60)
    lent = db.stats().acquired
    first, second = await asyncio.gather(db.ready(30), db.ready(30))
    assert first is second is await db.ready()
    assert db.stats().acquired == lent + 1
    monkeypatch.setattr(doctor, "_FRESH_S", -1)
    assert await db.ready(30) is not first


async def test_who_asks_while_another_look_goes_on_has_a_deadline(db: Database) -> None:
    assert db._doctor
    async with db._doctor._looking:
        found = await db.ready(timeout_s=0.01)
    assert "under way" in found["connection"].message
    assert (await db.ready(30)).ok


async def test_connections_that_were_killed_while_idle_do_not_make_it_unready(db: Database, server: str) -> None:
    name = urlsplit(db.dsn).path[1:]
    await admin(server, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    assert (await db.ready(30)).ok
    assert db.stats().in_use == 0


async def test_pending_migrations_are_a_failure(empty_database: str) -> None:
    async with Database(empty_database, ONE) as db:
        found = await db.ready(30)
        assert statuses(found) == {"migrations": "fail"}
        assert "migrate up" in found["migrations"].message


async def test_an_edited_migration_is_a_failure_and_a_newer_database_a_warning(db: Database) -> None:
    newer = (
        "INSERT INTO agentmem.schema_migrations (track, version, name, checksum, chain, duration_ms) "
        "SELECT 'core', max(version) + 1, 'of_the_next_release', repeat('0', 64), repeat('0', 64), 1 "
        "FROM agentmem.schema_migrations WHERE track = 'core'"
    )
    await admin(db.dsn, newer)
    found = await db.diagnose(30)
    assert statuses(found) == {"migrations": "warn"}
    assert "of_the_next_release" in found["migrations"].message
    await admin(db.dsn, "UPDATE agentmem.schema_migrations SET checksum = repeat('0', 64) WHERE version = 1")
    assert statuses(await db.diagnose(30)) == {"migrations": "fail"}


@pytest.mark.own_sessions
async def test_a_read_only_server_fails_unless_the_dsn_asks_for_one(dsn: str) -> None:
    name = urlsplit(dsn).path[1:]
    await admin(dsn, f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    async with Database(dsn, ONE) as db:
        assert statuses(await db.ready(30)) == {"writable": "fail"}
    to_be_read = urlunsplit(urlsplit(dsn)._replace(query=f"{urlsplit(dsn).query}&target_session_attrs=read-only"))
    async with Database(to_be_read, ONE) as db:
        assert (await db.ready(30)).status == "ok"


async def test_a_replica_is_told_and_how_far_it_is_behind() -> None:
    if reason := why_no_cluster():
        pytest.skip(reason)
    with clusters("primary", "standby") as [primary, standby]:
        await asyncio.to_thread(primary.make)
        await asyncio.to_thread(primary.start)
        await asyncio.to_thread(standby.copy, primary)
        await asyncio.to_thread(standby.start)
        leading, following = (f"postgresql://postgres@127.0.0.1:{each.port}/postgres" for each in (primary, standby))
        await migrations.up(leading)
        while not (found := await health.diagnose(leading, DEVELOPMENT, 30))["replication"].facts["replicas"]:
            pass
        assert found["writable"].status == "ok"
        found = await health.diagnose(following, DEVELOPMENT, 30)
        assert (found["writable"].status, found["writable"].facts["in_recovery"]) == ("fail", True)
        assert found["replication"].facts["lag_bytes"] >= 0
        found = await health.diagnose(f"{following}?target_session_attrs=standby", DEVELOPMENT, 30)
        assert (found["writable"].status, found["replication"].status) == ("ok", "ok")


@pytest.mark.own_sessions
async def test_diagnose_when_all_is_well(db: Database) -> None:
    found = await db.diagnose(30)
    assert (names(found), statuses(found)) == (["pool", *DIAGNOSED], {})
    assert found["server"].facts["version"] >= 150_000
    assert set(found["capabilities"].facts) == {"vector", "pg_stat_statements", "hypopg", "pg_trgm"}
    assert found["connections"].facts["wanted"] == DEVELOPMENT.max_size


async def test_diagnose_uses_no_connection_of_the_pool(db: Database) -> None:
    lent = db.stats().acquired
    await db.diagnose(30)
    assert db.stats().acquired == lent


@pytest.mark.own_sessions
async def test_pools_larger_than_the_server_are_told(dsn: str) -> None:
    found = await health.diagnose(dsn, DEVELOPMENT.with_(max_size=1000), 30)
    assert statuses(found) == {"connections": "warn"}
    assert "PoolConfig.fit" in found["connections"].message


@pytest.mark.own_sessions
async def test_a_long_transaction_is_told_with_its_process(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_LONG_S", (0, 3600))
    async with named_connection(dsn, "who forgot to commit") as other:
        await other.execute("BEGIN")
        check = (await health.diagnose(dsn, DEVELOPMENT, 30))["long_transactions"]
        assert (check.status, check.facts["long"], check.facts["pid"]) == ("warn", 1, other.get_server_pid())
        assert "who forgot to commit" in check.message
        monkeypatch.setattr(checks, "_LONG_S", (0, 0))
        assert (await health.diagnose(dsn, DEVELOPMENT, 30))["long_transactions"].status == "fail"


@pytest.mark.own_sessions
async def test_a_blocked_statement_is_told_with_who_holds_it_up(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_BLOCKED_S", (0, 60))
    lock = "LOCK TABLE agentmem.agents IN ACCESS EXCLUSIVE MODE"
    async with named_connection(dsn, "holder") as holder, named_connection(dsn, "waiter") as waiter:
        await holder.execute(f"BEGIN; {lock}")
        waiting = asyncio.create_task(waiter.execute(f"BEGIN; {lock}"))
        while not (check := (await health.diagnose(dsn, DEVELOPMENT, 30))["blocked"]).facts["blocked"]:
            assert not waiting.done()
        assert (check.status, check.facts["pid"]) == ("warn", holder.get_server_pid())
        assert "(holder)" in check.message
        await holder.execute("ROLLBACK")
        await waiting


@pytest.mark.own_sessions
async def test_an_index_that_was_not_built_to_the_end_is_told(dsn: str) -> None:
    await admin(dsn, "CREATE TABLE agentmem.twice AS SELECT 1 AS number FROM generate_series(1, 2)")
    with pytest.raises(asyncpg.UniqueViolationError):
        await admin(dsn, "CREATE UNIQUE INDEX CONCURRENTLY twice_number ON agentmem.twice (number)")
    found = await health.diagnose(dsn, DEVELOPMENT, 30)
    assert (statuses(found), found["indexes"].facts) == ({"indexes": "warn"}, {"invalid": ["twice_number"]})


async def test_a_check_without_an_answer_does_not_keep_the_next_from_running(db: Database) -> None:
    async def sleeps(connection: Connection) -> Found:
        await connection.execute("SELECT pg_sleep(600)")
        return Found("ok", "never")

    for pool in (None, db._pool):
        async with Visit(db.dsn, DEVELOPMENT, pool) as visit:
            late = await visit.check("late", sleeps, 0.05)
            assert (late.status, late.message) == ("fail", "no answer within 0.05 s")
            assert (await visit.check("next", checks.answers, 30)).status == "ok"
    assert db.stats().in_use == 0


async def test_an_error_in_a_check_is_its_message(dsn: str) -> None:
    async def fails(connection: Connection) -> Found:
        await connection.execute("SELECT 1 FROM agentmem.no_such_table")
        return Found("ok", "never")

    async with Visit(dsn, DEVELOPMENT) as visit:
        check = await visit.check("fails", fails, 30)
        assert check.status == "fail"
        assert "no_such_table" in check.message
        assert (await visit.check("next", checks.answers, 30)).status == "ok"


async def test_where_no_connection_can_be_made_all_checks_fail_at_once() -> None:
    found = await health.diagnose(NOWHERE, DEVELOPMENT, 30)
    assert (names(found), found.status) == (DIAGNOSED, "fail")
    assert "127.0.0.1:1/none" in found["connection"].message
    assert {check.message for check in found.checks[1:]} == {"not looked at: there is no connection"}


async def test_a_server_that_never_answers_costs_one_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes the connection, and that is all it does
        dsn = f"postgresql://nobody@127.0.0.1:{silent.getsockname()[1]}/none?sslmode=disable"
        found = await health.diagnose(dsn, DEVELOPMENT, 0.05)
    assert found["connection"].message == "no answer within 0.05 s"
    assert {check.message for check in found.checks[1:]} == {"not looked at: there is no connection"}


async def test_no_connection_of_a_look_stays_open(db: Database, server: str) -> None:
    await db.diagnose(30)
    async with named_connection(server, "looker") as connection:
        name = urlsplit(db.dsn).path[1:]
        count = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1"
        while await connection.fetchval(count, name) > db.stats().size:
            await asyncio.sleep(0)


def test_grades() -> None:
    assert [checks.graded(value, (1, 10)) for value in (0, 1, 9, 10)] == ["ok", "warn", "warn", "fail"]


def test_a_missing_check_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        health.not_open()["pool"]


async def test_a_cancelled_look_leaves_no_unfinished_statement_to_the_next_borrower(dsn: str) -> None:
    async with Database(dsn, ONE) as db:
        begun = asyncio.Event()

        async def look(connection: Connection) -> Found:
            begun.set()
            await connection.execute("SELECT pg_sleep(60)")
            raise AssertionError

        async def visit() -> None:
            async with Visit(db.dsn, ONE, db._pool) as visit:
                await visit.check("slow", look, 60)

        task = asyncio.create_task(visit())
        await begun.wait()
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert (db.stats().idle, db.stats().checking) == (0, 1)
        lease = await db._pool.acquire()
        assert await lease.connection.fetchval("SELECT 1") == 1
        db._pool.release(lease)
