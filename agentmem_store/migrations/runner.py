"""Apply and take back: a connection of its own, one lock, one transaction per migration."""

from __future__ import annotations

import random
from contextlib import asynccontextmanager, suppress
from time import perf_counter
from typing import TYPE_CHECKING, Final

import anyio
import anyio.to_thread
import asyncpg

from agentmem_store import connect, errors
from agentmem_store.migrations import drift, files, ledger

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from importlib.resources.abc import Traversable

    from agentmem_store.migrations.drift import Status
    from agentmem_store.migrations.files import Migration
    from agentmem_store.migrations.ledger import Applied, Connection

__all__ = ["down", "status", "up", "verify"]

_CLEANUP_S: Final = 5
_DRIVER_ERRORS: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)

# "agem" and "migr" as integers; the same in every release, so that old and new ones exclude each other.
_LOCK: Final = (0x6167656D, 0x6D696772)
_TRY_LOCK: Final = "SELECT pg_try_advisory_lock($1, $2)"
_HOLDER: Final = """
SELECT concat_ws(', ', format('pid %s (%s)', held.pid, coalesce(nullif(process.application_name, ''), 'unnamed')),
                       'connected for ' || round(extract(epoch FROM clock_timestamp() - process.backend_start)) || ' s')
  FROM pg_locks AS held
  LEFT JOIN pg_stat_activity AS process ON process.pid = held.pid
 WHERE held.locktype = 'advisory'
   AND held.granted
   AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND (held.classid, held.objid, held.objsubid) = ($1, $2, 2)
"""


async def up(
    dsn: str, *, tracks: Sequence[str] = ("core",), root: Traversable | None = None, lock_timeout_s: float = 60
) -> list[Applied]:
    """Apply all that is pending, each migration in one transaction with its row in the ledger.

    All that was applied is verified before anything runs. A database at head is not locked.

    Args:
        dsn: a PostgreSQL DSN, or ``embedded:DIRECTORY``; not one of a pooler in transaction mode.
        tracks: the folders under sql/ to apply.
        root: the folder of the tracks; None for the package's own.
        lock_timeout_s: seconds to wait while another process migrates; 0 tries once.

    Returns:
        what this call applied, in order: core first, the other tracks by name.

    Raises:
        ValidationError: no such track, or a negative lock_timeout_s.
        MigrationFilesInvalid: the folders are not clean series.
        MigrationDrift: what was applied is not what the files say; nothing ran.
        MigrationLocked: another process held the lock for the whole wait; nothing ran.
        MigrationFailed: a migration failed and left nothing; those before it stay.
        ConnectError, DatabaseError: the server cannot be reached, or refused a statement of the runner's own.
    """
    migrations = await _discover(root, tracks, lock_timeout_s)
    async with _connection(dsn) as connection:
        if drift.compare(migrations, await ledger.read(connection), tracks).verified().at_head:
            return []
        async with _locked(connection, lock_timeout_s):
            await ledger.create(connection)
            now = drift.compare(migrations, await ledger.read(connection), tracks).verified()
            return [await _apply(connection, step) for step in now.pending]


async def down(
    dsn: str, *, steps: int = 1, track: str = "core", root: Traversable | None = None, lock_timeout_s: float = 60
) -> list[Applied]:
    """Take back the newest migrations of a track, each in one transaction with its row in the ledger.

    Args:
        dsn: as for `up`.
        steps: how many, from 1; all, where fewer are applied.
        track: the folder under sql/.
        root: as for `up`.
        lock_timeout_s: as for `up`.

    Returns:
        what this call took back, newest first.

    Raises:
        ValidationError: steps is below 1; else as for `up`.
        MigrationError: a down.sql among the steps holds no statement; nothing ran.
        MigrationFilesInvalid, MigrationDrift, MigrationLocked, MigrationFailed, ConnectError, DatabaseError: as `up`.
    """
    if steps < 1:
        raise errors.ValidationError.of("steps", "must be at least 1")
    migrations = await _discover(root, [track], lock_timeout_s)
    async with _connection(dsn) as connection, _locked(connection, lock_timeout_s):
        now = drift.compare(migrations, await ledger.read(connection), [track]).verified()
        newest = [step for step in reversed(migrations) if step.track == track and step not in now.pending][:steps]
        if final := [str(step) for step in newest if not files.holds_statement(step.down)]:
            raise errors.MigrationError(f"{', '.join(final)}: cannot be taken back: down.sql holds no statement")
        return [await _take_back(connection, step) for step in newest]


