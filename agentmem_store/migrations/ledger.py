"""What was done to a database: the table agentmem.schema_migrations and its statements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agentmem_store.migrations.files import Step

if TYPE_CHECKING:
    from datetime import datetime
    from typing import TypeAlias

    import asyncpg

    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record]

__all__ = ["Applied", "add", "create", "read", "remove"]

_EXISTS: Final = "SELECT to_regclass('agentmem.schema_migrations') IS NOT NULL"

# Asked first, because CREATE SCHEMA IF NOT EXISTS demands the right to create even where there is nothing to do.
_CREATE: Final = """
DO $$
BEGIN
    IF to_regnamespace('agentmem') IS NULL THEN
        CREATE SCHEMA agentmem;
    END IF;
    CREATE TABLE IF NOT EXISTS agentmem.schema_migrations (
        track       text        NOT NULL,
        version     integer     NOT NULL CHECK (version > 0),
        name        text        NOT NULL,
        checksum    text        NOT NULL CHECK (length(checksum) = 64),
        applied_at  timestamptz NOT NULL DEFAULT now(),
        applied_by  text        NOT NULL DEFAULT current_user,
        duration_ms integer     NOT NULL CHECK (duration_ms >= 0),
        PRIMARY KEY (track, version)
    );
END
$$
"""

_READ: Final = """
SELECT track, version, name, checksum, applied_at, applied_by, duration_ms
  FROM agentmem.schema_migrations
 ORDER BY track <> 'core', track COLLATE "C", version
"""

_ADD: Final = """
INSERT INTO agentmem.schema_migrations (track, version, name, checksum, duration_ms)
VALUES ($1, $2, $3, $4, $5)
RETURNING track, version, name, checksum, applied_at, applied_by, duration_ms
"""

_REMOVE: Final = """
DELETE FROM agentmem.schema_migrations
 WHERE track = $1
   AND version = $2
RETURNING track, version, name, checksum, applied_at, applied_by, duration_ms
"""


@dataclass(frozen=True, slots=True)
class Applied(Step):
    """A step as the ledger has it: when its transaction began, the role that ran it, how long its up.sql took."""

    applied_at: datetime
    applied_by: str
    duration_ms: int


async def create(connection: Connection) -> None:
    """Create schema and ledger where they are missing. Only under the lock: creators race."""
    await connection.execute(_CREATE)


async def read(connection: Connection) -> list[Applied]:
    """Return every row, by track (core first, the others by name), then by number; without a ledger, none."""
    exists = await connection.fetchval(_EXISTS)
    return [Applied(**row) for row in await connection.fetch(_READ)] if exists else []


async def add(connection: Connection, step: Step, duration_ms: int) -> Applied:
    """Note a step as applied, inside the transaction that applies it."""
    rows = await connection.fetch(_ADD, step.track, step.version, step.name, step.checksum, duration_ms)
    return Applied(**rows[0])


async def remove(connection: Connection, step: Step) -> Applied:
    """Strike a step out, inside the transaction that takes it back."""
    rows = await connection.fetch(_REMOVE, step.track, step.version)
    return Applied(**rows[0])
