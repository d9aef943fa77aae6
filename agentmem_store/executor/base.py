"""What every executor does, and what becomes of the driver's errors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Literal

from agentmem_store import errors

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from agentmem_store.executor.coalescer import Coalescer
    from agentmem_store.executor.connected import ConnectionExecutor
    from agentmem_store.pool import Lease
    from agentmem_store.query import Query

__all__ = ["Executor", "Isolation", "explain"]

Isolation = Literal["read_committed", "repeatable_read", "serializable"]


class Executor(ABC):
    """Runs a statement and returns its records. There are two: a pool's and a connection's.

    Attributes:
        coalescer: lets concurrent calls share statements; None where each has its own.
    """

    coalescer: Coalescer | None = None

    @abstractmethod
    async def fetch(self, query: Query[Any], args: tuple[Any, ...]) -> list[Any]:
        """Run one statement and return its records, in the server's order.

        Raises:
            AgentMemError: from the tree in `agentmem_store.errors`, by SQLSTATE.
        """

    @abstractmethod
    def transaction(
        self, isolation: Isolation | None, *, read_only: bool
    ) -> AbstractAsyncContextManager[ConnectionExecutor]:
        """Begin a transaction, or a savepoint within one; commit on leaving, roll back on an exception."""


def explain(lease: Lease | None, error: Exception, query: str | None) -> errors.AgentMemError:
    """Return our error for the driver's, and note at the lease what it says about the connection."""
    failure = errors.from_driver(error, query)
    if lease is not None:
        lease.note(failure.sqlstate)
        lease.interrupted = lease.interrupted or isinstance(error, TimeoutError)
    return failure
