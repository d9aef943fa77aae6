"""Changing many rows and holding nobody up: in batches, each in its own transaction, resumed where it stopped."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

import anyio

from agentmem_store import errors
from agentmem_store.migrations import ledger, runner
from agentmem_store.migrations.files import Script
from agentmem_store.migrations.runner import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentmem_store.config import RetryConfig
    from agentmem_store.migrations.ledger import Connection

__all__ = ["backfill"]

_MOST_ROWS: Final = 1_000_000

_CREATE: Final = """
CREATE TABLE IF NOT EXISTS agentmem.schema_backfills (
    name        text        NOT NULL PRIMARY KEY,
    checksum    text        NOT NULL,
    position    jsonb,
    done        bigint      NOT NULL DEFAULT 0,
    started_at  timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz
)
"""
_BEGIN: Final = """
INSERT INTO agentmem.schema_backfills (name, checksum)
VALUES ($1, $2)
    ON CONFLICT (name) DO NOTHING
"""
# Who else runs the same backfill waits here, and then goes on from where this batch ended.
_HOLD: Final = """
SELECT checksum, position::text, done, finished_at IS NOT NULL AS finished
  FROM agentmem.schema_backfills
 WHERE name = $1
   FOR UPDATE
"""
_ADVANCE: Final = """
UPDATE agentmem.schema_backfills
   SET position    = $2::jsonb,
       done        = done + $3,
       finished_at = CASE WHEN $2::jsonb IS NULL THEN now() END
 WHERE name = $1
RETURNING done
"""


async def backfill(
    dsn: str,
    name: str,
    sql: str,
    *,
    size: int = 1000,
    total: int = 0,
    pause_s: float = 0,
    on_progress: Callable[[int, int], object] | None = None,
    retry: RetryConfig = PATIENCE,
) -> int:
    """Run a statement again and again, each time for the next batch of rows, until it says that there are no more.

    Batch and position are committed together: a call that is stopped anywhere, also by a kill, is resumed by the next
    one of the same name, and no batch is done twice. Processes that run the same one at once share the work.

    Args:
        dsn: a PostgreSQL DSN, or ``embedded:DIRECTORY``; not one of a pooler in transaction mode.
        name: by which the position is kept in agentmem.schema_backfills; a finished one is not run again.
        sql: changes the next rows in the order of a key. It takes ``$1::jsonb``, the position where the last batch
            ended, NULL at first, and ``$2::int``, the size of a batch; it returns one row: how many rows it did, and
            as jsonb the position after them, NULL where there were none left.
        size: rows of a batch, 1 to 1,000,000; as many are locked at a time.
        total: how many rows there are to do, as far as it is known, for `on_progress` only.
        pause_s: seconds to leave to others after each batch.
        on_progress: called after each batch with the rows done, earlier calls included, and `total`.
        retry: how often a batch begins again that met a deadlock, or waited for a lock longer than 2 s.

    Returns:
        the rows done, earlier calls included.

    Raises:
        ValidationError: a bad size or pause; or another statement was begun under this name.
        MigrationFailed: a batch failed; those before it stay, and the next call goes on from there.
        MigrationLocked, MigrationThroughPooler, ConnectError, DatabaseError: as for `up`.
    """
    if not 1 <= size <= _MOST_ROWS:
        raise errors.ValidationError.of("size", f"must be 1 to {_MOST_ROWS:,}")
    if not pause_s >= 0:
        raise errors.ValidationError.of("pause_s", "must not be negative")
    filling = _Filling(name, sql, size)
    async with runner.connection(dsn) as connection:
        await filling.prepare(connection)
        while True:
            done, finished = await runner.kindly(connection, retry, lambda: filling.batch(connection))
            if on_progress:
                on_progress(done, max(done, total))
            if finished:
                return done
            await anyio.sleep(pause_s)


class _Filling:
    """One backfill."""

    def __init__(self, name: str, sql: str, size: int) -> None:
        self._name, self._size = name, size
        self._script = Script(f"backfill {name}", sql)
        self._checksum = sha256(sql.encode()).hexdigest()

    async def prepare(self, connection: Connection) -> None:
        """Make the table and this one's row, and see that the row is of this statement."""
        async with runner.locked(connection, 60):
            await ledger.create(connection)
            await connection.execute(_CREATE)
        await connection.execute(_BEGIN, self._name, self._checksum)
        kept = await connection.fetchval("SELECT checksum FROM agentmem.schema_backfills WHERE name = $1", self._name)
        if kept != self._checksum:
            raise errors.ValidationError.of("name", "another statement was begun under it; take another name")

    async def batch(self, connection: Connection) -> tuple[int, bool]:
        """Do one batch, and return the rows done so far, and whether that was the last."""
        with runner.telling(self._script):
            await connection.execute(runner.begin(self._script))
            state = (await connection.fetch(_HOLD, self._name))[0]
            done, finished = state["done"], state["finished"]
            if not finished:
                rows, position = await self._next(connection, state["position"])
                done, finished = await connection.fetchval(_ADVANCE, self._name, position, rows), position is None
            await connection.execute("COMMIT")
        return done, finished

    async def _next(self, connection: Connection, position: str | None) -> tuple[int, str | None]:
        answer = await connection.fetch(self._script.sql, position, self._size)
        if len(answer) != 1 or len(answer[0]) != 2:  # noqa: PLR2004 - rows done, position
            raise errors.MigrationFailed(f"{self._script.path}: must return one row: rows done, and the position")
        return answer[0][0] or 0, answer[0][1]
