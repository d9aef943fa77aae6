"""A file that is damaged, changed or of another kind is told with its line, before anything is stored."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import anyio
import pytest

from agentmem_store import errors, transfer
from agentmem_store.config import DEVELOPMENT
from agentmem_store.database import Database
from agentmem_store.query import Query
from agentmem_store.repositories import agents, organizations
from agentmem_store.scope import Scope
from agentmem_store.transfer.reading import Batch, batches, check
from tests.transfer import edited

NOWHERE = Database("postgresql://nobody@127.0.0.1:1/nothing")


class Boom(Exception):
    pass


@pytest.fixture
async def file(tenant: Scope, agent_id: UUID, tmp_path: Path) -> Path:
    await transfer.dump(tenant, tmp_path / "a.jsonl")
    return tmp_path / "a.jsonl"


def test_a_file_without_its_end_is_noticed(file: Path) -> None:
    """Wherever it was cut: within a line, or between two."""
    whole = file.read_bytes()
    between = [match.end() for match in re.finditer(b"\n", whole)][:-1]
    for place in (0, 1, *range(0, len(whole) - 1, 97), *between):
        file.write_bytes(whole[:place])
        with pytest.raises(transfer.DumpInvalid) as caught:
            check(file)
        assert caught.value.line in {whole[:place].count(b"\n"), whole[:place].count(b"\n") + 1}
        assert str(caught.value).startswith(f"{file}:{caught.value.line}: ")


def test_a_changed_byte_is_noticed(file: Path) -> None:
    """Wherever it is: in the first line, a row, a line's frame, or the sums."""
    whole = file.read_bytes()
    for place in range(0, len(whole) - 1, 23):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(transfer.DumpInvalid) as caught:
            check(file)
        line = whole[:place].count(b"\n") + 1
        if table := re.match(rb'\{"table":"[a-z_]+"', whole.splitlines()[line - 1]):
            first = whole[: whole.find(table[0])].count(b"\n") + 1
            assert caught.value.line in {line, first}, "the line, or the first of its table"


def test_a_line_removed_repeated_or_moved_is_noticed(file: Path) -> None:
    lines = file.read_bytes().splitlines(keepends=True)
    for changed in (
        lines[:2] + lines[3:],
        [*lines[:3], lines[2], *lines[3:]],
        [lines[0], lines[2], lines[1], *lines[3:]],
        [*lines[:-1], lines[1], lines[-1]],
        [*lines, b"\n"],
        [*lines, *lines],
    ):
        file.write_bytes(b"".join(changed))
        with pytest.raises(transfer.DumpInvalid):
            check(file)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b'"format":1', b'"format":2', ":1: is of format 2, and this release reads 1"),
        (b'"dump_of":"agentmem_store"', b'"dump_of":"another"', ":1: is not the first line of a dump"),
        (b'"timezone",', b"", r":1: was dumped at schema version \d+, and differs from this release in: users; load"),
        (b'"organization_id":"', b'"organization_id":"x', ":1: the first line was changed"),
    ],
)
async def test_another_kind_of_file_is_told(file: Path, old: bytes, new: bytes, reason: str) -> None:
    with pytest.raises(transfer.DumpInvalid, match=reason):
        await transfer.load(NOWHERE, edited(file, old, new, with_sums=True))


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"{}\n", b'{"role": "user", "content": "Hi"}\n', b"\x00\xff\n", b"[" * 9999]
)
async def test_no_dump_at_all(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "chat.jsonl").write_bytes(content)
    with pytest.raises(transfer.DumpInvalid, match=r"chat\.jsonl:1: is not the first line of a dump"):
        await transfer.load(NOWHERE, tmp_path / "chat.jsonl")