async def status(dsn: str, *, tracks: Sequence[str] = ("core",), root: Traversable | None = None) -> Status:
    """Tell what is applied, pending and wrong, without a lock and without writing; a read-only server will do.

    Args:
        dsn: as for `up`.
        tracks: the folders whose migrations count as pending; problems are told of all.
        root: as for `up`.

    Raises:
        ValidationError, MigrationFilesInvalid, ConnectError, DatabaseError: as for `up`.
    """
    migrations = await _discover(root, tracks)
    async with _connection(dsn) as connection:
        return drift.compare(migrations, await ledger.read(connection), tracks)


async def verify(dsn: str, *, root: Traversable | None = None) -> None:
    """Raise MigrationDrift where anything applied, in any track, is not as the files say; else as `status`."""
    (await status(dsn, tracks=(), root=root)).verified()


async def _discover(root: Traversable | None, tracks: Sequence[str], lock_timeout_s: float = 0) -> list[Migration]:
    if not lock_timeout_s >= 0:
        raise errors.ValidationError.of("lock_timeout_s", "must not be negative")
    migrations = await anyio.to_thread.run_sync(files.discover, root or files.sql_root())
    known = dict.fromkeys(step.track for step in migrations)
    if not set(tracks) <= set(known):
        raise errors.ValidationError.of("track", f"no such folder under sql/; there are: {', '.join(known) or 'none'}")
    return migrations


@asynccontextmanager
async def _connection(dsn: str) -> AsyncGenerator[Connection]:
    async with connect.serving(dsn) as served:
        connection = await connect.connect(served, application_name="agentmem_store migrations")
        try:
            yield connection
        except _DRIVER_ERRORS as error:
            raise errors.from_driver(error) from error
        finally:
            with anyio.move_on_after(_CLEANUP_S, shield=True), suppress(*_DRIVER_ERRORS):
                await connection.close()


@asynccontextmanager
async def _locked(connection: Connection, timeout_s: float) -> AsyncGenerator[None]:
    """Hold the migration lock; in the end, roll back what failed or was cancelled, and release it.

    It is polled: who waits for it inside the server holds a snapshot, and CREATE INDEX CONCURRENTLY waits for that.
    """
    deadline, pause = anyio.current_time() + timeout_s, 0.1
    try:
        while not await connection.fetchval(_TRY_LOCK, *_LOCK):
            left = deadline - anyio.current_time()
            if left <= 0:
                holder = await connection.fetchval(_HOLDER, *_LOCK) or "it has just left"
                raise errors.MigrationLocked(
                    f"the migration lock was not free within {timeout_s:g} s: {holder}; run this again when it is done"
                )
            await anyio.sleep(min(left, pause * random.uniform(0.5, 1)))  # noqa: S311 - it keeps no secret
            pause = min(2 * pause, 1)
        yield
    finally:
        with anyio.move_on_after(_CLEANUP_S, shield=True), suppress(*_DRIVER_ERRORS):
            await connection.execute("ROLLBACK; SELECT pg_advisory_unlock_all()")


async def _apply(connection: Connection, step: Migration) -> Applied:
    async with _transaction(connection, f"{step}/up.sql", step.up) as duration_ms:
        return await ledger.add(connection, step, duration_ms)


async def _take_back(connection: Connection, step: Migration) -> Applied:
    async with _transaction(connection, f"{step}/down.sql", step.down):
        return await ledger.remove(connection, step)


@asynccontextmanager
async def _transaction(connection: Connection, path: str, sql: str) -> AsyncGenerator[int]:
    """Run a file, yield its milliseconds, commit after the block. To roll back is left to `_locked`."""
    try:
        await connection.execute("BEGIN")
        started = perf_counter()
        await connection.execute(sql)
        if not connection.is_in_transaction():
            raise errors.MigrationFailed(f"{path}: remove COMMIT and ROLLBACK, and undo by hand what ran before them")
        duration_ms = round((perf_counter() - started) * 1000)
        # What a file SET must reach neither the ledger nor the next file; RESET ALL leaves the role as it is.
        await connection.execute("RESET ROLE; RESET ALL")
        yield duration_ms
        await connection.execute("COMMIT")
    except _DRIVER_ERRORS as error:
        told = errors.from_driver(error)
        position = getattr(error, "position", None)
        line = f":{files.line_of(sql, int(position) - 1)}" if position else ""
        failed = errors.MigrationFailed(f"{path}{line}: {told}")
        failed.sqlstate, failed.constraint, failed.outcome = told.sqlstate, told.constraint, told.outcome
        raise failed from error
