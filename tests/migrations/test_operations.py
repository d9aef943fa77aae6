"""Up, down, to, status, require_head, baseline, repair."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from agentmem_store import errors, migrations
from agentmem_store.migrations import problems
from tests.migrations.planting import ask, connected, labels, lock_held, plant, table, tables
from tests.proxy import proxied

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


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


async def test_migration_manager(empty_database, root):
    """Version tracking, rollback, and going on from where one stands; each step is told while it happens."""
    told: list[str] = []
    await migrations.to(empty_database, 2, root=root, on_step=lambda row: told.append(str(row)))
    assert told == ["core/0001_a", "core/0002_b"]
    assert labels((await migrations.status(empty_database, root=root)).pending) == ["core/0003_c"]
    assert labels(await migrations.up(empty_database, root=root)) == ["core/0003_c"]
    assert labels(await migrations.down(empty_database, root=root)) == ["core/0003_c"]
    assert labels(await migrations.to(empty_database, 0, root=root)) == ["core/0002_b", "core/0001_a"]
    assert await migrations.to(empty_database, 0, root=root) == []
    assert await tables(empty_database) == set()


async def test_migration_checksum(empty_database, root):
    """The content is what is hashed: the same content passes, one changed byte does not, and then nothing runs."""
    first = (await migrations.up(empty_database, root=root))[0]
    up = root / "core/0001_a/up.sql"
    good = up.read_bytes()
    up.write_bytes(good.replace(b"id", b"ie"))
    table(root, "core/0004_d")
    with pytest.raises(problems.MigrationEdited, match=r"core/0001_a: its up.sql was edited"):
        await migrations.up(empty_database, root=root)
    assert await tables(empty_database) == {"a", "b", "c"}
    up.write_bytes(good)
    assert labels(await migrations.up(empty_database, root=root)) == ["core/0004_d"]
    assert (await migrations.status(empty_database, root=root)).applied[0].checksum == first.checksum


async def test_at_head_no_lock_is_taken_and_five_round_trips_are_enough(empty_database, root):
    await migrations.up(empty_database, root=root)
    async with lock_held(empty_database), proxied(empty_database) as (proxy, dsn):
        assert await migrations.up(dsn, root=root, wait_s=0) == []
    assert proxy.connections == 1
    assert proxy.round_trips <= 5


async def test_down_refuses_the_irreversible_before_anything_runs(empty_database, root):
    (root / "core/0002_b/down.sql").write_text("-- the rows are gone /* for good */\n")
    await migrations.up(empty_database, root=root)
    with pytest.raises(problems.MigrationIrreversible, match=r"core/0002_b: cannot be taken back"):
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
    both = await migrations.up(empty_database, tracks=["aside"], root=root)
    assert labels(both) == ["core/0004_d", "aside/0001_z"]  # the others stand on core
    assert labels(await migrations.down(empty_database, track="aside", root=root)) == ["aside/0001_z"]
    assert labels(await migrations.to(empty_database, 1, track="aside", root=root)) == ["aside/0001_z"]


async def test_status_writes_nothing(empty_database, root):
    now = await migrations.status(empty_database, root=root)
    assert (now.applied, labels(now.pending)) == ((), ["core/0001_a", "core/0002_b", "core/0003_c"])
    assert await ask(empty_database, "SELECT to_regnamespace('agentmem')") is None


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (partial(migrations.down, steps=0), "steps"),
        (partial(migrations.up, tracks=["vectr"]), "track"),
        (partial(migrations.status, tracks=["vectr"]), "track"),
        (partial(migrations.down, track="vectr"), "track"),
        (partial(migrations.up, wait_s=-1), "wait_s"),
        (partial(migrations.up, wait_s=float("nan")), "wait_s"),
        (partial(migrations.to, version=4), "version"),
        (partial(migrations.to, version=-1), "version"),
        (partial(migrations.baseline, version=0), "version"),
        (partial(migrations.repair, steps=["core/0009_x"]), "steps"),
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


async def test_an_application_refuses_to_start_unless_at_head(empty_database, root):
    with pytest.raises(
        problems.MigrationPending, match=r"not applied: core/0001_a, .*; run: agentmem-store migrate up"
    ):
        await migrations.require_head(empty_database, root=root)
    await migrations.up(empty_database, root=root)
    await migrations.require_head(empty_database, root=root)


async def test_while_a_release_is_rolled_out_an_old_process_may_start_on_the_newer_database(empty_database, root):
    await migrations.up(empty_database, root=root)
    (root / "core/0003_c").rename(root.parent / f"{root.name}_c")
    with pytest.raises(problems.MigrationNewer, match="core/0003_c: the database is newer than the code"):
        await migrations.require_head(empty_database, root=root)
    await migrations.require_head(empty_database, root=root, allow_newer=True)
    (root / "core/0001_a/up.sql").write_text("SELECT 1")
    with pytest.raises(problems.MigrationEdited):
        await migrations.require_head(empty_database, root=root, allow_newer=True)


async def test_a_baseline_notes_what_is_there_already(empty_database, root):
    async with connected(empty_database) as connection:
        await connection.execute("CREATE TABLE a (id integer); CREATE TABLE b (id integer)")
    assert labels(await migrations.baseline(empty_database, 2, root=root)) == ["core/0001_a", "core/0002_b"]
    assert labels(await migrations.up(empty_database, root=root)) == ["core/0003_c"]
    await migrations.verify(empty_database, root=root)
    with pytest.raises(errors.ValidationError, match="is in the ledger already"):
        await migrations.baseline(empty_database, 2, root=root)


async def test_repair_takes_an_edit_for_what_was_applied(empty_database, root):
    await migrations.up(empty_database, root=root)
    (root / "core/0001_a/up.sql").write_text("CREATE TABLE public.a (id bigint)")
    (root / "core/0002_b").rename(root / "core/0002_x")
    assert labels(await migrations.repair(empty_database, ["core/0001_a"], root=root)) == ["core/0001_a"]
    with pytest.raises(problems.MigrationRenamed):
        await migrations.verify(empty_database, root=root)
    assert labels(await migrations.repair(empty_database, ["core/0002_x"], root=root)) == ["core/0002_x"]
    await migrations.verify(empty_database, root=root)


async def test_repair_puts_a_lost_row_back(empty_database, root):
    await migrations.up(empty_database, root=root)
    async with connected(empty_database) as connection:
        await connection.execute("DELETE FROM agentmem.schema_migrations WHERE version = 2")
    with pytest.raises(problems.MigrationLedgerChanged, match="core/0002_b: the ledger lost it"):
        await migrations.up(empty_database, root=root)
    await migrations.repair(empty_database, ["core/0002_b"], root=root)
    await migrations.verify(empty_database, root=root)


async def test_settings_and_role_of_one_migration_reach_neither_ledger_nor_the_next(empty_database, tmp_path):
    plant(tmp_path, "core/0001_a", "CREATE SCHEMA other; SET search_path = other; SET ROLE pg_monitor;")
    plant(tmp_path, "core/0002_b", "CREATE TABLE b AS SELECT current_user AS who;")
    applied = await migrations.up(empty_database, root=tmp_path)
    assert await tables(empty_database) == {"b"}
    assert {row.applied_by for row in applied} == {await ask(empty_database, "SELECT who FROM public.b")}
