"""What a plan tells, and that it leaves the live database alone."""

from __future__ import annotations

import pytest

from agentmem_store import errors, migrations
from agentmem_store.migrations import problems
from agentmem_store.migrations.planning import Lock
from tests.migrations.planting import ask, connected, labels, plant

NO = "-- agentmem: no-transaction\n"


@pytest.fixture
async def live(empty_database, root):
    """A database with the tables a, b and c, of which a has 500 rows."""
    await migrations.up(empty_database, root=root)
    async with connected(empty_database) as connection:
        await connection.execute("INSERT INTO a SELECT n FROM generate_series(1, 500) AS n")
        await connection.execute("VACUUM a")
    return empty_database


async def test_locks_and_rewrites_are_told_for_each_statement_with_the_rows_that_are_there(live, root):
    sql = """CREATE INDEX a_id ON a (id);
ALTER TABLE a ALTER COLUMN id TYPE bigint;
  ALTER TABLE a ADD COLUMN x integer;
CREATE TABLE new (id integer);
ALTER TABLE new ALTER COLUMN id TYPE bigint;
INSERT INTO b VALUES (1);
"""
    plant(root, "core/0004_d", sql, "DROP TABLE new")
    (step,) = await migrations.plan(live, root=root)
    index, type_, column, new, rewritten, row = step.statements
    assert index.place == "core/0004_d/up.sql:1:1"
    assert index.locks == (Lock("public.a", "ShareLock", "writes", 500),)
    assert type_.locks == (Lock("public.a", "AccessExclusiveLock", "reads and writes", 500),)
    assert type_.rewrites == ("public.a",)
    assert (column.place, column.locks, column.rewrites) == ("core/0004_d/up.sql:3:3", (), ())  # it is locked already
    assert (new.locks, rewritten.locks, rewritten.rewrites, row.locks) == ((), (), (), ())  # nobody can wait for those


async def test_it_is_tried_whether_each_can_be_taken_back(live, root):
    plant(root, "core/0004_d", "ALTER TABLE a ADD COLUMN x integer", "ALTER TABLE a DROP COLUMN x")
    plant(root, "core/0005_e", "CREATE TABLE e (id integer)", "DROP TABLE e; ALTER TABLE b ADD COLUMN y integer")
    plant(root, "core/0006_f", "CREATE TABLE f (id integer); CREATE TABLE g (id integer)", "DROP TABLE f")
    told = [step.irreversible for step in await migrations.plan(live, root=root)]
    assert told == [
        None,
        "after down.sql: unexpected: column public.b.y",
        "after down.sql: unexpected: column public.g.id; unexpected: table public.g",
    ]


async def test_where_one_cannot_be_taken_back_those_before_it_are_not_tried(live, root):
    plant(root, "core/0004_d", "CREATE TABLE d (id integer)", "DROP TABLE d")
    plant(root, "core/0005_e", "CREATE TABLE e (id integer)", "-- no way back")
    plant(root, "core/0006_f", "CREATE TABLE f (id integer)", "DROP TABLE f")
    assert [step.irreversible for step in await migrations.plan(live, root=root)] == [
        "not tried: core/0005_e comes after it, and cannot be taken back",
        "down.sql holds no statement",
        None,
    ]
    plant(root, "core/0007_h", "CREATE TABLE h (id integer)", "DROP TABLE hh")
    told = [step.irreversible for step in await migrations.plan(live, root=root)]
    assert str(told[3]).startswith('down.sql fails: core/0007_h/down.sql:1:1: table "hh" does not exist')


async def test_what_runs_outside_of_a_transaction_is_marked(live, root):
    itself = "DO $$ BEGIN COMMIT; END $$"
    up = f"{NO}ALTER TABLE a ADD x int;\nCREATE INDEX CONCURRENTLY a_id ON a (id);\n{itself};"
    plant(root, "core/0004_d", up, "DROP INDEX a_id; ALTER TABLE a DROP x")
    (step,) = await migrations.plan(live, root=root)
    assert [statement.alone for statement in step.statements] == [False, True, True]
    assert step.statements[0].locks == (Lock("public.a", "AccessExclusiveLock", "reads and writes", 500),)
    assert step.irreversible is None


async def test_the_live_database_stays_as_it_is_and_no_scratch_is_left(live, root):
    plant(root, "core/0004_d", "DROP TABLE a", "CREATE TABLE a (id integer)")
    await migrations.plan(live, root=root)
    assert await ask(live, "SELECT count(*) FROM a") == 500
    assert labels((await migrations.status(live, root=root)).pending) == ["core/0004_d"]
    assert await ask(live, "SELECT count(*) FROM pg_database WHERE datname LIKE 'agentmem_scratch%'") == 0


async def test_what_would_fail_fails_here_first(live, root):
    plant(root, "core/0004_d", "SELECT 1;\nALTER TABLE nowhere ADD x int;")
    with pytest.raises(errors.MigrationFailed, match=r"^core/0004_d/up.sql:2:1: relation .nowhere. does not exist"):
        await migrations.plan(live, root=root)
    assert await ask(live, "SELECT count(*) FROM pg_database WHERE datname LIKE 'agentmem_scratch%'") == 0


async def test_what_stopped_half_way_is_finished_first(live, root):
    plant(root, "core/0004_d", f"{NO}CREATE TABLE d (id integer);\nDROP TABLE nowhere;")
    with pytest.raises(errors.MigrationFailed):
        await migrations.up(live, root=root)
    for call in (migrations.plan, migrations.verify_live):
        with pytest.raises(
            problems.MigrationUnfinished, match=r"core/0004_d/up.sql: stopped half-way; finish it first"
        ):
            await call(live, root=root)


async def test_the_shipped_migrations_can_all_be_taken_back(empty_database):
    planned = await migrations.plan(empty_database)
    assert [step.name for step in planned if step.irreversible] == []
    assert all(step.statements for step in planned)
