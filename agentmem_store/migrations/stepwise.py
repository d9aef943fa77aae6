"""Files without a transaction: statement by statement, progress in the ledger, resumed at the one that failed.

A statement that can run in a transaction runs in one, together with its note in the ledger: once, whatever happens. One
that cannot, such as CREATE INDEX CONCURRENTLY, is noted as begun, run, and noted as done. A run that died in between
finds the note, clears away what the statement left half-done, and runs it again.
"""

from __future__ import annotations

import re
from contextlib import suppress
from time import perf_counter
from typing import TYPE_CHECKING, Final

from agentmem_store import errors
from agentmem_store.migrations import indexes, ledger, problems, runner
from agentmem_store.migrations.checks import ONLY_ALONE, needs_no_transaction
from agentmem_store.migrations.splitter import split

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentmem_store.config import RetryConfig
    from agentmem_store.migrations.files import Migration, Script
    from agentmem_store.migrations.ledger import Applied, Connection, Way
    from agentmem_store.migrations.splitter import Statement

__all__ = ["apply", "take_back"]

_SETTING: Final = re.compile(r"(SET|RESET)\b(?! LOCAL)", re.IGNORECASE)
_DETACH: Final = re.compile(r"(ALTER TABLE .* DETACH PARTITION .*) CONCURRENTLY$", re.IGNORECASE)

# What the server says of a statement that was done already: it is there (database, table, object), or it is gone.
_DONE_BEFORE: Final = {"42P04", "42P07", "42710", "3D000", "42P01", "42704"}


async def apply(connection: Connection, step: Migration, retry: RetryConfig) -> Applied:
    """Run up.sql from where it stopped."""
    run = _Run(connection, step, "up", retry)
    await run.all(await _row_of(connection, step))
    return await ledger.put(connection, step, run.duration_ms)


async def take_back(connection: Connection, step: Migration, retry: RetryConfig) -> Applied:
    """Run down.sql from where it stopped."""
    row = await _row_of(connection, step)
    await _Run(connection, step, "down", retry).all(row if row and row.unfinished else None)
    return await ledger.remove(connection, step)


async def _row_of(connection: Connection, step: Migration) -> Applied | None:
    rows = await ledger.read(connection)
    return next((row for row in rows if (row.track, row.version) == (step.track, step.version)), None)


class _Run:
    """One file on its way."""

    def __init__(self, connection: Connection, step: Migration, way: Way, retry: RetryConfig) -> None:
        self._connection, self._step, self._retry = connection, step, retry
        self._way: Way = way
        self._script: Script = step.up if way == "up" else step.down
        self._done: list[str] = []
        self._started = perf_counter()

    @property
    def duration_ms(self) -> int:
        return round((perf_counter() - self._started) * 1000)

    async def all(self, row: Applied | None) -> None:
        """Run what is left. The row is the ledger's, if the file was begun."""
        statements = split(self._script.sql)
        self._done = list(row.statements) if row else []
        self._refuse_other_prefix(statements)
        for statement in statements[: len(self._done)]:
            if _SETTING.match(statement.code):  # it was for the session of the run that stopped
                await self._connection.execute(statement.sql)
        begun = row.begun if row else None
        for statement in statements[len(self._done) :]:
            try:
                await self._one(statement, resumed=begun == statement.digest)
            except errors.MigrationFailed as error:
                error.args = (f"{error}; {len(self._done)} of {len(statements)} statements are done and stay",)
                raise
            begun = None
        await self._connection.execute(runner.SETTLE)

    def _refuse_other_prefix(self, statements: Sequence[Statement]) -> None:
        if self._done != [statement.digest for statement in statements[: len(self._done)]]:
            count = len(self._done)
            said = f"its first {count} statements ran already, and they were edited since; restore them"
            raise problems.MigrationPrefixChanged(f"{self._script.path}: {said}, and change only what comes after")

    async def _one(self, statement: Statement, *, resumed: bool) -> None:
        if not needs_no_transaction(statement) and not resumed:
            try:
                await runner.kindly(self._connection, self._retry, lambda: self._in_transaction(statement))
            except errors.MigrationFailed as error:
                if error.sqlstate not in ONLY_ALONE:
                    raise
            else:
                return
        await runner.kindly(self._connection, self._retry, lambda: self._alone(statement, resumed=resumed))

    async def _in_transaction(self, statement: Statement) -> None:
        done = [*self._done, statement.digest]
        with runner.telling(self._script, statement.at):
            await self._connection.execute(runner.begin(self._script))
            await self._connection.execute(statement.sql)
            await self._note(done)
            await self._connection.execute("COMMIT")
        self._done = done

    async def _alone(self, statement: Statement, *, resumed: bool) -> None:
        """Run a statement outside of a transaction. By default it waits for ever: behind it nobody has to wait."""
        if resumed:
            await indexes.drop_leftovers(self._connection, statement.code)
        await self._note(self._done, begun=statement.digest)
        lock_ms, statement_ms = self._script.lock_timeout_ms or 0, self._script.statement_timeout_ms or 0
        await self._connection.execute(f"SET lock_timeout = {lock_ms}; SET statement_timeout = {statement_ms}")
        try:
            with runner.telling(self._script, statement.at):
                await self._connection.execute(statement.sql)
        except errors.MigrationFailed as error:
            if not (resumed and await self._is_done_after_all(statement, error)):
                await self._clear_away(statement, error)
                raise
        self._done = [*self._done, statement.digest]
        await self._note(self._done)

    async def _is_done_after_all(self, statement: Statement, error: errors.MigrationFailed) -> bool:
        """Tell whether the run that died had come to the statement's end."""
        if detach := _DETACH.match(statement.code):
            with suppress(*runner.DRIVER_ERRORS):
                await self._connection.execute(f"{detach[1]} FINALIZE")
                return True
        return error.sqlstate in _DONE_BEFORE

    async def _clear_away(self, statement: Statement, error: errors.MigrationFailed) -> None:
        """After an answer of the server's, leave nothing half-done, and no note. A lost connection leaves the note."""
        with suppress(*runner.DRIVER_ERRORS):
            if error.sqlstate not in _DONE_BEFORE:  # else what is there is somebody else's
                await indexes.drop_leftovers(self._connection, statement.code)
            await self._note(self._done)

    async def _note(self, done: list[str], begun: str | None = None) -> None:
        step, ms = self._step, self.duration_ms
        await ledger.put(self._connection, step, ms, unfinished=self._way, statements=done, begun=begun)
