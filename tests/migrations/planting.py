"""Folders of migrations for tests, and what tests ask the server about them."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import asyncpg

from agentmem_store.migrations import runner

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable
    from pathlib import Path

SLEEPING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
POLLING = """SELECT count(*) FROM pg_stat_activity
              WHERE datname = current_database() AND query LIKE '%pg_try_advisory_lock%' AND pid <> pg_backend_pid()"""
INVALID = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"
_LOCKS = """SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database
             WHERE locktype = 'advisory' AND classid = $1 AND objid = $2 AND datname = current_database()"""


def plant(root: Path, step: str, up: str, down: str = "-- nothing to take back") -> None:
    """Write one migration's folder."""
    (root / step).mkdir(parents=True)
    (root / step / "up.sql").write_text(up)
    (root / step / "down.sql").write_text(down)


def table(root: Path, step: str) -> None:
    """Write a migration that makes a table named like the last letter of its own name."""
    name = f"public.{step[-1]}"
    plant(root, step, f"-- a table\nCREATE TABLE {name} (id integer);\n", f"DROP TABLE {name};\n")


def three(root: Path) -> Path:
    """Write three tables: a, b and c."""
    for step in ("core/0001_a", "core/0002_b", "core/0003_c"):
        table(root, step)
    return root


def labels(steps: Iterable[Any]) -> list[str]:
    return [str(step) for step in steps]


@asynccontextmanager
async def connected(dsn: str, **settings: str) -> AsyncGenerator[Any]:
    connection = await asyncpg.connect(dsn, server_settings=settings)
    try:
        yield connection
    finally:
        await connection.close()


async def ask(dsn: str, sql: str, *args: Any) -> Any:
    async with connected(dsn) as connection:
        return await connection.fetchval(sql, *args)


async def tables(dsn: str) -> set[str]:
    async with connected(dsn) as connection:
        rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return {row["tablename"] for row in rows}


async def until(dsn: str, count: str) -> None:
    """Come back when the counting statement sees something; the caller's test has the deadline."""
    async with connected(dsn) as connection:
        with anyio.fail_after(30):
            while not await connection.fetchval(count):
                await anyio.sleep(0.01)


async def locks(dsn: str) -> int:
    """Count who holds the migration lock."""
    count: int = await ask(dsn, _LOCKS, *runner._LOCK)
    return count


@asynccontextmanager
async def lock_held(dsn: str) -> AsyncGenerator[int]:
    """Hold the migration lock as another program; yield its process."""
    async with connected(dsn, application_name="another deploy") as holder:
        assert await holder.fetchval("SELECT pg_try_advisory_lock($1, $2)", *runner._LOCK)
        yield holder.get_server_pid()
