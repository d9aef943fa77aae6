"""Files without a transaction: declared, resumed where they stopped, and with no INVALID index left."""

from __future__ import annotations

import asyncio

import pytest

from agentmem_store import errors, migrations
from agentmem_store.migrations import checks, problems, splitter
from tests.migrations.planting import INVALID, SLEEPING, ask, connected, labels, locks, plant, table, tables, until

NO = "-- agentmem: no-transaction\n"
DONE = "SELECT cardinality(statements) FROM agentmem.schema_migrations WHERE unfinished IS NOT NULL"


@pytest.fixture
def root(tmp_path):
    """A table a with a row twice; then a file of four statements, the third of which fails on those rows."""
    plant(tmp_path, "core/0001_a", "CREATE TABLE a (id integer); INSERT INTO a VALUES (1), (1);", "DROP TABLE a")
    up = "CREATE TABLE log (line text);\nINSERT INTO log VALUES ('once');\n"
    index = "CREATE UNIQUE INDEX CONCURRENTLY a_id ON a (id);\nINSERT INTO log VALUES ('after');"
    down = "DROP INDEX CONCURRENTLY a_id; DROP TABLE log"
    plant(tmp_path, "core/0002_b", f"{NO}{up}{index}", f"{NO}{down}")
    return tmp_path


async def lines(dsn: str) -> list[str]:
    async with connected(dsn) as connection:
        return [row[0] for row in await connection.fetch("SELECT line FROM log ORDER BY ctid")]


async def test_it_resumes_at_the_failed_statement(empty_database, root):
    told = r"^core/0002_b/up.sql:4:1: already taken: a_id; 2 of 4 statements are done and stay"
    with pytest.raises(errors.MigrationFailed, match=told):
        await migrations.up(empty_database, root=root)
    now = await migrations.status(empty_database, root=root)
    assert (labels(now.pending), now.applied[1].unfinished, now.problems) == (["core/0002_b"], "up", ())
    assert (await ask(empty_database, INVALID), await ask(empty_database, DONE)) == (0, 2)

    await ask(empty_database, "DELETE FROM a WHERE ctid = '(0,1)'")
    assert labels(await migrations.up(empty_database, root=root)) == ["core/0002_b"]
    assert await lines(empty_database) == ["once", "after"]
    await migrations.verify(empty_database, root=root)
    assert labels(await migrations.down(empty_database, root=root)) == ["core/0002_b"]


async def test_what_comes_after_may_be_mended_and_what_ran_may_not(empty_database, root):
    with pytest.raises(errors.MigrationFailed):
        await migrations.up(empty_database, root=root)
    up = root / "core/0002_b/up.sql"
    good = up.read_text()
    up.write_text(good.replace("'once'", "'twice'"))
    with pytest.raises(problems.MigrationPrefixChanged, match="its first 2 statements ran already"):
        await migrations.up(empty_database, root=root)
    up.write_text(good.replace("no-transaction", "lock-timeout 1s"))
    with pytest.raises(problems.MigrationPrefixChanged, match="put its `-- agentmem: no-transaction` back"):
        await migrations.up(empty_database, root=root)
    up.write_text(good.replace("UNIQUE ", ""))
    assert labels(await migrations.up(empty_database, root=root)) == ["core/0002_b"]
    await migrations.verify(empty_database, root=root)


async def test_what_was_finished_by_hand_is_noted_by_repair(empty_database, root):
    with pytest.raises(errors.MigrationFailed):
        await migrations.up(empty_database, root=root)
    await ask(empty_database, "CREATE INDEX a_id ON a (id)")
    await migrations.repair(empty_database, ["core/0002_b"], root=root)
    await migrations.require_head(empty_database, root=root)
    await migrations.verify(empty_database, root=root)


async def test_down_waits_until_the_way_up_is_finished(empty_database, root):
    with pytest.raises(errors.MigrationFailed):
        await migrations.up(empty_database, root=root)
    with pytest.raises(problems.MigrationUnfinished, match=r"core/0002_b: stopped half-way up; finish it first"):
        await migrations.down(empty_database, root=root)


