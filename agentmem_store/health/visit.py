"""A look at a server: checks one after another on one connection, none of which can keep the others from running."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import anyio

from agentmem_store import connect, errors
from agentmem_store.models.health import Check, Status

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from agentmem_store.config import PoolConfig
    from agentmem_store.connect import Connection
    from agentmem_store.pool import Lease, PoolManager

    Look = Callable[[Connection], Awaitable["Found"]]

__all__ = ["Found", "Look", "Visit", "timed"]

_CLOSE_S: Final = 1.0


class Found(NamedTuple):
    """What a check found: how bad it is, in words, and the facts behind them."""

    status: Status
    message: str
    facts: dict[str, Any] = {}  # noqa: RUF012 - nobody changes it


def timed(name: str, found: Found, began: float) -> Check:
    """Make the check of what was found, which took from `began` (time.perf_counter) until now."""
    took_ms = round((time.perf_counter() - began) * 1000, 3)
    return Check(name=name, status=found.status, message=found.message, duration_ms=took_ms, facts=found.facts)


class Visit:
    """A connection for checks, as an async context manager: the pool's if it has an idle one, else one of its own.

    Args:
        dsn: of the server.
        config: how to connect.
        pool: lends a connection if one is idle; None for a connection of its own in any case.
    """

    def __init__(self, dsn: str, config: PoolConfig, pool: PoolManager | None = None) -> None:
        self._dsn, self._config, self._pool = dsn, config, pool
        self._lease: Lease | None = None
        self._own: Connection | None = None
        self._unreachable = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lease is not None and error is not None:
            self._lease.interrupted = True  # a look was cancelled: its statement may still be under way
        self._give_back()
        if self._own is not None:
            with anyio.move_on_after(_CLOSE_S, shield=True), suppress(*errors.DRIVER_ERRORS):
                await self._own.close()
            self._own.terminate()

    async def check(self, name: str, look: Look, timeout_s: float) -> Check:
        """Have `look` look, for `timeout_s` seconds at most, and return what it found; an error is a failure.

        A check that gets no answer costs the connection; the next one has another. Where none can be made, the checks
        after that fail at once.
        """
        began = time.perf_counter()
        if self._unreachable:
            return timed(name, Found("fail", "not looked at: there is no connection"), began)
        try:
            with anyio.fail_after(timeout_s):
                found = await self._ask(look)
        except TimeoutError:
            found = Found("fail", f"no answer within {max(timeout_s, 0):.3g} s")
            self._drop()
        except errors.AgentMemError as error:
            found = Found("fail", str(error))
        return timed(name, found, began)

    async def _ask(self, look: Look) -> Found:
        while True:
            connection = await self._connection()
            try:
                return await look(connection)
            except TimeoutError:
                raise
            except errors.DRIVER_ERRORS as error:
                failure = errors.from_driver(error)
                was_lent = self._lease is not None
                if connection.is_closed():
                    self._drop()
                # It had died while idle, and the pool had not noticed. One of our own tells how the server is.
                if not (was_lent and failure.outcome == "not_sent"):
                    raise failure from error

    async def _connection(self) -> Connection:
        if self._lease is not None:
            return self._lease.connection
        if self._own is None and self._pool is not None and self._pool.stats().idle:
            self._lease = await self._pool.acquire()
            return self._lease.connection
        if self._own is None:
            self._unreachable = True
            self._own = await connect.for_pool(self._dsn, self._config)
            self._unreachable = False
        return self._own

    def _drop(self) -> None:
        """End the connection; what is asked next is asked on one of our own."""
        if self._own is not None:
            self._own.terminate()
        if self._lease is not None:
            self._lease.connection.terminate()
        self._give_back()
        self._own = self._pool = None

    def _give_back(self) -> None:
        if self._lease is not None and self._pool is not None:
            self._pool.release(self._lease)
        self._lease = None
