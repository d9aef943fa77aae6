"""The migration runner, against a real server and folders of its own."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import asyncpg
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from agentmem_store import errors, migrations
from agentmem_store.migrations import files, runner

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable
    from pathlib import Path

BOM = b"\xef\xbb\xbf"
LOCKS = """SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database
            WHERE locktype = 'advisory' AND classid = $1 AND objid = $2 AND datname = current_database()"""
SLEEPING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
POLLING = """SELECT count(*) FROM pg_stat_activity
              WHERE datname = current_database() AND query LIKE '%pg_try_advisory_lock%' AND pid <> pg_backend_pid()"""


def plant(root: Path, step: str, up: str, down: str = "-- nothing to take back") -> None:
    """Write one migration's folder."""
    (root / step).mkdir(parents=True)
    (root / step / "up.sql").write_text(up)
    (root / step / "down.sql").write_text(down)


def table(root: Path, step: str) -> None:
    """Write a migration that makes a table named like it."""
    name = f"public.{step[-1]}"
    plant(root, step, f"-- a table\nCREATE TABLE {name} (id integer);\n", f"DROP TABLE {name};\n")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three tables: a, b and c."""
    for step in ("core/0001_a", "core/0002_b", "core/0003_c"):
        table(tmp_path, step)
    return tmp_path


@asynccontextmanager
async def connected(dsn: str, **settings: str) -> AsyncGenerator[Any]:
    connection = await asyncpg.connect(dsn, server_settings=settings)
    try:
        yield connection
    finally:
        await connection.close()


async def tables(dsn: str) -> set[str]:
    async with connected(dsn) as connection:
        rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return {row["tablename"] for row in rows}


async def until(dsn: str, count: str) -> None:
    """Come back when the counting statement sees something; the caller's test has the deadline."""
    async with connected(dsn) as connection:
        with anyio.fail_after(30):
            while not await connection.fetchval(count):
                await anyio.sleep(0.01)


CATALOG = """
SELECT format('column %s %s %s %s', c.attrelid::regclass, c.attname, format_type(c.atttypid, c.atttypmod), c.attnotnull)
  FROM pg_attribute AS c
  JOIN pg_class     AS r ON r.oid = c.attrelid
 WHERE r.relnamespace = 'agentmem'::regnamespace
   AND r.relkind = 'r'
   AND c.attnum > 0
 UNION ALL
SELECT format('constraint %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
  FROM pg_constraint
 WHERE connamespace = 'agentmem'::regnamespace
 UNION ALL
SELECT format('index %s %s', indrelid::regclass, pg_get_indexdef(indexrelid))
  FROM pg_index
  JOIN pg_class AS r ON r.oid = indrelid
 WHERE r.relnamespace = 'agentmem'::regnamespace
 UNION ALL
SELECT format('function %s %s', oid::regprocedure, md5(prosrc))
  FROM pg_proc
 WHERE pronamespace = 'agentmem'::regnamespace
"""


async def catalog(dsn: str) -> list[str]:
    """Describe every column, constraint, index and function of the schema agentmem, a line each."""
    async with connected(dsn) as connection:
        return sorted(row[0] for row in await connection.fetch(CATALOG))


def labels(steps: Any) -> list[str]:
    return [str(step) for step in steps]


# --- what the folders say ---------------------------------------------------------------------------------------------


def test_discover_reads_core_first_then_the_other_tracks_each_by_number(root):
    table(root, "aside/0001_z")
    (root / "schema.sql").write_text("generated")
    found = files.discover(root)
    assert labels(found) == ["core/0001_a", "core/0002_b", "core/0003_c", "aside/0001_z"]
    assert found[0].up == "-- a table\nCREATE TABLE public.a (id integer);\n"


