"""One connection of the pool, and what the pool knows about it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from asyncio import Task

    from agentmem_store.connect import Connection

__all__ = ["CloseReason", "Lease"]

CloseReason = Literal["dead", "drained", "evicted", "idle", "lifetime", "pool_closed", "read_only", "reset_failed"]

# Of classes 08 and 57P0 the server, or what stands before it, says that this connection has no future.
_EVICTING: Final = ("08", "57P0")
_READ_ONLY: Final = "25006"

# Connections made together shall not end, nor be asked whether they live, together.
_JITTER: Final = 0.1


class Lease:
    """A connection of the pool: lent, idle, or being checked.

    Args:
        connection: the asyncpg connection.
        now: on the monotonic clock.
        max_lifetime_s: seconds that it may be lent again for; up to a tenth less, by chance.

    Attributes:
        connection: the asyncpg connection.
        patience: what deadlines of this connection are multiplied with, 0.9 to 1.
        expires_at: when it is too old to lend again, on the monotonic clock, as all times here.
        expiry: what it is closed for when it expires.
        idle_since: when it came back.
        proven_at: when it was last known to live.
        lent_at: when it was lent.
        holder: the task it is lent to.
        where: the place in the application that asked for it, where that is known.
        dirty: whether its session may hold state that the next borrower must not see.
        interrupted: whether a statement was cut short, or a transaction left open, by a cancellation or a deadline.
        is_leak: whether it was reported as not given back.
    """

    __slots__ = (
        "connection",
        "dirty",
        "expires_at",
        "expiry",
        "holder",
        "idle_since",
        "interrupted",
        "is_leak",
        "lent_at",
        "patience",
        "proven_at",
        "where",
    )

    def __init__(self, connection: Connection, now: float, max_lifetime_s: float) -> None:
        self.connection = connection
        self.patience = 1 - _JITTER * random.random()  # noqa: S311 - no secret depends on it
        self.expires_at = now + max_lifetime_s * self.patience
        self.expiry: CloseReason = "lifetime"
        self.idle_since = self.proven_at = self.lent_at = now
        self.holder: Task[Any] | None = None
        self.where: str | None = None
        self.dirty = self.interrupted = self.is_leak = False

    def expire(self, reason: CloseReason) -> None:
        """Have it closed as soon as it is not in use."""
        self.expires_at, self.expiry = 0.0, reason

    def note(self, sqlstate: str | None) -> None:
        """Take note of what the server said to a statement, where that tells something about the connection."""
        if sqlstate is None:
            return
        if sqlstate.startswith(_EVICTING):
            self.expire("evicted")
        elif sqlstate == _READ_ONLY and self._is_read_only():
            self.expire("read_only")

    def _is_read_only(self) -> bool:
        """Tell a server that takes no writes from a transaction that was begun READ ONLY.

        From version 14 the server keeps the client informed; of older ones, behind poolers, and of those
        that have ended, the worst is assumed.
        """
        if self.connection.is_closed():
            return True
        settings: Any = self.connection.get_settings()
        told = [getattr(settings, name, "on") for name in ("in_hot_standby", "default_transaction_read_only")]
        return "on" in told
