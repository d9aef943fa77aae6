"""What pending migrations would do, found out by doing it in a scratch database."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Final

from agentmem_store import connect, errors
from agentmem_store.migrations import checks, files, fingerprint, ledger, operations, runner, scratch
from agentmem_store.migrations.splitter import split

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from importlib.resources.abc import Traversable

    from agentmem_store.migrations.files import Migration, Script
    from agentmem_store.migrations.ledger import Connection
    from agentmem_store.migrations.splitter import Statement

__all__ = ["Lock", "PlannedMigration", "PlannedStatement", "plan"]

# What each mode keeps waiting, from the weakest on (PostgreSQL manual, 13.3.1).
_BLOCKS: Final = {
    "AccessShareLock": "nothing",
    "RowShareLock": "nothing",
    "RowExclusiveLock": "nothing",
    "ShareUpdateExclusiveLock": "nothing",
    "ShareLock": "writes",
    "ShareRowExclusiveLock": "writes",
    "ExclusiveLock": "writes",
    "AccessExclusiveLock": "reads and writes",
}
_STRENGTH: Final = {mode: strength for strength, mode in enumerate(_BLOCKS)}
_HARMLESS: Final = _STRENGTH["RowExclusiveLock"]  # and below: what reading and writing takes

_FILES: Final = """
SELECT c.oid::text AS id, format('%I.%I', n.nspname, c.relname) AS name, c.relkind::text AS kind,
       pg_relation_filenode(c.oid) AS file
  FROM pg_class     AS c
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
 WHERE n.nspname !~ '^pg_'
   AND n.nspname <> 'information_schema'
   AND c.relkind IN ('r', 'p', 'm', 'i')
"""
_LOCKS: Final = """
SELECT l.relation::text AS id, l.mode
  FROM pg_locks AS l
 WHERE l.pid = pg_backend_pid()
   AND l.locktype = 'relation'
   AND l.granted
"""
_ROWS: Final = """
SELECT format('%I.%I', n.nspname, c.relname) AS name, greatest(c.reltuples, 0)::bigint AS rows
  FROM pg_class     AS c
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
 WHERE n.nspname !~ '^pg_'
   AND n.nspname <> 'information_schema'
   AND c.relkind IN ('r', 'p', 'm')
"""


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock on a table that was there before the migration.

    Attributes:
        table: its name.
        mode: such as ``AccessExclusiveLock``; those of plain reading and writing are left out.
        blocks: what has to wait: ``nothing``, ``writes``, or ``reads and writes``; until the transaction ends.
        rows: about how many rows the live table has; None where it is not there.
    """

    table: str
    mode: str
    blocks: str
    rows: int | None


@dataclass(frozen=True, slots=True)
class PlannedStatement:
    """One statement of a pending migration.

    Attributes:
        place: file, line and column.
        sql: the statement in one line.
        alone: whether it runs outside of a transaction; its locks are not seen then, and block neither reads nor writes
            unless its documentation says so.
        locks: what it locks that the migration had not locked yet.
        rewrites: tables and indexes that were there before and are written anew, with everything in them.
        duration_ms: how long it took on empty tables.
    """

    place: str
    sql: str
    alone: bool
    locks: tuple[Lock, ...]
    rewrites: tuple[str, ...]
    duration_ms: float


@dataclass(frozen=True, slots=True)
class PlannedMigration:
    """A pending migration.

    Attributes:
        name: such as ``core/0002_agents``.
        statements: of its up.sql, in order.
        irreversible: why it cannot be taken back, found out by taking it back; None when that left no trace.
    """

    name: str
    statements: tuple[PlannedStatement, ...]
    irreversible: str | None


async def plan(
    dsn: str, *, tracks: Sequence[str] = ("core",), root: Traversable | None = None
) -> list[PlannedMigration]:
    """Replay the ledger and what is pending in a scratch database, and tell what each statement does.

    The live database is only read: its ledger, and how many rows the catalog says its tables have.

    Args:
        dsn: as for `up`. Its role needs CREATEDB, else the extra ``embedded`` has to be installed.
        tracks: as for `up`.
        root: as for `up`.

    Returns:
        what `up` would apply, in its order.

    Raises:
        MigrationFailed: a pending migration fails in the scratch database already.
        MigrationNoScratch: there is no scratch database to be had.
        MigrationUnfinished: a file without a transaction stopped half-way.
        ValidationError, MigrationError, ConnectError, DatabaseError: as for `up`.
    """
    migrations = await operations.discovered(root, tracks)
    async with connect.serving(dsn) as served, runner.connection(served) as live:
        now = (await operations.compared(live, migrations, tracks)).verified()
        fingerprint.refuse_unfinished(now.applied)
        checks.check_files([step.up for step in now.pending])
        rows = {row["name"]: row["rows"] for row in await live.fetch(_ROWS)}
        async with scratch.database(live, served) as connection:
            await fingerprint.replay(connection, migrations, now.applied)
            trials = [_Trial(connection, step, rows) for step in now.pending]
            for trial in trials:
                await trial.apply()
            await _take_back(trials)
            return [PlannedMigration(str(trial.step), tuple(trial.statements), trial.irreversible) for trial in trials]