@pytest.mark.parametrize(
    ("spoil", "finding"),
    [
        (lambda root: (root / "notes.txt").touch(), "notes.txt: stray"),
        (lambda root: (root / "Vector").mkdir(), "Vector: stray"),
        (lambda root: (root / "empty").mkdir(), "empty: holds no migration"),
        (lambda root: (root / "core/notes.txt").touch(), "core/notes.txt: stray"),
        (lambda root: (root / "core/0004_file").touch(), "core/0004_file: stray"),
        (lambda root: table(root, "core/4_d"), "core/4_d: stray"),
        (lambda root: table(root, "core/0004-d"), "core/0004-d: stray"),
        (lambda root: table(root, "core/0000_d"), "core/0000_d: stray"),
        (lambda root: table(root, "core/0005_d"), "core/0005_d: 0004 is missing before it"),
        (lambda root: table(root, "core/0003_d"), "core/0003_d: its number is taken twice"),
        (lambda root: (root / "core/0002_b/old.sql").touch(), "core/0002_b/old.sql: stray"),
        (lambda root: (root / "core/0002_b/up.sql").unlink(), "core/0002_b/up.sql: is missing"),
        (lambda root: (root / "core/0002_b/down.sql").unlink(), "core/0002_b/down.sql: is missing"),
        (lambda root: (root / "core/0002_b/up.sql").write_text(""), "core/0002_b/up.sql: holds no statement"),
        (lambda root: (root / "core/0002_b/up.sql").write_text("-- x\n/* y */ ;"), "up.sql: holds no statement"),
        (lambda root: (root / "core/0002_b/up.sql").write_bytes(b"SELECT\n'\xe9'"), "up.sql:2: not text in UTF-8"),
        (lambda root: (root / "core/0002_b/down.sql").write_bytes(b"\nSELECT '\0'"), "down.sql:2: not text in UTF-8"),
        (lambda root: (root / "core/0002_b/up.sql").write_text("--\ncopy b\nfrom stdin;"), "up.sql:3: COPY FROM STDIN"),
    ],
)
def test_anything_unexpected_among_the_folders_is_an_error(root, spoil: Callable[[Path], object], finding):
    spoil(root)
    with pytest.raises(errors.MigrationFilesInvalid, match=finding):
        files.discover(root)


def test_every_finding_is_told_at_once(root):
    (root / "core/0001_a/up.sql").write_text("")
    (root / "stray").touch()
    table(root, "core/0009_j")
    with pytest.raises(errors.MigrationFilesInvalid, match=r"0001_a.*; core/0009_j.*; stray: stray"):
        files.discover(root)


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(errors.MigrationFilesInvalid, match="no such folder of migrations"):
        files.discover(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("sql", "holds"),
    [
        ("", False),
        (" ;\n-- SELECT 1", False),
        ("/* a /* nested */ SELECT 1 */", False),
        ("/* never closed", False),
        ("/* -- */ SELECT 1", True),
        ("-- /*\nSELECT 1 -- */", True),
        ("/**/SELECT 1", True),
        ("/*/ x */", False),
    ],
)
def test_comments_are_no_statement(sql, holds):
    assert files.holds_statement(sql) is holds


@given(lines=st.lists(st.binary().filter(lambda line: b"\r" not in line and b"\n" not in line)), bom=st.booleans())
def test_line_ends_and_a_bom_are_no_change(lines, bom):
    plain = b"\n".join(lines)
    assume(not plain.startswith(BOM))
    assert files.normalise(BOM * bom + b"\r\n".join(lines)) == files.normalise(plain) == plain


@given(content=st.binary(min_size=1), data=st.data())
def test_any_other_changed_byte_is_a_change(content, data):
    at = data.draw(st.integers(0, len(content) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte not in {content[at], 0x0D}).map(lambda b: bytes([b])))
    changed = [content[:at] + byte + content[at:]]
    if content[at] != 0x0D:
        changed += [content[:at] + byte + content[at + 1 :], content[:at] + content[at + 1 :]]
    assert files.normalise(content) not in map(files.normalise, changed)


# --- up, down, status -------------------------------------------------------------------------------------------------


async def test_database_migration(empty_database, root):
    applied = await migrations.up(empty_database, root=root)
    assert labels(applied) == ["core/0001_a", "core/0002_b", "core/0003_c"]
    assert await tables(empty_database) == {"a", "b", "c"}

    now = await migrations.status(empty_database, root=root)
    assert now.at_head
    assert now.applied == tuple(applied)
    assert await migrations.up(empty_database, root=root) == []

    assert await migrations.down(empty_database, steps=9, root=root) == applied[::-1]
    assert await tables(empty_database) == set()
    assert labels(await migrations.up(empty_database, root=root)) == labels(applied)
    assert await tables(empty_database) == {"a", "b", "c"}


