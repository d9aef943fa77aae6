"""What became of connections and of those who asked for one."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from agentmem_store.telemetry.histogram import Histogram, HistogramSnapshot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agentmem_store.pool.lease import CloseReason

__all__ = ["Counters", "PoolStats"]


@dataclass(frozen=True, slots=True)
class PoolStats:
    """The pool at one moment. Counts are since it was made, whatever was closed and opened again.

    At any time ``created - closed == size == idle + in_use + checking``, and ``acquired == wait.count``.

    Attributes:
        size: connections open.
        idle: connections ready to lend.
        in_use: connections lent.
        checking: connections being cleaned, or asked whether they live.
        opening: connections being opened; not yet part of `size`.
        waiting: callers in the queue.
        max_size: the ceiling.
        created: connections opened.
        closed: connections closed.
        closed_by: the same by reason: ``dead``, found broken; ``drained``; ``evicted``, for what the server said;
            ``idle``, too long above the floor; ``lifetime``; ``pool_closed``; ``read_only``, the server takes no
            writes; ``reset_failed``, could not be cleaned in time.
        acquired: connections lent.
        timeouts: callers who waited in vain.
        full: callers refused because too many waited.
        deadlocks: callers refused because everyone who held a connection waited for another.
        connect_errors: connections that could not be opened.
        leaks: connections not given back in time.
        leaks_returned: those of them that came back after all.
        wait: seconds from asking for a connection to getting it.
        use: seconds from getting a connection to giving it back.
        connect: seconds to open a connection.
    """

    size: int
    idle: int
    in_use: int
    checking: int
    opening: int
    waiting: int
    max_size: int
    created: int
    closed: int
    closed_by: Mapping[CloseReason, int]
    acquired: int
    timeouts: int
    full: int
    deadlocks: int
    connect_errors: int
    leaks: int
    leaks_returned: int
    wait: HistogramSnapshot
    use: HistogramSnapshot
    connect: HistogramSnapshot

    @property
    def utilization(self) -> float:
        """The part of `max_size` that is lent, 0 to 1."""
        return self.in_use / self.max_size


class Counters:
    """The running account; the attributes are those of `PoolStats`."""

    __slots__ = (
        "acquired",
        "closed_by",
        "connect",
        "connect_errors",
        "created",
        "deadlocks",
        "full",
        "leaks",
        "leaks_returned",
        "timeouts",
        "use",
        "wait",
    )

    def __init__(self) -> None:
        self.created = self.acquired = self.timeouts = self.full = self.deadlocks = 0
        self.connect_errors = self.leaks = self.leaks_returned = 0
        self.closed_by: Counter[CloseReason] = Counter()
        self.wait, self.use, self.connect = Histogram(), Histogram(), Histogram()

    def snapshot(
        self, *, idle: int, in_use: int, checking: int, opening: int, waiting: int, max_size: int
    ) -> PoolStats:
        """Return the account, with the state of the moment, as a value that does not change."""
        return PoolStats(
            size=idle + in_use + checking,
            idle=idle,
            in_use=in_use,
            checking=checking,
            opening=opening,
            waiting=waiting,
            max_size=max_size,
            created=self.created,
            closed=self.closed_by.total(),
            closed_by=MappingProxyType(dict(self.closed_by)),
            acquired=self.acquired,
            timeouts=self.timeouts,
            full=self.full,
            deadlocks=self.deadlocks,
            connect_errors=self.connect_errors,
            leaks=self.leaks,
            leaks_returned=self.leaks_returned,
            wait=self.wait.snapshot(),
            use=self.use.snapshot(),
            connect=self.connect.snapshot(),
        )
