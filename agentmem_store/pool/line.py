"""The callers who wait for a connection, in the order they came."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentmem_store.errors import AgentMemError
    from agentmem_store.pool.lease import Lease

__all__ = ["Line", "Waiter"]


class Waiter:
    """One caller in the line.

    Args:
        now: on the monotonic clock.
        task: who waits.

    Attributes:
        served: becomes the connection, or the error to raise.
        since: when it came, on the monotonic clock.
        task: who waits.
    """

    __slots__ = ("served", "since", "task")

    def __init__(self, now: float, task: asyncio.Task[Any] | None) -> None:
        self.served: asyncio.Future[Lease] = asyncio.get_running_loop().create_future()
        self.since = now
        self.task = task


class Line:
    """First come, first served. All wait equally long, so that one alarm, for the first, does for all.

    Args:
        timeout_s: seconds that each waits.
        late: makes the error for one whose time is over.
    """

    def __init__(self, timeout_s: float, late: Callable[[], AgentMemError]) -> None:
        self._timeout_s = timeout_s
        self._late = late
        # Whoever is cancelled leaves from anywhere: a list of thousands would be searched for each.
        self._waiters: OrderedDict[Waiter, None] = OrderedDict()
        self._alarm: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._waiters)

    def closes_a_ring(self, holders: set[asyncio.Task[Any] | None], task: asyncio.Task[Any] | None) -> bool:
        """Tell whether a task, were it to wait, would close a ring in which all holders wait for one another.

        While anyone of them still works on its own, its connection may come back, and waiting is not in vain.
        """
        if task not in holders:
            return False
        return holders <= {task, *(waiter.task for waiter in self._waiters if not waiter.served.done())}

    def join(self, now: float, task: asyncio.Task[Any] | None) -> Waiter:
        """Put a caller at the end."""
        waiter = Waiter(now, task)
        self._waiters[waiter] = None
        if self._alarm is None:
            self._set_alarm(self._timeout_s)
        return waiter

    def leave(self, waiter: Waiter) -> None:
        """Take out one that waits no more; nothing happens when it was served already."""
        self._waiters.pop(waiter, None)

    def first(self) -> Waiter | None:
        """Take out the first that still waits."""
        while self._waiters:
            waiter, _ = self._waiters.popitem(last=False)
            if not waiter.served.done():
                return waiter
        return None

    def refuse(self, reason: Callable[[], AgentMemError]) -> None:
        """Raise an error of its own for each that waits, and empty the line."""
        while (waiter := self.first()) is not None:
            waiter.served.set_exception(reason())

    def dissolve(self, reason: Callable[[], AgentMemError]) -> None:
        """Refuse all, and stop the clock."""
        self.refuse(reason)
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _set_alarm(self, seconds: float) -> None:
        self._alarm = asyncio.get_running_loop().call_later(seconds, self._ring)

    def _ring(self) -> None:
        now = time.monotonic()
        self._alarm = None
        while self._waiters:
            waiter = next(iter(self._waiters))
            if now - waiter.since < self._timeout_s:
                self._set_alarm(waiter.since + self._timeout_s - now)
                break
            if not waiter.served.done():
                waiter.served.set_exception(self._late())
            self.leave(waiter)