async def test_the_shipped_migrations_go_up_down_and_up_again_to_the_same_catalog(empty_database):
    await migrations.up(empty_database)
    first = await catalog(empty_database)
    assert len(first) > 100
    await migrations.down(empty_database, steps=9999)
    assert {line.split()[1] for line in await catalog(empty_database)} == {"agentmem.schema_migrations"}
    await migrations.up(empty_database)
    assert await catalog(empty_database) == first


async def test_down_takes_one_step_back_by_default(empty_database, root):
    await migrations.up(empty_database, root=root)
    assert labels(await migrations.down(empty_database, root=root)) == ["core/0003_c"]
    assert await tables(empty_database) == {"a", "b"}
    assert labels((await migrations.status(empty_database, root=root)).pending) == ["core/0003_c"]


async def test_down_refuses_the_irreversible_before_anything_runs(empty_database, root):
    (root / "core/0002_b/down.sql").write_text("-- the rows are gone /* for good */\n")
    await migrations.up(empty_database, root=root)
    with pytest.raises(errors.MigrationError, match=r"core/0002_b: cannot be taken back"):
        await migrations.down(empty_database, steps=2, root=root)
    assert await tables(empty_database) == {"a", "b", "c"}


async def test_down_without_anything_applied_does_nothing(empty_database, root):
    assert await migrations.down(empty_database, root=root) == []


async def test_a_track_is_applied_when_asked_for_and_after_core(empty_database, root):
    table(root, "aside/0001_z")
    first = await migrations.up(empty_database, root=root)
    assert "aside/0001_z" not in labels(first)
    assert not (await migrations.status(empty_database, tracks=["aside"], root=root)).at_head
    table(root, "core/0004_d")
    both = await migrations.up(empty_database, tracks=("aside", "core"), root=root)
    assert labels(both) == ["core/0004_d", "aside/0001_z"]
    assert labels(await migrations.down(empty_database, track="aside", root=root)) == ["aside/0001_z"]


async def test_status_writes_nothing(empty_database, root):
    now = await migrations.status(empty_database, root=root)
    assert (now.applied, labels(now.pending)) == ((), ["core/0001_a", "core/0002_b", "core/0003_c"])
    async with connected(empty_database) as connection:
        assert await connection.fetchval("SELECT to_regnamespace('agentmem')") is None


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (partial(migrations.down, steps=0), "steps"),
        (partial(migrations.up, tracks=["vectr"]), "track"),
        (partial(migrations.status, tracks=["vectr"]), "track"),
        (partial(migrations.down, track="vectr"), "track"),
        (partial(migrations.up, lock_timeout_s=-1), "lock_timeout_s"),
        (partial(migrations.up, lock_timeout_s=float("nan")), "lock_timeout_s"),
    ],
)
async def test_bad_arguments_are_refused_before_any_connection(call: Callable[..., Awaitable[Any]], field, root):
    with pytest.raises(errors.ValidationError) as refused:
        await call("postgresql://nobody@127.0.0.1:1/nowhere", root=root)
    assert refused.value.problems[0].field == field


async def test_a_ledger_is_made_in_a_schema_that_is_already_there(empty_database, root):
    async with connected(empty_database) as connection:
        await connection.execute("CREATE SCHEMA agentmem")
    assert len(await migrations.up(empty_database, root=root)) == 3


# --- drift ------------------------------------------------------------------------------------------------------------


def insert_before(root: Path) -> None:
    (root / "core/0003_c").rename(root / "core/0004_c")
    (root / "core/0002_b").rename(root / "core/0003_b")
    table(root, "core/0002_d")


def replace(root: Path) -> None:
    (root / "core/0002_b").rename(root / "core/0002_d")
    (root / "core/0002_d/up.sql").write_text("CREATE TABLE d (id integer)")


def remove_newest(root: Path) -> None:
    (root / "core/0003_c").rename(root.parent / f"{root.name}_c")


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda root: (root / "core/0002_b/up.sql").write_text("SELECT 1"), "core/0002_b: its up.sql was edited"),
        (
            lambda root: (root / "core/0002_b").rename(root / "core/0002_x"),
            "core/0002_b: its folder was renamed to core/0002_x",
        ),
        (insert_before, "core/0002_b: it was renumbered to core/0003_b"),
        (replace, "core/0002_b: it was removed and core/0002_d is in its place"),
        (remove_newest, "core/0003_c: this code does not have it: the database is newer"),
    ],
)
async def test_drift_is_told_apart_and_nothing_runs(empty_database, root, spoil: Callable[[Path], object], told):
    await migrations.up(empty_database, root=root)
    spoil(root)
    for call in (migrations.up, migrations.down, migrations.verify):
        with pytest.raises(errors.MigrationDrift, match=told):
            await call(empty_database, root=root)
    now = await migrations.status(empty_database, root=root)
    assert not now.at_head
    assert str(now.problems[0]).startswith(told)
    assert await tables(empty_database) == {"a", "b", "c"}


