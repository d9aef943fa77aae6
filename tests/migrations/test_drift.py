"""What was applied and what the files say: each difference is an error of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agentmem_store import errors, migrations
from agentmem_store.migrations import problems
from tests.migrations.planting import ask, connected, labels, table, tables
from tests.migrations.test_files import BOM

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def away(root: Path, step: str) -> None:
    (root / step).rename(root.parent / f"{root.name}_{step[-1]}")


def insert_before(root: Path) -> None:
    (root / "core/0003_c").rename(root / "core/0004_c")
    (root / "core/0002_b").rename(root / "core/0003_b")
    table(root, "core/0002_d")


def reorder(root: Path) -> None:
    (root / "core/0002_b").rename(root / "core/0009_b")
    (root / "core/0003_c").rename(root / "core/0002_c")
    (root / "core/0009_b").rename(root / "core/0003_b")


def replace(root: Path) -> None:
    away(root, "core/0002_b")
    table(root, "core/0002_d")


def leave_a_gap(root: Path) -> None:
    table(root, "core/0005_e")


@pytest.mark.parametrize(
    ("spoil", "kind", "told"),
    [
        (
            lambda root: (root / "core/0002_b/up.sql").write_text("SELECT 1"),
            problems.MigrationEdited,
            "core/0002_b: its up.sql was edited after it was applied; restore it",
        ),
        (
            lambda root: (root / "core/0002_b").rename(root / "core/0002_x"),
            problems.MigrationRenamed,
            "core/0002_b: its folder was renamed to core/0002_x after it was applied; give it its old name back",
        ),
        (
            insert_before,
            problems.MigrationInsertedBefore,
            "core/0002_b: core/0002_d was inserted before it; give that one the next free number",
        ),
        (reorder, problems.MigrationReordered, "core/0002_b: it is core/0003_b now, in another order"),
        (replace, problems.MigrationDeleted, "core/0002_b: its folder was removed and core/0002_d has its number"),
        (
            lambda root: away(root, "core/0002_b"),
            problems.MigrationDeleted,
            "core/0002_b: its folder was removed after it was applied; restore it",
        ),
        (lambda root: away(root, "core/0003_c"), problems.MigrationNewer, "core/0003_c: the database is newer than"),
        (leave_a_gap, errors.MigrationFilesInvalid, "core/0004: is missing; numbers run from 0001 without gaps"),
    ],
    ids=["edited", "renamed", "inserted", "reordered", "replaced", "deleted", "newer", "gap"],
)
async def test_each_kind_is_told_apart_and_nothing_runs(
    empty_database, root, spoil: Callable[[Path], object], kind: type[errors.MigrationError], told: str
):
    await migrations.up(empty_database, root=root)
    spoil(root)
    for call in (migrations.up, migrations.down, migrations.verify):
        with pytest.raises(kind, match=told) as raised:
            await call(empty_database, root=root)
        assert type(raised.value) is kind
    now = await migrations.status(empty_database, root=root)
    assert not now.at_head
    assert str(now.problems[0]).startswith(told)
    assert await tables(empty_database) == {"a", "b", "c"}


async def test_a_ledger_changed_by_hand_is_told_from_files_that_were_edited(empty_database, root):
    """Whoever makes a row agree with an edited file breaks the chain of hashes, which only `repair` renews."""
    await migrations.up(empty_database, root=root)
    (root / "core/0002_b/up.sql").write_text("SELECT 1")
    edited = migrations.discover(root)[1]
    async with connected(empty_database) as connection:
        await connection.execute(
            "UPDATE agentmem.schema_migrations SET checksum = $1 WHERE version = 2", edited.checksum
        )
    with pytest.raises(problems.MigrationLedgerChanged, match="core/0002_b: the ledger was changed by hand"):
        await migrations.up(empty_database, root=root)
    await migrations.repair(empty_database, ["core/0002_b"], root=root)
    await migrations.verify(empty_database, root=root)


async def test_what_only_gave_way_names_what_was_inserted(empty_database, root):
    await migrations.up(empty_database, root=root)
    insert_before(root)
    told = list(map(str, (await migrations.status(empty_database, root=root)).problems))
    assert [line.partition(";")[0] for line in told] == [
        "core/0002_b: core/0002_d was inserted before it",
        "core/0003_c: core/0002_d was inserted before it",
    ]


async def test_every_row_that_the_ledger_lost_is_told(empty_database, root):
    await migrations.up(empty_database, root=root)
    await ask(empty_database, "DELETE FROM agentmem.schema_migrations WHERE version < 3")
    told = list(map(str, (await migrations.status(empty_database, root=root)).problems))
    assert [line.partition(",")[0] for line in told[:2]] == [
        "core/0001_a: the ledger lost it",
        "core/0002_b: the ledger lost it",
    ]
    await migrations.repair(empty_database, ["core/0001_a", "core/0002_b"], root=root)
    await migrations.verify(empty_database, root=root)


async def test_every_problem_is_told_at_once(empty_database, root):
    await migrations.up(empty_database, root=root)
    (root / "core/0001_a/up.sql").write_text("SELECT 1")
    (root / "core/0003_c").rename(root / "core/0003_x")
    with pytest.raises(
        problems.MigrationEdited, match=r"core/0001_a: its up.sql was edited.*; core/0003_c: its folder"
    ):
        await migrations.verify(empty_database, root=root)


async def test_drift_of_a_track_not_asked_for_is_told_too(empty_database, root):
    table(root, "aside/0001_z")
    await migrations.up(empty_database, tracks=["core", "aside"], root=root)
    (root / "aside/0001_z/up.sql").write_text("SELECT 1")
    with pytest.raises(problems.MigrationEdited, match=r"aside/0001_z: its up.sql was edited"):
        await migrations.up(empty_database, root=root)


async def test_other_line_ends_a_repaired_down_and_pending_files_are_no_drift(empty_database, root):
    await migrations.up(empty_database, root=root)
    up = root / "core/0001_a/up.sql"
    up.write_bytes(BOM + up.read_bytes().replace(b"\n", b"\r\n"))
    (root / "core/0002_b/down.sql").write_text("DROP TABLE IF EXISTS public.b")
    table(root, "core/0004_d")
    await migrations.verify(empty_database, root=root)
    assert labels(await migrations.up(empty_database, root=root)) == ["core/0004_d"]
    assert labels(await migrations.to(empty_database, 1, root=root)) == ["core/0004_d", "core/0003_c", "core/0002_b"]