async def test_a_way_back_that_stopped_is_resumed_by_down_and_undone_by_up(empty_database, root):
    (root / "core/0002_b/up.sql").write_text("CREATE TABLE log (line text); CREATE TABLE late (id integer)")
    down = root / "core/0002_b/down.sql"
    down.write_text(f"{NO}DROP TABLE log; DROP TABLE lat;")
    await migrations.up(empty_database, root=root)
    for again in (migrations.down, migrations.up):
        with pytest.raises(errors.MigrationFailed, match="1 of 2 statements are done"):
            await migrations.down(empty_database, root=root)
        assert not (await migrations.status(empty_database, root=root)).at_head
        down.write_text(f"{NO}DROP TABLE log; DROP TABLE late;")
        await again(empty_database, root=root)
        await migrations.up(empty_database, root=root)
        assert await tables(empty_database) == {"a", "log", "late"}
        down.write_text(f"{NO}DROP TABLE log; DROP TABLE lat;")


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("CREATE INDEX CONCURRENTLY i ON a (id)", "CREATE INDEX CONCURRENTLY"),
        ("create unique\nindex /* x */ concurrently i on a (id)", "create unique index"),
        ("DROP INDEX CONCURRENTLY IF EXISTS i", "DROP INDEX CONCURRENTLY"),
        ("REINDEX (VERBOSE) TABLE CONCURRENTLY a", "REINDEX"),
        ("VACUUM (ANALYZE) a", "VACUUM"),
        ("ALTER SYSTEM SET work_mem = '1MB'", "ALTER SYSTEM SET"),
        ("CREATE DATABASE d", "CREATE DATABASE d"),
        ("ALTER TABLE a DETACH PARTITION b CONCURRENTLY", "ALTER TABLE a"),
    ],
)
async def test_what_cannot_run_in_a_transaction_has_to_be_declared(empty_database, root, sql, words):
    plant(root, "core/0003_c", f"SELECT 1;\n{sql};")
    with pytest.raises(errors.MigrationFilesInvalid, match=rf"^core/0003_c/up.sql:2: {words}.* cannot run in a"):
        await migrations.up(empty_database, root=root)
    assert await tables(empty_database) == set()


@pytest.mark.parametrize("sql", ["SELECT 'VACUUM'", "-- VACUUM\nSELECT 1", "DO $$ VACUUM $$", "CREATE TABLE vacuum ()"])
def test_the_words_alone_are_no_reason(sql):
    assert not any(checks.needs_no_transaction(statement) for statement in splitter.split(sql))


async def test_what_only_the_server_knows_is_told_with_what_to_declare(empty_database, tmp_path):
    plant(tmp_path, "core/0001_a", "DO $$ BEGIN COMMIT; END $$;\n")
    with pytest.raises(errors.MigrationFailed, match=r"^core/0001_a/up.sql:1:1: .*2D000"):
        await migrations.up(empty_database, root=tmp_path)
    (tmp_path / "core/0001_a/up.sql").write_text(f"{NO}DO $$ BEGIN CREATE TABLE a (); COMMIT; END $$;\n")
    await migrations.up(empty_database, root=tmp_path)
    assert await tables(empty_database) == {"a"}


async def test_copy_from_stdin_would_wait_for_ever(empty_database, root):
    plant(root, "core/0003_c", "-- COPY a FROM STDIN\nSELECT 'COPY a FROM STDIN';\ncopy /* x */ a\nfrom stdin;")
    with pytest.raises(errors.MigrationFilesInvalid, match=r"^core/0003_c/up.sql:3: COPY FROM STDIN has no input here"):
        await migrations.up(empty_database, root=root)


async def test_an_index_that_a_later_run_has_to_find_needs_a_name(empty_database, root):
    plant(root, "core/0003_c", f"{NO}CREATE INDEX CONCURRENTLY ON a (id);")
    with pytest.raises(errors.MigrationFilesInvalid, match=r"core/0003_c/up.sql:2: give the index a name"):
        await migrations.up(empty_database, root=root)


