"""What was done to a database: the table agentmem.schema_migrations and its statements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from agentmem_store.migrations.files import Step

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from typing import TypeAlias

    import asyncpg

    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record]
    Way: TypeAlias = Literal["up", "down"]

__all__ = ["Applied", "Connection", "create", "put", "read", "remove"]

_EXISTS: Final = "SELECT to_regclass('agentmem.schema_migrations') IS NOT NULL"

# Asked first, because CREATE SCHEMA IF NOT EXISTS demands the right to create even where there is nothing to do.
_CREATE: Final = """
DO $$
BEGIN
    IF to_regnamespace('agentmem') IS NULL THEN CREATE SCHEMA agentmem; END IF;
    CREATE TABLE IF NOT EXISTS agentmem.schema_migrations (
        track       text        NOT NULL,
        version     integer     NOT NULL CHECK (version > 0),
        name        text        NOT NULL,
        checksum    text        NOT NULL CHECK (length(checksum) = 64),
        chain       text        NOT NULL CHECK (length(chain) = 64),
        applied_at  timestamptz NOT NULL DEFAULT now(),
        applied_by  text        NOT NULL DEFAULT current_user,
        duration_ms integer     NOT NULL CHECK (duration_ms >= 0),
        unfinished  text                 CHECK (unfinished IN ('up', 'down')),
        statements  text[]      NOT NULL DEFAULT '{}',
        begun       text,
        PRIMARY KEY (track, version)
    );
END
$$
"""

_READ: Final = """
SELECT track, version, name, checksum, chain, applied_at, applied_by, duration_ms, unfinished, statements, begun
  FROM agentmem.schema_migrations
 ORDER BY track <> 'core', track COLLATE "C", version
"""

_PUT: Final = """
INSERT INTO agentmem.schema_migrations
       (track, version, name, checksum, chain, duration_ms, unfinished, statements, begun)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    ON CONFLICT (track, version) DO UPDATE
   SET name        = excluded.name,
       checksum    = excluded.checksum,
       chain       = excluded.chain,
       duration_ms = excluded.duration_ms,
       unfinished  = excluded.unfinished,
       statements  = excluded.statements,
       begun       = excluded.begun
RETURNING track, version, name, checksum, chain, applied_at, applied_by, duration_ms, unfinished, statements, begun
"""

_REMOVE: Final = """
DELETE FROM agentmem.schema_migrations
 WHERE track = $1
   AND version = $2
RETURNING track, version, name, checksum, chain, applied_at, applied_by, duration_ms, unfinished, statements, begun
"""


@dataclass(frozen=True, slots=True)
class Applied(Step):
    """A step as the ledger has it.

    Attributes:
        applied_at: when its transaction began; without a transaction, when its first statement did.
        applied_by: the role that ran it.
        duration_ms: how long its up.sql took.
        unfinished: which of its files runs statement by statement and has not come to its end.
        statements: of that file, the SHA-256 of each statement that is done.
        begun: the SHA-256 of the statement that was begun outside of a transaction; its end is not known.
    """

    applied_at: datetime
    applied_by: str
    duration_ms: int
    unfinished: Way | None
    statements: list[str]
    begun: str | None


async def create(connection: Connection) -> None:
    """Create schema and ledger where they are missing. Only under the lock: creators race."""
    await connection.execute(_CREATE)


async def read(connection: Connection) -> list[Applied]:
    """Return every row, by track (core first, the others by name), then by number; without a ledger, none."""
    exists = await connection.fetchval(_EXISTS)
    return [Applied(**row) for row in await connection.fetch(_READ)] if exists else []


async def put(
    connection: Connection,
    step: Step,
    duration_ms: int,
    *,
    unfinished: Way | None = None,
    statements: Sequence[str] = (),
    begun: str | None = None,
) -> Applied:
    """Note a step as applied, in the transaction that applies it; or how far a file without one has come."""
    identity = step.track, step.version, step.name, step.checksum, step.chain
    rows = await connection.fetch(_PUT, *identity, duration_ms, unfinished, [*statements], begun)
    return Applied(**rows[0])


async def remove(connection: Connection, step: Step) -> Applied:
    """Strike a step out, in the transaction that takes it back."""
    rows = await connection.fetch(_REMOVE, step.track, step.version)
    return Applied(**rows[0])
