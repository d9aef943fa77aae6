"""What the first connection of a pool proves: that its settings are right for what is at the other end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import structlog

from agentmem_store import errors
from agentmem_store.connect import POOLER_FOUND

if TYPE_CHECKING:
    from agentmem_store.config import PoolConfig
    from agentmem_store.connect import Connection

__all__ = ["check"]

_log: Final[Any] = structlog.get_logger("agentmem_store")

# reserved_connections is of PostgreSQL 16.
_ASK: Final = """
    SELECT pg_backend_pid(),
           current_setting('max_connections')::INT
           - current_setting('superuser_reserved_connections')::INT
           - coalesce(current_setting('reserved_connections', TRUE)::INT, 0)
"""


async def check(connection: Connection, config: PoolConfig) -> None:
    """Check a pool's settings against the server. One query.

    A pool that, with those of all its processes, is larger than the server logs ``agentmem.pool.oversized``.

    Raises:
        ConfigurationError: a pooler stands before the server, and the settings do not say so.
        AgentMemError: the query failed.
    """
    try:
        pid, room = await connection.fetchrow(_ASK) or (0, 0)
    except errors.DRIVER_ERRORS as error:
        raise errors.from_driver(error) from error
    if config.pooler is not None:
        return
    if pid != connection.get_server_pid():
        raise errors.ConfigurationError(POOLER_FOUND)
    if config.max_size * config.processes > room:
        _log.warning("agentmem.pool.oversized", max_size=config.max_size, processes=config.processes, room=room)
