"""One place observes every statement: its time, the slow log, and what its errors become."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import structlog

from agentmem_store import errors

if TYPE_CHECKING:
    from agentmem_store.query import Query

__all__ = ["Observer"]

# A guest in the application's logging: never configured here.
_log: Final[Any] = structlog.get_logger("agentmem_store")


class Observer:
    """Sees every statement that ran.

    Args:
        slow_query_ms: statements that ran at least this many milliseconds are logged as ``agentmem.query.slow``.
    """

    def __init__(self, slow_query_ms: float) -> None:
        self._slow_s = slow_query_ms / 1000

    def finished(self, query: Query[Any], *, wait_s: float, run_s: float, rows: int) -> None:
        """Take note of a statement that ran.

        Args:
            query: what ran.
            wait_s: seconds it waited for a connection.
            run_s: seconds from sending it to its last row.
            rows: rows it returned.
        """
        if run_s >= self._slow_s:
            _log.warning(
                "agentmem.query.slow",
                query=query.name,
                duration_ms=round(run_s * 1000, 1),
                wait_ms=round(wait_s * 1000, 1),
                rows=rows,
            )

    def failed(self, query: Query[Any], error: Exception) -> errors.AgentMemError:
        """Return our error for what the driver, the network or a deadline raised in a statement."""
        return errors.from_driver(error, query.name)
