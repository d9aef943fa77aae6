"""What the folders say."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from agentmem_store import errors, migrations
from agentmem_store.migrations import files
from tests.migrations.planting import labels, plant, table

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BOM = b"\xef\xbb\xbf"
CR = 0x0D


def test_discover_reads_core_first_then_the_other_tracks_each_by_number(root):
    table(root, "aside/0001_z")
    (root / "schema.sql").write_text("generated")
    found = files.discover(root)
    assert labels(found) == ["core/0001_a", "core/0002_b", "core/0003_c", "aside/0001_z"]
    assert found[0].up.sql == "-- a table\nCREATE TABLE public.a (id integer);\n"


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
        (lambda root: table(root, "core/0003_d"), "core/0003_d: its number is taken twice"),
        (lambda root: (root / "core/0002_b/old.sql").touch(), "core/0002_b/old.sql: stray"),
        (lambda root: (root / "core/0002_b/up.sql").unlink(), "core/0002_b/up.sql: is missing"),
        (lambda root: (root / "core/0002_b/down.sql").unlink(), "core/0002_b/down.sql: is missing"),
        (lambda root: (root / "core/0002_b/up.sql").write_text(""), "core/0002_b/up.sql: holds no statement"),
        (lambda root: (root / "core/0002_b/up.sql").write_text("-- x\n/* y */ ;"), "up.sql: holds no statement"),
        (lambda root: (root / "core/0002_b/up.sql").write_bytes(b"SELECT\n'\xe9'"), "up.sql:2: not text in UTF-8"),
        (lambda root: (root / "core/0002_b/down.sql").write_bytes(b"\nSELECT '\0'"), "down.sql:2: not text in UTF-8"),
        (lambda root: plant(root, "core/0004_d", "--\n-- agentmem: no-tx\nSELECT 1"), "up.sql:2: there is no such dir"),
        (lambda root: plant(root, "core/0004_d", "--agentmem: lock-timeout 5\nSELECT 1"), "up.sql:1: there is no such"),
    ],
)
def test_anything_unexpected_among_the_folders_is_an_error(root, spoil: Callable[[Path], object], finding):
    spoil(root)
    with pytest.raises(errors.MigrationFilesInvalid, match=finding):
        files.discover(root)


def test_every_finding_is_told_at_once(root):
    (root / "core/0001_a/up.sql").write_text("")
    (root / "stray").touch()
    table(root, "core/0003_j")
    with pytest.raises(errors.MigrationFilesInvalid, match=r"0001_a.*; core/0003_j.*; stray: stray"):
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
    assert files.Script("up.sql", sql).holds_statement is holds


def test_directives_stand_anywhere_and_of_each_file_for_itself(tmp_path):
    up = "SELECT 1;\n  -- agentmem:   no-transaction  \n--agentmem: lock-timeout 250ms\nSELECT 2;"
    plant(tmp_path, "core/0001_a", up, "-- agentmem: statement-timeout 2h\nSELECT 1")
    (step,) = files.discover(tmp_path)
    assert (step.up.in_transaction, step.up.lock_timeout_ms, step.up.statement_timeout_ms) == (False, 250, None)
    assert (step.down.in_transaction, step.down.lock_timeout_ms, step.down.statement_timeout_ms) == (
        True, None, 7_200_000,
    )  # fmt: skip


@given(lines=st.lists(st.binary().filter(lambda line: b"\r" not in line and b"\n" not in line)), bom=st.booleans())
def test_line_ends_and_a_bom_are_no_change(lines, bom):
    plain = b"\n".join(lines)
    assume(not plain.startswith(BOM))
    assert files.normalise(BOM * bom + b"\r\n".join(lines)) == files.normalise(plain) == plain


@settings(max_examples=1_000)
@given(content=st.binary(min_size=1, max_size=200), seed=st.integers())
def test_any_other_changed_byte_is_a_change(content, seed):
    """Ten changes of each of a thousand contents: 10,000 cases."""
    choose = random.Random(seed)
    for _ in range(10):
        at, byte = choose.randrange(len(content)), choose.choice([n for n in range(256) if n != CR])
        kinds = [content[:at] + bytes([byte]) + content[at:]]
        if content[at] not in {CR, byte}:
            kinds += [content[:at] + bytes([byte]) + content[at + 1 :], content[:at] + content[at + 1 :]]
        changed = choose.choice(kinds)
        assert files.normalise(changed) != files.normalise(content) or changed == content


@settings(max_examples=200)
@given(
    names=st.lists(st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True), min_size=2, max_size=5),
    sqls=st.lists(st.text(max_size=20), min_size=5, max_size=5),
    data=st.data(),
)
def test_a_chain_is_equal_only_for_equal_histories(names, sqls, data):
    def chain(steps: list[tuple[str, str]]) -> str:
        before = ""
        for version, (name, checksum) in enumerate(steps, 1):
            before = files.Step("core", version, name, checksum, "").chained(before)
        return before

    history = [*zip(names, sqls, strict=False)]
    at = data.draw(st.integers(0, len(history) - 2))
    swapped = [*history[:at], history[at + 1], history[at], *history[at + 2 :]]
    for other in (
        history[:-1],
        swapped,
        [*history[:at], *history[at + 1 :]],
        [*history[:at], *history[at:], ("x", "")],
    ):
        assert (chain(other) == chain(history)) == (other == history)


async def test_new_makes_the_next_folder_with_two_files_to_fill(root):
    made = await migrations.new("agents_by_topic", root=root)
    assert made == root / "core/0004_agents_by_topic"
    with pytest.raises(errors.MigrationFilesInvalid, match="holds no statement"):
        files.discover(root)
    (made / "up.sql").write_text("SELECT 1")
    assert labels(files.discover(root))[-1] == "core/0004_agents_by_topic"
    assert (await migrations.new("first", track="aside", root=root)).parent.name == "aside"


@pytest.mark.parametrize(("field", "call"), [("name", {"name": "No-Name"}), ("track", {"name": "x", "track": "../x"})])
async def test_new_refuses_a_name_that_is_none(root, field, call):
    with pytest.raises(errors.ValidationError) as refused:
        await migrations.new(root=root, **call)
    assert refused.value.problems[0].field == field
