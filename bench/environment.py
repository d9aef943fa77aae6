"""On what the figures were taken: without this they mean nothing."""

from __future__ import annotations

import asyncio
import os
import platform
import re
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final

import asyncpg

if TYPE_CHECKING:
    from bench.sizes import Size

__all__ = ["stamp"]

_SETTINGS: Final = (
    "fsync", "synchronous_commit", "full_page_writes", "wal_level", "shared_buffers", "work_mem",
    "effective_cache_size", "max_wal_size", "random_page_cost", "jit", "autovacuum", "max_connections",
)  # fmt: skip
_PACKAGES: Final = (
    "agentmem-store", "asyncpg", "pydantic", "sqlalchemy", "psycopg", "psycopg-pool", "langgraph-checkpoint-postgres",
    "uvloop", "numpy",
)  # fmt: skip


async def stamp(server: str, size: Size) -> dict[str, str]:
    """Describe machine, interpreter, server, packages and commit.

    Args:
        server: the DSN of the server in use.
        size: how much the run does.
    """
    return {
        "CPU": await asyncio.to_thread(_cpu),
        "cores": str(os.cpu_count()),
        "load before": f"{os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "unknown",
        "system": platform.platform(),
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "event loop": type(asyncio.get_running_loop()).__module__.split(".")[0],
        "commit": await _commit(),
        **await _server(server),
        **{name: version for name in _PACKAGES if (version := _version(name))},
        "rounds": f"{size.rounds} after one unmeasured",
        "connections": f"{size.connections} in each pool",
    }


def _cpu() -> str:
    try:
        found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text("utf-8"), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


async def _commit() -> str:
    """Return the commit of the checkout, and whether it was changed since; unknown outside of one."""
    command = ("git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty")
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
    except OSError:
        return "unknown"
    printed, _ = await process.communicate()
    return printed.decode().strip() or "unknown"


async def _server(dsn: str) -> dict[str, str]:
    connection = await asyncpg.connect(dsn)
    try:
        version = await connection.fetchval("SHOW server_version")
        rows = await connection.fetch(
            "SELECT name, current_setting(name) AS value FROM pg_settings WHERE name = ANY ($1::text[])", _SETTINGS
        )
    finally:
        await connection.close()
    found = {row["name"]: row["value"] for row in rows}
    return {"PostgreSQL": version, **{name: found[name] for name in _SETTINGS if name in found}}