async def test_a_removed_folder_in_the_middle_is_a_gap(empty_database, root):
    await migrations.up(empty_database, root=root)
    (root / "core/0002_b").rename(root.parent / f"{root.name}_b")
    with pytest.raises(errors.MigrationFilesInvalid, match="core/0003_c: 0002 is missing before it"):
        await migrations.up(empty_database, root=root)


async def test_a_row_lost_from_the_ledger_is_drift(empty_database, root):
    await migrations.up(empty_database, root=root)
    async with connected(empty_database) as connection:
        await connection.execute("DELETE FROM agentmem.schema_migrations WHERE version = 2")
    with pytest.raises(errors.MigrationDrift, match="core/0002_b: the ledger lost it"):
        await migrations.up(empty_database, root=root)


async def test_drift_of_a_track_not_asked_for_is_told_too(empty_database, root):
    table(root, "aside/0001_z")
    await migrations.up(empty_database, tracks=["core", "aside"], root=root)
    (root / "aside/0001_z/up.sql").write_text("SELECT 1")
    with pytest.raises(errors.MigrationDrift, match=r"aside/0001_z: its up.sql was edited"):
        await migrations.up(empty_database, root=root)


async def test_other_line_ends_a_repaired_down_and_pending_files_are_no_drift(empty_database, root):
    await migrations.up(empty_database, root=root)
    up = root / "core/0001_a/up.sql"
    up.write_bytes(BOM + up.read_bytes().replace(b"\n", b"\r\n"))
    (root / "core/0002_b/down.sql").write_text("DROP TABLE IF EXISTS public.b")
    table(root, "core/0004_d")
    await migrations.verify(empty_database, root=root)
    assert labels(await migrations.up(empty_database, root=root)) == ["core/0004_d"]


# --- failure ----------------------------------------------------------------------------------------------------------


async def test_a_failing_migration_leaves_nothing_and_names_its_line(empty_database, root):
    up = root / "core/0002_b/up.sql"
    good = up.read_bytes()
    up.write_bytes(BOM + "-- 記憶\r\nCREATE TABLE half (id integer);\r\nCREATE TABLE b (id vectr);\r\n".encode())
    with pytest.raises(errors.MigrationFailed, match=r'^core/0002_b/up.sql:3: type "vectr" does not exist') as failed:
        await migrations.up(empty_database, root=root)
    assert failed.value.sqlstate == "42704"
    assert isinstance(failed.value.__cause__, asyncpg.UndefinedObjectError)
    assert await tables(empty_database) == {"a"}

    up.write_bytes(good)
    assert labels(await migrations.up(empty_database, root=root)) == ["core/0002_b", "core/0003_c"]


async def test_a_failing_down_leaves_everything(empty_database, root):
    (root / "core/0003_c/down.sql").write_text("DROP TABLE c;\nDROP TABLE nothing;\n")
    await migrations.up(empty_database, root=root)
    with pytest.raises(errors.MigrationFailed, match=r"^core/0003_c/down.sql: table .nothing. does not exist"):
        await migrations.down(empty_database, root=root)
    assert await tables(empty_database) == {"a", "b", "c"}
    assert (await migrations.status(empty_database, root=root)).at_head


async def test_a_failure_tells_no_value(empty_database, root):
    plant(root, "core/0004_d", "CREATE TABLE d (id integer);\nINSERT INTO d VALUES ('s3cret');")
    with pytest.raises(errors.MigrationFailed, match=r"^core/0004_d/up.sql:2: ") as failed:
        await migrations.up(empty_database, root=root)
    assert "s3cret" not in str(failed.value)


async def test_a_file_that_ends_its_transaction_is_told(empty_database, root):
    plant(root, "core/0004_d", "CREATE TABLE d (id integer); COMMIT;")
    with pytest.raises(errors.MigrationFailed, match=r"core/0004_d/up.sql: remove COMMIT"):
        await migrations.up(empty_database, root=root)
    assert labels((await migrations.status(empty_database, root=root)).pending) == ["core/0004_d"]