async def test_files_that_cannot_be_read_or_written(tenant: Scope, tmp_path: Path) -> None:
    with pytest.raises(transfer.DumpInvalid, match=r"none.jsonl: cannot be read: No such file") as caught:
        await transfer.load(NOWHERE, tmp_path / "none.jsonl")
    assert caught.value.line is None
    with pytest.raises(transfer.DumpInvalid, match="Is a directory"):
        await transfer.load(NOWHERE, tmp_path)
    with pytest.raises(FileNotFoundError):
        await transfer.dump(tenant, tmp_path / "none" / "a.jsonl")
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="directory"):
        await transfer.dump(tenant, tmp_path / "taken")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


async def test_a_compressed_file(tenant: Scope, file: Path, db: Database) -> None:
    packed = file.with_suffix(".gz")
    await transfer.dump(tenant, packed)
    assert gzip.decompress(packed.read_bytes()).splitlines()[1:-1] == file.read_bytes().splitlines()[1:-1]
    await transfer.load(db, packed, into=uuid4())

    whole = packed.read_bytes()
    middle = len(whole) // 2
    for damaged in (whole[:-9], whole[:middle], whole[:middle] + b"\x00" * 9 + whole[middle + 9 :], file.read_bytes()):
        packed.write_bytes(damaged)
        with pytest.raises(transfer.DumpInvalid, match=r"a\.gz(:\d+)?: "):
            await transfer.load(NOWHERE, packed)


@pytest.mark.parametrize("failure", [Boom, TimeoutError])
async def test_a_dump_that_fails_leaves_what_was_there(tenant: Scope, file: Path, failure: type[Exception]) -> None:
    before = file.read_bytes()

    def fail(done: int, total: int) -> None:
        raise failure

    for path in (file, file.with_suffix(".gz")):
        with pytest.raises(failure):
            await transfer.dump(tenant, path, on_progress=fail)
    assert [path.read_bytes() for path in file.parent.iterdir()] == [before]


async def test_only_its_owner_can_read_a_dump(file: Path) -> None:
    assert file.stat().st_mode & 0o777 == 0o600


async def test_a_newer_schema_asks_for_migration(file: Path, elsewhere: Database) -> None:
    """One that only has an older number, and the same columns, is loaded."""
    version = b'"schema_version":%d' % json.loads(file.read_bytes().splitlines()[0])["schema_version"]
    with pytest.raises(errors.ConfigurationError, match=r"the dump is of schema version 9999, .* migrate the database"):
        await transfer.load(elsewhere, edited(file, version, b'"schema_version":9999', with_sums=True))
    await transfer.load(elsewhere, edited(file, version, b'"schema_version":1', with_sums=True))


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b'"status":"active"', b'"status":"secret"', "users_status_known"),
        (b'"timezone":"Asia/Shanghai"', b'"timezone":null', "null value in column"),
        (b'"seq":1,', b'"seq":"secret",', r"the server refused a value \(22P02\)"),
        (b'"user_id":"', b'"user_id":"00000000-0000-0000-0000-000000000000","was":"', "messages_user_fkey"),
    ],
)
async def test_a_row_made_by_hand_is_told_with_its_lines(
    file: Path, elsewhere: Database, old: bytes, new: bytes, reason: str
) -> None:
    """The sums are right, so only the database can tell; nothing is stored, and no value is shown."""
    with pytest.raises(
        transfer.DumpInvalid, match=rf":\d+: the database refuses a row of \w+ \(lines .*{reason}"
    ) as told:
        await transfer.load(elsewhere, edited(file, old, new, with_sums=True))
    assert "secret" not in str(told.value)
    assert await organizations.count(elsewhere) == 0


async def test_what_is_no_fault_of_the_file_is_not_told_as_one(file: Path, elsewhere: Database) -> None:
    async with elsewhere.connection() as connection:
        name = await connection.fetchval("SELECT current_database()")
        await connection.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    async with Database(elsewhere.dsn, DEVELOPMENT) as reader:
        with pytest.raises(errors.ReadOnly):
            await transfer.load(reader, file)


