"""A migration that fails: what stays, what is told, and what is tried again."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from agentmem_store import errors, migrations
from agentmem_store.config import RetryConfig
from tests.migrations.planting import SLEEPING, ask, connected, labels, locks, plant, tables, until
from tests.migrations.test_files import BOM

AT_ONCE = RetryConfig(retries=50, base_ms=1, max_ms=20)
NEVER = RetryConfig(retries=0)


async def test_a_failing_migration_leaves_nothing_and_names_its_place(empty_database, root):
    up = root / "core/0002_b/up.sql"
    good = up.read_bytes()
    up.write_bytes(BOM + "-- 記憶\r\nCREATE TABLE half (id integer);\r\nCREATE TABLE b (id vectr);\r\n".encode())
    with pytest.raises(errors.MigrationFailed, match=r'^core/0002_b/up.sql:3:20: type "vectr" does not') as failed:
        await migrations.up(empty_database, root=root)
    assert failed.value.sqlstate == "42704"
    assert isinstance(failed.value.__cause__, asyncpg.UndefinedObjectError)
    line, caret = failed.value.excerpt.split("\n")
    assert line == "    3 | CREATE TABLE b (id vectr);"
    assert line[caret.index("^") :] == "vectr);"
    assert await tables(empty_database) == {"a"}

    up.write_bytes(good)
    assert labels(await migrations.up(empty_database, root=root)) == ["core/0002_b", "core/0003_c"]


async def test_a_failure_that_the_server_gives_no_place_for_is_told_by_its_statement(empty_database, root):
    (root / "core/0003_c/down.sql").write_text("DROP TABLE c;\n  DROP TABLE nothing;\n")
    await migrations.up(empty_database, root=root)
    with pytest.raises(errors.MigrationFailed, match=r"^core/0003_c/down.sql:2:3: table .nothing. does not exist"):
        await migrations.down(empty_database, root=root)
    assert await tables(empty_database) == {"a", "b", "c"}
    assert (await migrations.status(empty_database, root=root)).at_head


async def test_a_failure_at_the_commit_is_told_by_its_file(empty_database, root):
    deferred = "PRIMARY KEY (id) DEFERRABLE INITIALLY DEFERRED"
    plant(root, "core/0004_d", f"CREATE TABLE d (id integer, {deferred}); INSERT INTO d VALUES (1), (1);")
    with pytest.raises(errors.MigrationFailed, match=r"^core/0004_d/up.sql: already taken: d_pkey"):
        await migrations.up(empty_database, root=root)
    assert await tables(empty_database) == {"a", "b", "c"}


@pytest.mark.parametrize(
    "sql", ["SELECT 1;\n\nSELECT FROM WHERE", "SELECT 1,\n;", "SELECT '\x85\u2028' FROM\n", "\n\nSELECT 1 +\n"]
)
async def test_a_failure_at_the_very_end_has_a_place_too(empty_database, tmp_path, sql):
    plant(tmp_path, "core/0001_a", sql)
    with pytest.raises(errors.MigrationFailed, match=r"^core/0001_a/up.sql:\d+:\d+: syntax error at") as failed:
        await migrations.up(empty_database, root=tmp_path)
    assert failed.value.excerpt.endswith("^")


async def test_a_failure_tells_no_value(empty_database, root):
    plant(root, "core/0004_d", "CREATE TABLE d (id integer);\nINSERT INTO d VALUES ('s3cret');")
    with pytest.raises(errors.MigrationFailed, match=r"^core/0004_d/up.sql:2:23: ") as failed:
        await migrations.up(empty_database, root=root)
    assert "s3cret" not in str(failed.value)


async def test_a_file_that_ends_its_transaction_is_told(empty_database, root):
    plant(root, "core/0004_d", "CREATE TABLE d (id integer);\nCOMMIT;")
    with pytest.raises(errors.MigrationFailed, match=r"core/0004_d/up.sql:2:1: remove COMMIT"):
        await migrations.up(empty_database, root=root)
    assert labels((await migrations.status(empty_database, root=root)).pending) == ["core/0004_d"]


async def test_a_backend_that_dies_in_the_middle_leaves_no_half(empty_database, root):
    plant(root, "core/0004_d", "CREATE TABLE d (id integer); SELECT pg_sleep(600);")
    running = asyncio.create_task(migrations.up(empty_database, root=root))
    await until(empty_database, SLEEPING)
    await ask(empty_database, SLEEPING.replace("count(*)", "pg_terminate_backend(pid)"))
    with pytest.raises(errors.MigrationFailed, match=r"core/0004_d/up.sql"):
        await running
    assert labels((await migrations.status(empty_database, root=root)).pending) == ["core/0004_d"]
    assert await locks(empty_database) == 0


# --- kind to production -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("directives", "lock", "statement"), [("", "2s", "1h"), ("both", "250ms", "2min")])
async def test_a_file_runs_with_timeouts_of_its_own(empty_database, tmp_path, directives, lock, statement):
    said = "-- agentmem: lock-timeout 250ms\n-- agentmem: statement-timeout 2min\n" if directives else ""
    shown = "current_setting('lock_timeout') AS lock, current_setting('statement_timeout') AS statement"
    plant(tmp_path, "core/0001_a", f"{said}CREATE TABLE shown AS SELECT {shown};")
    await migrations.up(empty_database, root=tmp_path)
    async with connected(empty_database) as connection:
        assert tuple(await connection.fetchrow("SELECT lock, statement FROM shown")) == (lock, statement)


async def test_a_table_in_use_is_left_in_peace_and_the_whole_file_tried_again(empty_database, root):
    await migrations.up(empty_database, root=root)
    plant(root, "core/0004_d", "-- agentmem: lock-timeout 50ms\nCREATE TABLE d (id integer);\nALTER TABLE a ADD x int;")
    async with connected(empty_database) as reader, connected(empty_database) as other:
        await reader.execute("BEGIN; SELECT id FROM a")
        running = asyncio.create_task(migrations.up(empty_database, root=root, retry=AT_ONCE))
        waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        for _ in range(2):  # it waits, gives way, and waits again
            await until(empty_database, waits)
            await other.fetch("SELECT id FROM a")
        await reader.execute("COMMIT")
        assert labels(await running) == ["core/0004_d"]


async def test_a_table_that_stays_in_use_is_told_in_the_end(empty_database, root):
    await migrations.up(empty_database, root=root)
    plant(root, "core/0004_d", "-- agentmem: lock-timeout 10ms\nALTER TABLE a ADD x int;")
    async with connected(empty_database) as reader:
        await reader.execute("BEGIN; SELECT id FROM a")
        with pytest.raises(errors.MigrationFailed, match=r"^core/0004_d/up.sql:2:1: .*lock timeout") as failed:
            await migrations.up(empty_database, root=root, retry=NEVER)
    assert failed.value.sqlstate == "55P03"
    assert failed.value.retryable
    assert await locks(empty_database) == 0


async def test_a_deadlock_is_tried_again(empty_database, root):
    await migrations.up(empty_database, root=root)
    plant(root, "core/0004_d", "LOCK TABLE a; SELECT pg_sleep(0.2); LOCK TABLE b;")
    async with connected(empty_database) as rival:
        await rival.execute("BEGIN; LOCK TABLE b; SET deadlock_timeout = '1h'")
        running = asyncio.create_task(migrations.up(empty_database, root=root, retry=AT_ONCE))
        await until(empty_database, SLEEPING)
        crossing = asyncio.create_task(rival.execute("LOCK TABLE a; COMMIT"))
        assert labels(await running) == ["core/0004_d"]
        await crossing