async def _take_back(trials: Sequence[_Trial]) -> None:
    """Take back what was tried, newest first, and note of each what that left or why it failed."""
    known: set[str] = set()  # what is left of those that came later
    stuck: _Trial | None = None
    for trial in reversed(trials):
        if not trial.step.down.holds_statement:
            trial.irreversible, stuck = "down.sql holds no statement", trial
        elif stuck:
            trial.irreversible = f"not tried: {stuck.step} comes after it, and cannot be taken back"
        else:
            try:
                left = [line for line in await trial.left() if line not in known]
            except errors.MigrationFailed as error:
                trial.irreversible, stuck = f"down.sql fails: {error}", trial
            else:
                trial.irreversible = f"after down.sql: {'; '.join(left[:3])}" if left else None
                known.update(left)


class _Trial:
    """One migration, tried."""

    def __init__(self, connection: Connection, step: Migration, rows: Mapping[str, int]) -> None:
        self.step = step
        self.statements: list[PlannedStatement] = []
        self.irreversible: str | None = None
        self._connection, self._rows = connection, rows
        self._there: dict[str, str] = {}
        self._tables: dict[str, str] = {}
        self._before: dict[str, str] = {}

    async def apply(self) -> None:
        """Run up.sql, and look at what each statement does."""
        self._before = await fingerprint.of(self._connection, None)
        relations = await self._relations()
        self._there = {id_: row["name"] for id_, row in relations.items()}
        self._tables = {id_: row["name"] for id_, row in relations.items() if row["kind"] != "i"}
        self.statements = await self._statements(self.step.up)
        await self._connection.execute(runner.SETTLE)
        await ledger.put(self._connection, self.step, 0)

    async def left(self) -> list[str]:
        """Run down.sql, and tell what is other than it was before up.sql."""
        await runner.take_back(self._connection, self.step)
        return fingerprint.differences(self._before, await fingerprint.of(self._connection, None))

    async def _statements(self, script: Script) -> list[PlannedStatement]:
        """Run the file as `up` would: in one transaction, or each statement in one of its own where it can be."""
        statements = split(script.sql)
        if script.in_transaction:
            return await self._in_transaction(statements)
        planned: list[PlannedStatement] = []
        for statement in statements:
            alone = checks.needs_no_transaction(statement)
            try:
                planned += [] if alone else await self._in_transaction([statement])
            except errors.MigrationFailed as error:
                if error.sqlstate not in checks.ONLY_ALONE:
                    raise
                await self._connection.execute("ROLLBACK")
                alone = True
            if alone:
                planned.append(await self._statement(statement, {}, alone=True))
        return planned

    async def _in_transaction(self, statements: Sequence[Statement]) -> list[PlannedStatement]:
        seen: dict[str, str] = {}
        await self._connection.execute(runner.begin(self.step.up))
        planned = [await self._statement(statement, seen) for statement in statements]
        with runner.telling(self.step.up):
            await self._connection.execute("COMMIT")
        return planned

    async def _statement(self, statement: Statement, seen: dict[str, str], *, alone: bool = False) -> PlannedStatement:
        """Run a statement. `seen` has the strongest lock of each table that the migration holds already."""
        before, started = await self._relations(), perf_counter()
        with runner.telling(self.step.up, statement.at):
            await self._connection.execute(statement.sql)
        took = (perf_counter() - started) * 1000
        after = await self._relations()
        rewritten = (
            row["name"] for name, row in before.items() if name in after and row["file"] != after[name]["file"]
        )
        return PlannedStatement(
            f"{self.step.up.path}:{':'.join(map(str, files.place_of(self.step.up.sql, statement.at)))}",
            " ".join(statement.sql.split()),
            alone,
            tuple(await self._locks(seen)),
            tuple(name for name in rewritten if name in self._there.values()),
            round(took, 1),
        )

    async def _relations(self) -> dict[str, dict[str, str]]:
        return {row["id"]: dict(row) for row in await self._connection.fetch(_FILES)}

    async def _locks(self, seen: dict[str, str]) -> list[Lock]:
        taken: dict[str, str] = {}
        for row in await self._connection.fetch(_LOCKS):
            table, mode = self._tables.get(row["id"]), row["mode"]
            if table and _STRENGTH[mode] > max(_HARMLESS, _STRENGTH.get(seen.get(table, ""), 0)):
                taken[table] = max(mode, taken.get(table, mode), key=_STRENGTH.__getitem__)
        seen |= taken
        return [Lock(table, mode, _BLOCKS[mode], self._rows.get(table)) for table, mode in sorted(taken.items())]
