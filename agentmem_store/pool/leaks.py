"""Finding connections that are not given back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from agentmem_store.pool.lease import Lease
    from agentmem_store.pool.stats import Counters

__all__ = ["LeakDetector"]

# A guest in the application's logging: never configured here.
_log: Final[Any] = structlog.get_logger("agentmem_store")


class LeakDetector:
    """Logs each connection that is lent for too long, once, and once more when it comes back after all.

    Args:
        after_s: seconds from which on it is too long; None: never.
        counters: where it counts.
    """

    def __init__(self, after_s: float | None, counters: Counters) -> None:
        self._after_s = after_s
        self._counters = counters

    def look(self, lent: Iterable[Lease], now: float) -> None:
        """Log ``agentmem.pool.leak`` for those that have become too long."""
        if self._after_s is None:
            return
        for lease in lent:
            if not lease.is_leak and now - lease.lent_at >= self._after_s:
                lease.is_leak = True
                self._counters.leaks += 1
                self._say("agentmem.pool.leak", _log.warning, lease, now)

    def returned(self, lease: Lease, now: float) -> None:
        """Log ``agentmem.pool.leak_returned`` for one that was taken for lost."""
        lease.is_leak = False
        self._counters.leaks_returned += 1
        self._say("agentmem.pool.leak_returned", _log.info, lease, now)

    @staticmethod
    def _say(event: str, log: Callable[..., Any], lease: Lease, now: float) -> None:
        """Log an event; an application whose logging fails loses no connection by it."""
        task = lease.holder and lease.holder.get_name()
        try:
            log(event, task=task, caller=lease.where, held_s=round(now - lease.lent_at, 3))
        except Exception as error:  # noqa: BLE001 - it may be anything, and is told where asyncio tells of such
            loop = asyncio.get_running_loop()
            loop.call_exception_handler({"message": f"{event} could not be logged", "exception": error})