async def test_settings_and_role_of_one_migration_reach_neither_ledger_nor_the_next(empty_database, tmp_path):
    plant(tmp_path, "core/0001_a", "CREATE SCHEMA other; SET search_path = other; SET ROLE pg_monitor;")
    plant(tmp_path, "core/0002_b", "CREATE TABLE b AS SELECT current_user AS who;")
    applied = await migrations.up(empty_database, root=tmp_path)
    assert await tables(empty_database) == {"b"}
    async with connected(empty_database) as connection:
        assert {row.applied_by for row in applied} == {await connection.fetchval("SELECT who FROM public.b")}


# --- the lock ---------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def lock_held(dsn: str) -> AsyncGenerator[int]:
    """Hold the migration lock as another program; yield its process."""
    async with connected(dsn, application_name="another deploy") as holder:
        assert await holder.fetchval("SELECT pg_try_advisory_lock($1, $2)", *runner._LOCK)
        yield holder.get_server_pid()


async def assert_no_lock(dsn: str) -> None:
    async with connected(dsn) as connection:
        assert await connection.fetchval(LOCKS, *runner._LOCK) == 0


async def test_many_at_once_all_succeed_and_apply_each_migration_once(empty_database, root):
    done = await asyncio.gather(*(migrations.up(empty_database, root=root) for _ in range(8)))
    assert sorted(labels(step for applied in done for step in applied)) == ["core/0001_a", "core/0002_b", "core/0003_c"]
    assert (await migrations.status(empty_database, root=root)).at_head
    await assert_no_lock(empty_database)


@pytest.mark.parametrize("seconds", [0, 0.2])
async def test_the_wait_for_the_lock_ends_and_names_its_holder(empty_database, root, seconds):
    async with lock_held(empty_database) as pid:
        with pytest.raises(errors.MigrationLocked, match=rf"pid {pid} \(another deploy\), connected for \d+ s"):
            await migrations.up(empty_database, root=root, lock_timeout_s=seconds)
    assert await tables(empty_database) == set()


async def test_a_holder_that_dies_frees_the_way(empty_database, root):
    async with lock_held(empty_database) as pid:
        waiting = asyncio.create_task(migrations.up(empty_database, root=root))
        await until(empty_database, POLLING)
        async with connected(empty_database) as connection:
            assert await connection.fetchval("SELECT pg_terminate_backend($1)", pid)
        assert len(await waiting) == 3


async def test_at_head_no_lock_is_taken(empty_database, root):
    await migrations.up(empty_database, root=root)
    async with lock_held(empty_database):
        assert await migrations.up(empty_database, root=root, lock_timeout_s=0) == []


async def test_cancelling_the_task_leaves_no_lock_and_no_half(empty_database, root):
    plant(root, "core/0004_d", "CREATE TABLE d (id integer); SELECT pg_sleep(600);")
    running = asyncio.create_task(migrations.up(empty_database, root=root))
    await until(empty_database, SLEEPING)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await assert_no_lock(empty_database)
    assert await tables(empty_database) == {"a", "b", "c"}


async def test_a_cancelled_scope_leaves_no_lock_and_no_half(empty_database, root):
    """A scope cancels every later await too, so the clean-up has to be shielded."""
    plant(root, "core/0004_d", "CREATE TABLE d (id integer); SELECT pg_sleep(600);")
    async with anyio.create_task_group() as group:
        group.start_soon(partial(migrations.up, empty_database, root=root))
        await until(empty_database, SLEEPING)
        group.cancel_scope.cancel()
    await assert_no_lock(empty_database)
    assert await tables(empty_database) == {"a", "b", "c"}


async def test_a_backend_that_dies_in_the_middle_leaves_no_half(empty_database, root):
    plant(root, "core/0004_d", "CREATE TABLE d (id integer); SELECT pg_sleep(600);")
    running = asyncio.create_task(migrations.up(empty_database, root=root))
    await until(empty_database, SLEEPING)
    async with connected(empty_database) as connection:
        await connection.execute(SLEEPING.replace("count(*)", "pg_terminate_backend(pid)"))
    with pytest.raises(errors.MigrationFailed, match=r"core/0004_d/up.sql"):
        await running
    assert labels((await migrations.status(empty_database, root=root)).pending) == ["core/0004_d"]
    await assert_no_lock(empty_database)