@pytest.mark.parametrize("head", [f"{NO}CREATE INDEX CONCURRENTLY", "CREATE INDEX"], ids=["alone", "transaction"])
async def test_if_not_exists_does_not_take_an_invalid_index_for_the_real_one(empty_database, tmp_path, head):
    plant(tmp_path, "core/0001_a", 'CREATE TABLE "A b" (id integer); INSERT INTO "A b" VALUES (1), (1);')
    await migrations.up(empty_database, root=tmp_path)
    async with connected(empty_database) as connection:
        with pytest.raises(Exception, match="could not create unique index"):
            await connection.execute('CREATE UNIQUE INDEX CONCURRENTLY "x y" ON "A b" (id)')
    plant(tmp_path, "core/0002_b", f'{head} IF NOT EXISTS "x y" ON "A b" (id);')
    with pytest.raises(problems.MigrationIndexInvalid, match=r'"x y" is there and INVALID.* DROP INDEX CONCURRENTLY'):
        await migrations.up(empty_database, root=tmp_path)
    await ask(empty_database, 'DROP INDEX "x y"')
    assert labels(await migrations.up(empty_database, root=tmp_path)) == ["core/0002_b"]


async def waiting_for_an_old_snapshot(dsn: str, root) -> asyncio.Task[object]:
    """Start a migration whose CREATE INDEX CONCURRENTLY waits for somebody's transaction."""
    running = asyncio.create_task(migrations.up(dsn, root=root))
    await until(dsn, f"{INVALID} AND EXISTS (SELECT FROM pg_locks WHERE locktype = 'virtualxid' AND NOT granted)")
    return running


@pytest.mark.parametrize("end", ["cancel", "terminate"])
async def test_an_index_that_was_stopped_while_it_was_built_is_built_again(empty_database, root, end):
    await migrations.to(empty_database, 1, root=root)
    await ask(empty_database, "DELETE FROM a WHERE ctid = '(0,1)'")
    async with connected(empty_database) as old:
        await old.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT id FROM a")
        running = await waiting_for_an_old_snapshot(empty_database, root)
        if end == "cancel":
            running.cancel()
        else:
            pid = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'virtualxid' AND NOT granted"
            await ask(empty_database, pid)
        with pytest.raises((asyncio.CancelledError, errors.MigrationFailed)):
            await running
    assert (await ask(empty_database, INVALID), await locks(empty_database)) == (1, 0)
    assert labels(await migrations.up(empty_database, root=root)) == ["core/0002_b"]
    assert await ask(empty_database, INVALID) == 0
    assert await lines(empty_database) == ["once", "after"]


async def test_a_statement_that_was_done_just_before_the_end_counts_as_done(empty_database, root):
    """As after a kill between a statement that runs alone and its note: the index is there, the note says begun."""
    await ask(empty_database, "CREATE TABLE log (line text)")
    await migrations.to(empty_database, 1, root=root)
    await ask(empty_database, "DELETE FROM a WHERE ctid = '(0,1)'")
    await ask(empty_database, "DROP TABLE log")
    await migrations.up(empty_database, root=root)
    digest = splitter.split((root / "core/0002_b/up.sql").read_text())[2].digest
    begun = "UPDATE agentmem.schema_migrations SET unfinished = 'up', statements = $1, begun = $2 WHERE version = 2"
    done = [statement.digest for statement in splitter.split((root / "core/0002_b/up.sql").read_text())[:2]]
    async with connected(empty_database) as connection:
        await connection.execute(begun, done, digest)
    assert labels(await migrations.up(empty_database, root=root)) == ["core/0002_b"]
    assert await lines(empty_database) == ["once", "after", "after"]


