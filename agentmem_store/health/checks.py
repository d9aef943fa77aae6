"""What is looked at, one function each: a statement, and what its answer means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from agentmem_store import connect
from agentmem_store.health.visit import Found
from agentmem_store.migrations import drift, files, ledger
from agentmem_store.migrations.problems import MigrationNewer
from agentmem_store.statements import health as statements

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentmem_store.connect import Connection
    from agentmem_store.migrations import Migration
    from agentmem_store.models.health import Capability, Status
    from agentmem_store.pool import PoolStats
    from agentmem_store.query import Query

__all__ = [
    "answers", "at_head", "blocked", "capabilities", "connections", "indexes", "long_transactions", "pooler", "queue",
    "reached", "replication", "server", "vacuum", "writable",
]  # fmt: skip

_OLDEST_SERVER: Final = 150_000
_EXTENSIONS: Final = ["vector", "pg_stat_statements", "hypopg", "pg_trgm"]

# From which number on somebody should look, and from which on it does not work.
_LONG_S: Final = (60, 3600)  # an open transaction: from an hour on, what vacuum cannot remove is felt
_BLOCKED_S: Final = (1, 60)
_LAG_S: Final = (10, 300)
_TRANSACTION_AGE: Final = (1_000_000_000, 1_900_000_000)  # at about 2,100 million the server takes no more writes
_USED: Final = (0.8, 1.0)  # the part of a server's connections that is in use


def queue(stats: PoolStats) -> Found:
    """Look at the pool; a full one with callers waiting is a warning."""
    facts = {"size": stats.size, "max_size": stats.max_size, "in_use": stats.in_use, "waiting": stats.waiting}
    said = "{in_use} of {max_size} connections lent, {waiting} callers waiting".format_map(facts)
    if stats.waiting:
        said += ": raise max_size, or hold connections for less long"
    return Found("warn" if stats.waiting else "ok", said, facts)


async def reached(connection: Connection) -> Found:
    """Look whether there is a connection, which there is by now."""
    return Found("ok", f"connected to server process {connection.get_server_pid()}")


async def answers(connection: Connection) -> Found:
    """Ask the server something; the time of this check is that of a round trip."""
    await connection.fetchval("SELECT 1")
    return Found("ok", "the server answers")


async def pooler(connection: Connection, *, expected: bool) -> Found:
    """Look whether a pooler stands before the server; the settings have to say so."""
    found = await connect.behind_pooler(connection)
    if found and not expected:
        return Found("fail", connect.POOLER_FOUND)
    return Found("ok", "there is one" if found else "there is none", {"pooler": found})


async def writable(connection: Connection, *, reading: bool) -> Found:
    """Look whether the server takes writes; one that is only to be read from need not."""
    state = await _one(connection, statements.STATE)
    what = "a replica" if state.in_recovery else "read-only" if state.read_only else "takes writes"
    refuses = state.in_recovery or state.read_only
    if refuses and not reading:
        said = f"{what}: name the primary, or all hosts and target_session_attrs=read-write in the DSN"
        return Found("fail", said, state.model_dump())
    return Found("ok", what, state.model_dump())


async def at_head(connection: Connection, *, migrations: Sequence[Migration]) -> Found:
    """Look whether the migrations of this release are applied. A database of a newer release is a warning.

    It is how a database looks to the old processes while a release is rolled out.
    """
    status = drift.compare(migrations, await ledger.read(connection), ("core",))
    newer = [str(problem) for problem in status.problems if isinstance(problem, MigrationNewer)]
    wrong = [str(problem) for problem in status.problems if not isinstance(problem, MigrationNewer)]
    pending = [str(step) for step in status.pending]
    facts = {"applied": len(status.applied), "pending": pending, "newer": newer, "problems": wrong}
    if wrong:
        return Found("fail", "; ".join(wrong), facts)
    if pending:
        return Found("fail", f"{len(pending)} pending: run `agentmem-store migrate up` or `db.migrate()`", facts)
    if newer:
        return Found("warn", "; ".join(newer), facts)
    return Found("ok", f"{len(status.applied)} applied, none pending", facts)


async def server(connection: Connection) -> Found:
    """Look at what the server and the database are."""
    facts = await _one(connection, statements.FACTS)
    said = f"PostgreSQL {facts.version_name}, {facts.encoding}, {facts.ctype}, up for {_duration(facts.uptime_s)}"
    if facts.version < _OLDEST_SERVER:
        return Found("fail", f"{said}: 15 is the oldest that is supported", facts.model_dump())
    if facts.encoding != "UTF8":
        return Found("fail", f"{said}: texts in every language need a database in UTF8", facts.model_dump())
    return Found("ok", said, facts.model_dump())


async def capabilities(connection: Connection) -> Found:
    """Look which extensions are there. Nothing needs one, so that it is well without."""
    found = await _all(connection, statements.CAPABILITIES, _EXTENSIONS)
    return Found("ok", ", ".join(map(_capability, found)), {each.name: each.model_dump() for each in found})


async def connections(connection: Connection, *, wanted: int | None) -> Found:
    """Look whether the server has the connections that the pools may want, and how many are in use."""
    found = await _one(connection, statements.ROOM)
    facts = {**found.model_dump(), "wanted": wanted}
    said = f"{found.connected} of {found.room} in use"
    if wanted is not None and wanted > found.room:
        return Found("warn", f"{said}; the pools may want {wanted}: lower max_size (see PoolConfig.fit)", facts)
    status = graded(found.connected / max(found.room, 1), _USED)
    return Found(status, said if status == "ok" else f"{said}: raise max_connections, or lower max_size", facts)


async def long_transactions(connection: Connection) -> Found:
    """Look for transactions that have been open for long."""
    found = await _one(connection, statements.ACTIVITY, _LONG_S[0])
    if not found.long:
        return Found("ok", f"none open for longer than {_duration(_LONG_S[0])}", found.model_dump())
    said = (
        f"{found.long} open for longer than {_duration(_LONG_S[0])}, the longest for {_duration(found.longest_s)} "
        f"by process {found.pid} ({found.application or 'unnamed'}): vacuum cannot remove what they may still see"
    )
    return Found(graded(found.longest_s, _LONG_S), said, found.model_dump())


async def blocked(connection: Connection) -> Found:
    """Look for statements that wait for a lock."""
    found = await _one(connection, statements.BLOCKED)
    if not found.blocked:
        return Found("ok", "none waits for a lock", found.model_dump())
    said = (
        f"{found.blocked} waiting for a lock, the longest for {_duration(found.longest_s)}, "
        f"held up by process {found.pid} ({found.application or 'unnamed'})"
    )
    return Found(graded(found.longest_s, _BLOCKED_S), said, found.model_dump())


async def replication(connection: Connection) -> Found:
    """Look how far replicas are behind."""
    found = await _one(connection, statements.REPLICATION)
    said = f"{found.replicas} replicas, {_duration(found.lag_s)} and {found.lag_bytes:,} bytes behind"
    return Found(graded(found.lag_s, _LAG_S), said, found.model_dump())


async def vacuum(connection: Connection) -> Found:
    """Look whether transaction numbers run out."""
    age = await _one(connection, statements.TRANSACTION_AGE)
    said = f"{age:,} transactions since the oldest that is not frozen"
    status = graded(age, _TRANSACTION_AGE)
    return Found(status, said if status == "ok" else f"{said}: see why autovacuum does not come by", {"age": age})


async def indexes(connection: Connection) -> Found:
    """Look for indexes that were not built to the end."""
    invalid = await _all(connection, statements.INVALID_INDEXES)
    if invalid:
        return Found("warn", f"invalid: {', '.join(invalid)}: drop and build them again", {"invalid": invalid})
    return Found("ok", "all are valid", {"invalid": []})


def graded(value: float, limits: tuple[float, float]) -> Status:
    """Return ok below the first limit, warn below the second, else fail."""
    return "ok" if value < limits[0] else "warn" if value < limits[1] else "fail"


def discover() -> list[Migration]:
    """Read the migrations of this release. Blocking."""
    return files.discover(files.sql_root())


async def _all(connection: Connection, query: Query[Any], *args: Any) -> list[Any]:
    return [query.decode(record) for record in await connection.fetch(query.text, *args)]


async def _one(connection: Connection, query: Query[Any], *args: Any) -> Any:
    return (await _all(connection, query, *args))[0]


def _capability(found: Capability) -> str:
    if found.installed:
        return f"{found.name} {found.installed}"
    return f"{found.name} could be installed" if found.available else f"no {found.name}"


def _duration(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.3g} s"
