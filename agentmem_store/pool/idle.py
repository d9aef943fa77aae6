"""The connections of the pool that nobody uses."""

from __future__ import annotations

from bisect import insort
from operator import attrgetter
from typing import Final

from agentmem_store.pool.lease import Lease

__all__ = ["Idle"]

_by_idleness: Final = attrgetter("idle_since")


class Idle(list[Lease]):
    """Idle connections, the longest idle first. The last is lent next: it is the likeliest to live."""

    def put(self, lease: Lease) -> None:
        """Add one, where it belongs by when it came back."""
        if not self or self[-1].idle_since <= lease.idle_since:
            self.append(lease)
        else:
            insort(self, lease, key=_by_idleness)

    def take_all(self) -> tuple[Lease, ...]:
        """Take out all, the longest idle first."""
        taken = tuple(self)
        self.clear()
        return taken