async def test_an_index_of_that_name_that_somebody_else_made_is_an_error_and_stays(empty_database, root):
    await migrations.to(empty_database, 1, root=root)
    await ask(empty_database, "CREATE INDEX a_id ON a (id)")
    for _ in range(2):
        with pytest.raises(errors.MigrationFailed, match=r"relation .a_id. already exists"):
            await migrations.up(empty_database, root=root)
    assert await ask(empty_database, "SELECT to_regclass('a_id') IS NOT NULL")


async def test_settings_hold_for_the_statements_after_them_also_when_resumed(empty_database, tmp_path):
    sql = (
        "SET work_mem = '3MB';\nCREATE TABLE a AS SELECT 1 / {};\nCREATE TABLE b AS SELECT current_setting('work_mem');"
    )
    plant(tmp_path, "core/0001_a", NO + sql.format(0))
    with pytest.raises(errors.MigrationFailed, match="1 of 3"):
        await migrations.up(empty_database, root=tmp_path)
    (tmp_path / "core/0001_a/up.sql").write_text(NO + sql.format(1))
    table(tmp_path, "core/0002_c")
    await migrations.up(empty_database, root=tmp_path)
    assert await ask(empty_database, "SELECT current_setting FROM b") == "3MB"


async def test_alone_a_statement_waits_as_long_as_it_takes_and_in_a_transaction_two_seconds(empty_database, tmp_path):
    shown = "SELECT current_setting('lock_timeout') || current_setting('statement_timeout') AS shown"
    body = f"BEGIN CREATE TABLE b AS {shown}; COMMIT; END"
    plant(tmp_path, "core/0001_a", f"{NO}CREATE TABLE a AS {shown}; DO $$ {body} $$;")
    await migrations.up(empty_database, root=tmp_path)
    assert await ask(empty_database, "SELECT shown FROM a") == "2s1h"
    assert await ask(empty_database, "SELECT shown FROM b") == "00"


async def test_a_partition_that_was_stopped_while_it_was_detached_is_detached_to_the_end(empty_database, tmp_path):
    parts = "CREATE TABLE p (id integer) PARTITION BY LIST (id); CREATE TABLE q PARTITION OF p FOR VALUES IN (1);"
    plant(tmp_path, "core/0001_a", parts)
    await migrations.up(empty_database, root=tmp_path)
    plant(tmp_path, "core/0002_b", f"{NO}ALTER TABLE p DETACH PARTITION q CONCURRENTLY;")
    async with connected(empty_database) as old:
        await old.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT id FROM p")
        running = asyncio.create_task(migrations.up(empty_database, root=tmp_path))
        await until(empty_database, "SELECT count(*) FROM pg_inherits WHERE inhdetachpending")
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert labels(await migrations.up(empty_database, root=tmp_path)) == ["core/0002_b"]
    assert await ask(empty_database, "SELECT count(*) FROM pg_inherits") == 0


async def test_what_reindex_left_is_cleared_away(empty_database, root):
    plant(root, "core/0003_c", f"{NO}REINDEX TABLE CONCURRENTLY a;")
    await migrations.to(empty_database, 1, root=root)
    await ask(empty_database, "DELETE FROM a WHERE ctid = '(0,1)'")
    await migrations.to(empty_database, 2, root=root)
    async with connected(empty_database) as old:
        await old.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT id FROM a")
        running = await waiting_for_an_old_snapshot(empty_database, root)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert await ask(empty_database, INVALID) == 1
    assert labels(await migrations.up(empty_database, root=root)) == ["core/0003_c"]
    assert await ask(empty_database, INVALID) == 0


async def test_a_killed_statement_does_not_hold_the_next_one_up(empty_database, root):
    """A cancelled run has its statement ended, so that the lock is free at once."""
    plant(root, "core/0003_c", f"{NO}SELECT pg_sleep(600);")
    await migrations.to(empty_database, 1, root=root)
    await ask(empty_database, "DELETE FROM a WHERE ctid = '(0,1)'")
    running = asyncio.create_task(migrations.up(empty_database, root=root))
    await until(empty_database, SLEEPING)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await locks(empty_database) == 0
