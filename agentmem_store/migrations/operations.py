"""What one does with migrations: up, down, to, status, verify, require_head, baseline, repair, new."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio.to_thread

from agentmem_store import errors
from agentmem_store.migrations import drift, files, ledger, problems, runner
from agentmem_store.migrations.runner import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
    from importlib.resources.abc import Traversable

    from agentmem_store.config import RetryConfig
    from agentmem_store.migrations.drift import Status
    from agentmem_store.migrations.files import Migration
    from agentmem_store.migrations.ledger import Applied, Connection

    OnStep = Callable[[Applied], object] | None

__all__ = [
    "baseline",
    "compared",
    "discovered",
    "down",
    "new",
    "repair",
    "require_head",
    "status",
    "to",
    "up",
    "verify",
]

_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
_UP: Final = "-- What it is for, and which locks it takes on tables that are in use.\n\n"
_DOWN: Final = "-- What is lost by taking it back. Without a statement it cannot be taken back.\n\n"


async def up(
    dsn: str,
    *,
    tracks: Sequence[str] = ("core",),
    root: Traversable | None = None,
    wait_s: float = 60,
    retry: RetryConfig = PATIENCE,
    on_step: OnStep = None,
) -> list[Applied]:
    """Apply all that is pending, each migration in one transaction with its row in the ledger.

    All that was applied is verified before anything runs. A database at head is not locked. A file that declares
    ``-- agentmem: no-transaction`` runs statement by statement, and resumes where an earlier call stopped.

    Args:
        dsn: a PostgreSQL DSN, or ``embedded:DIRECTORY``; not one of a pooler in transaction mode.
        tracks: the folders under sql/ to apply.
        root: the folder of the tracks; None for the package's own.
        wait_s: seconds to wait while another process migrates; 0 tries once.
        retry: how often a file begins again that met a deadlock, or waited for a table longer than its lock-timeout.
        on_step: called with each migration when it is applied.

    Returns:
        what this call applied, in order: core first, the other tracks by name, each by number.

    Raises:
        ValidationError: no such track, or a negative wait_s.
        MigrationFilesInvalid: the folders are not clean series, or a file does not declare what it does.
        MigrationDrift: what was applied is not what the files say, see `problems` for its kinds; nothing ran.
        MigrationNewer: a newer release migrated this database; nothing ran.
        MigrationLocked: another process held the lock for the whole wait; nothing ran.
        MigrationThroughPooler: a transaction pooler stands before the server; nothing ran.
        MigrationFailed: a migration failed and left nothing, or without a transaction what its statements before did;
            those before it stay.
        ConnectError, DatabaseError: the server cannot be reached, or refused a statement of the runner's own.
    """
    migrations = await discovered(root, tracks, wait_s)
    async with runner.connection(dsn) as connection:
        if (await compared(connection, migrations, tracks)).verified().at_head:
            return []
        async with runner.locked(connection, wait_s):
            await ledger.create(connection)
            now = (await compared(connection, migrations, tracks)).verified()
            return await _apply(connection, now, now.pending, retry, on_step)


async def down(
    dsn: str,
    *,
    steps: int = 1,
    track: str = "core",
    root: Traversable | None = None,
    wait_s: float = 60,
    retry: RetryConfig = PATIENCE,
    on_step: OnStep = None,
) -> list[Applied]:
    """Take back the newest migrations of a track, each in one transaction with its row in the ledger.

    Args:
        dsn: as for `up`.
        steps: how many, from 1; all, where fewer are applied.
        track: the folder under sql/. The others stand on core: take theirs back before core's that they need.
        root: as for `up`.
        wait_s: as for `up`.
        retry: as for `up`.
        on_step: as for `up`.

    Returns:
        what this call took back, newest first.

    Raises:
        ValidationError: steps is below 1; else as for `up`.
        MigrationIrreversible: a down.sql among the steps holds no statement; nothing ran.
        MigrationUnfinished: the newest stopped half-way up; finish it with `up` first.
        MigrationError, ConnectError, DatabaseError: as for `up`.
    """
    if steps < 1:
        raise errors.ValidationError.of("steps", "must be at least 1")
    migrations = await discovered(root, [track], wait_s)
    async with _locked(dsn, wait_s) as connection:
        now = (await compared(connection, migrations, [track])).verified()
        return await _take_back(connection, now, _newest(migrations, now, track)[:steps], retry, on_step)


async def to(
    dsn: str,
    version: int,
    *,
    track: str = "core",
    root: Traversable | None = None,
    wait_s: float = 60,
    retry: RetryConfig = PATIENCE,
    on_step: OnStep = None,
) -> list[Applied]:
    """Bring a track to a number: apply what is pending up to it, or take back what is beyond it.

    Args:
        dsn: as for `up`.
        version: the number of the migration that is to be the newest, 0 for none.
        track: the folder under sql/.
        root: as for `up`.
        wait_s: as for `up`.
        retry: as for `up`.
        on_step: as for `up`.

    Returns:
        what this call applied or took back, in its order.

    Raises:
        ValidationError: the track has no such number.
        MigrationError, ConnectError, DatabaseError: as for `up` and `down`.
    """
    migrations = await discovered(root, [track], wait_s)
    _check_version(migrations, track, version)
    async with _locked(dsn, wait_s) as connection:
        await ledger.create(connection)
        now = (await compared(connection, migrations, [track])).verified()
        if beyond := [step for step in _newest(migrations, now, track) if step.version > version]:
            return await _take_back(connection, now, beyond, retry, on_step)
        below = [step for step in now.pending if step.track == track and step.version <= version]
        return await _apply(connection, now, below, retry, on_step)


async def status(dsn: str, *, tracks: Sequence[str] = ("core",), root: Traversable | None = None) -> Status:
    """Tell what is applied, pending and wrong, without a lock and without writing; a read-only server will do.

    Args:
        dsn: as for `up`.
        tracks: the folders whose migrations count as pending; problems are told of all.
        root: as for `up`.

    Raises:
        ValidationError, MigrationFilesInvalid, ConnectError, DatabaseError: as for `up`.
    """
    migrations = await discovered(root, tracks)
    async with runner.connection(dsn) as connection:
        return await compared(connection, migrations, tracks)


async def verify(dsn: str, *, root: Traversable | None = None) -> None:
    """Raise MigrationDrift or MigrationNewer where what was applied, in any track, is not as the files say."""
    (await status(dsn, tracks=(), root=root)).verified()


async def require_head(
    dsn: str, *, tracks: Sequence[str] = ("core",), root: Traversable | None = None, allow_newer: bool = False
) -> None:
    """Come back only if the database is at head: what an application calls before it starts to serve.

    Args:
        dsn: as for `status`.
        tracks: as for `status`.
        root: as for `status`.
        allow_newer: whether a database that a newer release migrated will do, as in a rolling deployment.

    Raises:
        MigrationPending: something is not applied.
        MigrationNewer: a newer release migrated it.
        MigrationDrift, ValidationError, MigrationFilesInvalid, ConnectError, DatabaseError: as for `status`.
    """
    now = await status(dsn, tracks=tracks, root=root)
    if not (allow_newer and all(isinstance(problem, problems.MigrationNewer) for problem in now.problems)):
        now.verified()
    if now.pending:
        names = ", ".join(map(str, now.pending))
        raise problems.MigrationPending(f"not applied: {names}; run: agentmem-store migrate up")


async def baseline(
    dsn: str, version: int, *, track: str = "core", root: Traversable | None = None, wait_s: float = 60
) -> list[Applied]:
    """Note a track's migrations as applied without running them: for a database that has their tables already.

    Args:
        dsn: as for `up`.
        version: the number of the newest whose tables are there, from 1. Hold it against `verify_live` afterwards.
        track: the folder under sql/; none of it may be in the ledger.
        root: as for `up`.
        wait_s: as for `up`.

    Returns:
        what was noted, in order.

    Raises:
        ValidationError: the track has no such number, or is in the ledger already.
        MigrationError, ConnectError, DatabaseError: as for `up`.
    """
    migrations = await discovered(root, [track], wait_s)
    _check_version(migrations, track, version, least=1)
    async with _locked(dsn, wait_s) as connection, connection.transaction():
        await ledger.create(connection)
        now = await compared(connection, migrations, [track])
        if any(row.track == track for row in now.applied):
            raise errors.ValidationError.of("track", "is in the ledger already; a baseline is for one that is not")
        steps = [step for step in now.pending if step.track == track and step.version <= version]
        return [await ledger.put(connection, step, 0) for step in steps]


async def repair(
    dsn: str, steps: Collection[str], *, root: Traversable | None = None, wait_s: float = 60
) -> list[Applied]:
    """Make the ledger's rows of some migrations say what their files say, without running anything.

    For an up.sql that was edited or renamed on purpose, for a row that was lost or changed by hand, and for a file
    without a transaction that was finished by hand. What follows in the track is chained to it anew.

    Args:
        dsn: as for `up`.
        steps: which, such as ``core/0002_agents``.
        root: as for `up`.
        wait_s: as for `up`.

    Returns:
        the rows that were written, in order.

    Raises:
        ValidationError: there is no such migration among the files.
        MigrationError, ConnectError, DatabaseError: as for `up`.
    """
    migrations = await discovered(root, (), wait_s)
    chosen = [step for step in migrations if str(step) in steps]
    if unknown := sorted({*steps} - {*map(str, chosen)}):
        raise errors.ValidationError.of("steps", f"no such migration: {', '.join(unknown)}")
    async with _locked(dsn, wait_s) as connection, connection.transaction():
        await ledger.create(connection)
        rows = {(row.track, row.version): row for row in await ledger.read(connection)}
        for step in chosen:
            row = rows.get((step.track, step.version))
            rows[step.track, step.version] = await ledger.put(connection, step, row.duration_ms if row else 0)
        for track in {step.track for step in chosen}:
            await _chain_anew(connection, [row for row in rows.values() if row.track == track])
        written = {(row.track, row.version): row for row in await ledger.read(connection)}
        return [written[step.track, step.version] for step in chosen]


async def new(name: str, *, track: str = "core", root: Path | None = None) -> Path:
    """Make the folder of a new migration with the next free number, and its two files with their first lines.

    Args:
        name: lower-case letters, digits and underscores, such as ``agents_by_topic``.
        track: the folder under sql/; made where it is missing.
        root: the folder of the tracks; None for the checkout's.

    Returns:
        the folder.

    Raises:
        ValidationError: the name cannot be one.
        MigrationFilesInvalid: the folders are not clean series.
    """
    for field, value in (("name", name), ("track", track)):
        if not _NAME.fullmatch(value):
            raise errors.ValidationError.of(field, "must be lower-case letters, digits and _, a letter first")
    place = root or Path(str(files.sql_root()))
    return await anyio.to_thread.run_sync(_make, place, track, name)


def _make(root: Path, track: str, name: str) -> Path:
    newest = max((step.version for step in files.discover(root) if step.track == track), default=0)
    folder = root / track / f"{newest + 1:04d}_{name}"
    folder.mkdir(parents=True)
    (folder / "up.sql").write_text(_UP, encoding="utf-8")
    (folder / "down.sql").write_text(_DOWN, encoding="utf-8")
    return folder


async def discovered(root: Traversable | None, tracks: Sequence[str] = (), wait_s: float = 0) -> list[Migration]:
    """Read the files, and check what a caller asked for."""
    if not wait_s >= 0:
        raise errors.ValidationError.of("wait_s", "must not be negative")
    migrations = await anyio.to_thread.run_sync(files.discover, root or files.sql_root())
    known = dict.fromkeys(step.track for step in migrations)
    if not set(tracks) <= set(known):
        raise errors.ValidationError.of("track", f"no such folder under sql/; there are: {', '.join(known) or 'none'}")
    return migrations


def _check_version(migrations: Sequence[Migration], track: str, version: int, *, least: int = 0) -> None:
    newest = max(step.version for step in migrations if step.track == track)
    if not least <= version <= newest:
        raise errors.ValidationError.of("version", f"must be a number of the track, {least} to {newest}")


@asynccontextmanager
async def _locked(dsn: str, wait_s: float) -> AsyncGenerator[Connection]:
    async with runner.connection(dsn) as connection, runner.locked(connection, wait_s):
        yield connection


async def compared(connection: Connection, migrations: Sequence[Migration], tracks: Collection[str]) -> Status:
    """Compare files and ledger. Core counts with every other track, as they stand on it."""
    return drift.compare(migrations, await ledger.read(connection), {*tracks, "core"} if tracks else ())


def _newest(migrations: Sequence[Migration], now: Status, track: str) -> list[Migration]:
    """Return what is applied of a track, wholly or half, newest first."""
    done = {(row.track, row.version) for row in now.applied}
    return [step for step in reversed(migrations) if step.track == track and (track, step.version) in done]


async def _apply(
    connection: Connection, now: Status, steps: Sequence[Migration], retry: RetryConfig, on_step: OnStep
) -> list[Applied]:
    await _check(connection, now, [step.up for step in steps])
    half = {(row.track, row.version) for row in now.applied if row.unfinished == "down"}
    for step in steps:
        if (step.track, step.version) in half:  # it stopped on its way back, which up.sql does not expect
            await runner.take_back(connection, step, retry)
    return [await _told(runner.apply(connection, step, retry), on_step) for step in steps]


async def _take_back(
    connection: Connection, now: Status, steps: Sequence[Migration], retry: RetryConfig, on_step: OnStep
) -> list[Applied]:
    if final := [str(step) for step in steps if not step.down.holds_statement]:
        raise problems.MigrationIrreversible(f"{', '.join(final)}: cannot be taken back: down.sql holds no statement")
    half = {(row.track, row.version) for row in now.applied if row.unfinished == "up"}
    if stuck := [str(step) for step in steps if (step.track, step.version) in half]:
        raise problems.MigrationUnfinished(f"{', '.join(stuck)}: stopped half-way up; finish it first: migrate up")
    await _check(connection, now, [step.down for step in steps])
    return [await _told(runner.take_back(connection, step, retry), on_step) for step in steps]


async def _check(connection: Connection, now: Status, scripts: Sequence[files.Script]) -> None:
    from agentmem_store.migrations import checks  # with the splitter, which an application at head does not need

    checks.check_files(scripts)
    await checks.check_indexes(connection, scripts, {row.begun for row in now.applied if row.begun})


async def _told(doing: Awaitable[Applied], on_step: OnStep) -> Applied:
    row = await doing
    if on_step:
        on_step(row)
    return row


async def _chain_anew(connection: Connection, rows: Sequence[Applied]) -> None:
    chain = ""
    for row in sorted(rows, key=lambda row: row.version):
        chain = row.chained(chain)
        await ledger.put(
            connection, replace(row, chain=chain), row.duration_ms,
            unfinished=row.unfinished, statements=row.statements, begun=row.begun,
        )  # fmt: skip