async def test_what_does_not_read_back_the_same_is_not_stored(file: Path, elsewhere: Database) -> None:
    with pytest.raises(transfer.NotAsDumped, match="memories: 2 rows read back, 2 in the file, and their sums differ"):
        await transfer.load(elsewhere, edited(file, b'"importance":0.1,', b'"importance":0.10,', with_sums=True))
    assert await organizations.count(elsewhere) == 0


async def test_a_file_that_changes_between_check_and_load_is_noticed(
    file: Path, elsewhere: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = check(file)
    shorter = file.with_name("b.jsonl")
    shorter.write_bytes(
        b"".join(line for line in file.read_bytes().splitlines(keepends=True) if b"memories" not in line)
    )
    monkeypatch.setattr("agentmem_store.transfer.loading.check", lambda path: contents)
    with pytest.raises(errors.AgentMemError):
        await transfer.load(elsewhere, shorter)
    assert await organizations.count(elsewhere) == 0


# Row 450 is the one that cannot be made.
PARTS = Query("test.parts", int, """
SELECT (1000 / (n - 450))::bigint
FROM generate_series(1, 1000) AS n
WHERE $1::uuid IS NOT NULL
""")  # fmt: skip


async def test_a_stream_holds_few_rows(scope: Scope) -> None:
    """Those before a failing row have come, a hundred at a time, when the server has not made the failing one yet."""
    came = 0
    with pytest.raises(errors.DatabaseError) as caught:
        async with scope.transaction() as tx:
            async for _ in tx.stream(PARTS):
                came += 1
    assert came == 400
    assert (caught.value.sqlstate, caught.value.query) == ("22012", "test.parts")


async def test_a_stream_runs_within_a_transaction(tenant: Scope, db: Database) -> None:
    async with db.connection() as connection:
        for scope in (tenant, tenant.on(connection)):
            with pytest.raises(errors.UsageError, match="within a transaction"):
                await anext(scope.stream(PARTS))
    async with tenant.transaction() as tx:
        stream = tx.stream(PARTS)
        for _ in range(100):
            await anext(stream)
    with pytest.raises(errors.UsageError, match="finished"):
        await anext(stream)
    assert await agents.count(tenant) == 0


@pytest.mark.parametrize("natively", [True, False])
async def test_a_cancelled_load_waits_for_its_thread(
    file: Path, elsewhere: Database, monkeypatch: pytest.MonkeyPatch, *, natively: bool
) -> None:
    """And is cancelled all the same: nothing is stored, and the connection is back."""
    loop, reading, go_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
    cancelling = anyio.CancelScope()

    def slowly(path: Path) -> Iterator[Batch]:
        loop.call_soon_threadsafe(reading.set)
        assert go_on.wait(30)
        yield from batches(path)

    async def work() -> None:
        with cancelling:
            await transfer.load(elsewhere, file)

    monkeypatch.setattr("agentmem_store.transfer.loading.batches", slowly)
    task = asyncio.create_task(work())
    await reading.wait()
    (task if natively else cancelling).cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    assert not task.done()
    go_on.set()
    assert [type(end) for end in await asyncio.gather(task, return_exceptions=True)] == [
        asyncio.CancelledError if natively else type(None)
    ]
    assert cancelling.cancelled_caught is not natively
    assert (await organizations.count(elsewhere), elsewhere.stats().in_use) == (0, 0)


async def test_a_cancelled_dump_leaves_no_file(tenant: Scope, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even while a thread compresses."""
    loop, writing, go_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    class Slow(gzip.GzipFile):
        def writelines(self, lines: Any) -> None:
            loop.call_soon_threadsafe(writing.set)
            assert go_on.wait(30)
            super().writelines(lines)

    monkeypatch.setattr(gzip, "GzipFile", Slow)
    task = asyncio.create_task(transfer.dump(tenant, tmp_path / "a.gz"))
    await writing.wait()
    task.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [*tmp_path.iterdir()] == []
