"""Who looks, when and with how much time: `live` without I/O, `ready` in a moment, `diagnose` at length.

A look at a busy database must not make it busier: no check waits in the queue of a full pool, and what `ready` found is
told again for a second.
"""

from __future__ import annotations

import asyncio
import os
import time
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio
import anyio.to_thread

from agentmem_store.address import options
from agentmem_store.health import checks
from agentmem_store.health.visit import Found, Visit, timed
from agentmem_store.models.health import Check, Health

if TYPE_CHECKING:
    from agentmem_store.config import PoolConfig
    from agentmem_store.health.visit import Look
    from agentmem_store.migrations import Migration
    from agentmem_store.pool import PoolManager

__all__ = ["Doctor", "diagnose", "not_open"]

_FRESH_S: Final = 1.0
_READING: Final = frozenset({"read-only", "standby", "prefer-standby"})  # of target_session_attrs


def not_open() -> Health:
    """Return what there is to say of a database that is not open."""
    return Health(checks=(timed("open", Found("fail", "the database is not open"), time.perf_counter()),))


class Doctor:
    """Looks after one open pool and its server. Made in the event loop and the process that opened the pool.

    Args:
        pool: an open pool.
        dsn: of the server that the pool is connected to.
        config: the pool's settings.
    """

    def __init__(self, pool: PoolManager, dsn: str, config: PoolConfig) -> None:
        self._pool, self._dsn, self._config = pool, dsn, config
        self._pid, self._loop = os.getpid(), asyncio.get_running_loop()
        self._migrations: list[Migration] | None = None
        self._looking = asyncio.Lock()
        self._found: Health | None = None
        self._found_at = 0.0

    def live(self) -> Health:
        """See `Database.live`."""
        began = time.perf_counter()
        if self._pid != os.getpid():
            found = Found("fail", "the database was opened before a fork: open one in each process")
        elif not self._loop.is_running():
            found = Found("fail", "the event loop that the database was opened in has ended: open one in each loop")
        else:
            found = Found("ok", "open, in a running event loop of this process")
        return Health(checks=(timed("open", found, began),))

    async def ready(self, timeout_s: float) -> Health:
        """See `Database.ready`."""
        began = time.perf_counter()
        try:
            with anyio.fail_after(timeout_s):
                await self._looking.acquire()
        except TimeoutError:
            late = Found("fail", f"another look at the server is still under way after {timeout_s:g} s")
            return Health(checks=(self._queue(), timed("connection", late, began)))
        try:
            if self._found is None or time.monotonic() - self._found_at > _FRESH_S:
                self._found = await self._look(timeout_s - (time.perf_counter() - began))
                self._found_at = time.monotonic()
            return self._found
        finally:
            self._looking.release()

    async def diagnose(self, timeout_s: float) -> Health:
        """See `Database.diagnose`."""
        found = await diagnose(self._dsn, self._config, timeout_s)
        return Health(checks=(self._queue(), *found.checks))

    async def _look(self, timeout_s: float) -> Health:
        deadline = time.perf_counter() + timeout_s
        async with Visit(self._dsn, self._config, self._pool) as visit:
            looks: dict[str, Look] = {
                "connection": checks.reached,
                "round_trip": checks.answers,
                "writable": partial(checks.writable, reading=_is_to_be_read(self._dsn)),
                "migrations": partial(checks.at_head, migrations=await self._discovered()),
            }
            found = [await visit.check(name, look, deadline - time.perf_counter()) for name, look in looks.items()]
        return Health(checks=(self._queue(), *found))

    def _queue(self) -> Check:
        return timed("pool", checks.queue(self._pool.stats()), time.perf_counter())

    async def _discovered(self) -> list[Migration]:
        self._migrations = self._migrations or await _discover()
        return self._migrations


async def diagnose(dsn: str, config: PoolConfig, timeout_s: float) -> Health:
    """Look at a server and what goes on in it, on a connection that is made for it. Needs no pool.

    Args:
        dsn: of a running server.
        config: the settings of the pools that use it.
        timeout_s: seconds for each of the checks, above 0.

    Returns:
        the checks of `Database.diagnose` without ``pool``.
    """
    looks: dict[str, Look] = {
        "connection": checks.reached,
        "round_trip": checks.answers,
        "pooler": partial(checks.pooler, expected=config.pooler is not None),
        "server": checks.server,
        "writable": partial(checks.writable, reading=_is_to_be_read(dsn)),
        "migrations": partial(checks.at_head, migrations=await _discover()),
        "capabilities": checks.capabilities,
        "connections": partial(checks.connections, wanted=_wanted(config)),
        "long_transactions": checks.long_transactions,
        "blocked": checks.blocked,
        "replication": checks.replication,
        "vacuum": checks.vacuum,
        "indexes": checks.indexes,
    }
    async with Visit(dsn, config) as visit:
        return Health(checks=tuple([await visit.check(name, look, timeout_s) for name, look in looks.items()]))


async def _discover() -> list[Migration]:
    return await anyio.to_thread.run_sync(checks.discover)


def _is_to_be_read(dsn: str) -> bool:
    return options(dsn).get("target_session_attrs") in _READING


def _wanted(config: PoolConfig) -> int | None:
    """Return how many connections the pools of all processes may open; None where a pooler shares them out."""
    return None if config.pooler else config.max_size * config.processes
