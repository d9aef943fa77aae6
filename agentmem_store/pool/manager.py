"""`PoolManager`: who gets which connection, and when there have to be more or fewer."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NoReturn

from agentmem_store import connect, errors
from agentmem_store.pool.grower import Grower
from agentmem_store.pool.home import Home
from agentmem_store.pool.idle import Idle
from agentmem_store.pool.leaks import LeakDetector
from agentmem_store.pool.lease import Lease
from agentmem_store.pool.line import Line
from agentmem_store.pool.liveness import Rounds, answers
from agentmem_store.pool.reaper import Reaper
from agentmem_store.pool.stats import Counters, PoolStats

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agentmem_store.config import PoolConfig
    from agentmem_store.pool.lease import CloseReason

__all__ = ["PoolManager"]

# While a failover lasts, the name may still lead to the old server: all are replaced, but not at every refused write.
_READ_ONLY_PAUSE_S: Final = 1.0


class PoolManager:
    """Lends connections to one server, within one event loop of one process.

    Args:
        dsn: a PostgreSQL DSN of a running server.
        config: sizes and deadlines.
    """

    def __init__(self, dsn: str, config: PoolConfig) -> None:
        self._dsn, self._config = dsn, config
        self._max_size, self._max_waiting = config.max_size, config.waiting_at_most
        self._ping_after_s = config.ping_after_s
        self._all: set[Lease] = set()
        self._idle = Idle()
        self._lent: set[Lease] = set()
        self._asked: set[Lease] = set()  # whether they live
        self._opening = 0
        self._line = Line(config.acquire_timeout_s, self._late)
        self._counters = Counters()
        self._grower = Grower(self._wants_more, self._open_one, self._cannot_open)
        self._reaper = Reaper(config)
        self._leaks = LeakDetector(config.leak_after_s, self._counters)
        self._rounds = Rounds(config, self._look_after)
        self._home = Home()
        self._is_open = False
        self._drains, self._quiet_until = 0, 0.0
        self._make_events()

    @property
    def config(self) -> PoolConfig:
        """The sizes and deadlines it was made with."""
        return self._config

    @property
    def counters(self) -> Counters:
        """The running account, whose histograms can forward to a metrics library."""
        return self._counters

    async def open(self, dsn: str | None = None) -> None:
        """Open the first connection, which proves that the server answers; the floor is filled in the background.

        A close that is under way is waited for. The account goes on where it was.

        Args:
            dsn: where to connect from now on; by default where it did.

        Raises:
            ConnectError: the server cannot be reached or refuses.
            PoolClosed: it was closed meanwhile.
            UsageError: the pool is open already.
        """
        await self._settled.wait()
        if self._is_open:
            raise errors.UsageError("this pool is open already")
        self._home.settle()
        self._is_open, self._dsn = True, dsn or self._dsn
        self._make_events()
        try:
            await self._open_one()
        except BaseException:
            await self.close()
            raise
        if not self._is_open:
            raise errors.PoolClosed("the pool was closed while it was being opened")
        self._rounds.start()
        self._grower.nudge()

    async def close(self) -> None:
        """Wait for lent connections to come back, then close all; ends those not back in time. Safe to repeat.

        Raises:
            UsageError: called from another event loop than `open` was, or after a fork.
        """
        if not self._is_open:
            await self._settled.wait()
            return
        self._home.check()
        self._is_open = False
        self._settled.clear()
        self._rounds.stop()
        self._line.dissolve(lambda: errors.PoolClosed("the pool was closed while a caller waited"))
        self._expire_all("pool_closed")
        try:
            await self._wind_down()
        finally:
            self._end(tuple(self._all))
            self._settled.set()

    def drain(self) -> None:
        """Replace every connection: idle ones now, lent ones as they come back. No I/O, and nobody is disturbed."""
        self._expire_all("drained")
        self._grower.nudge()

    def stats(self) -> PoolStats:
        """Return the pool as it is now. No I/O."""
        idle, in_use = len(self._idle), len(self._lent)
        return self._counters.snapshot(
            idle=idle, in_use=in_use, checking=len(self._all) - idle - in_use, opening=self._opening,
            waiting=len(self._line), max_size=self._max_size,
        )  # fmt: skip

    async def acquire(self) -> Lease:
        """Lend a connection; give it back with `release`.

        Raises:
            PoolTimeout: none became free within the acquire timeout.
            PoolFull: too many callers wait already.
            PoolDeadlock: this task holds a connection, and every other one is held by a task that waits here too.
            ConnectError: there is no connection, and none can be made.
            PoolClosed: the pool is not open.
            UsageError: called from another event loop or after a fork.
        """
        self._check_open()
        now = time.monotonic()
        if self._idle:
            lease = self._idle.pop()
            if now - lease.proven_at <= self._ping_after_s and not lease.connection.is_closed():
                return self._lend(lease, now, asyncio.current_task(), 0.0)
            self._ask(lease)
        return await self._wait(now)

    def admits(self, waiting: int, task: asyncio.Task[Any] | None) -> bool:
        """Tell whether a task may wait outside the line, with `waiting` others, for a connection they will share.

        One that holds a connection may not: a ring of tasks that wait for each other is found in the line. Raises
        `PoolFull`, `PoolClosed` and `UsageError` as `acquire` does.
        """
        self._check_open()
        if waiting >= self._max_waiting:
            self._refuse(waiting)
        return all(lease.holder is not task for lease in self._lent)

    def release(self, lease: Lease) -> None:
        """Take a connection back: to the caller who has waited longest, else to the idle ones.

        A clean one is lent again as it is. One that is not is cleaned first, in the background. To be called once for
        each `acquire`: the connection may be somebody else's the moment after.
        """
        if lease not in self._lent:
            return
        now = time.monotonic()
        self._end_loan(lease, now)
        connection = lease.connection
        if connection.is_closed() or now >= lease.expires_at:
            self._retire(lease)
        elif lease.dirty or lease.interrupted or connection.is_in_transaction():
            self._reaper.spawn(self._restore(lease))
        else:
            lease.idle_since = lease.proven_at = now
            self._offer(lease, now)

    def _check_open(self) -> None:
        if not self._is_open:
            raise errors.PoolClosed("the pool is not open: use `async with Database(…)` or `await db.open()`")
        self._home.check()

    def _refuse(self, waiting: int) -> NoReturn:
        self._counters.full += 1
        raise errors.PoolFull(size=len(self._all), in_use=len(self._lent), waiting=waiting)

    def _end_loan(self, lease: Lease, now: float) -> None:
        self._lent.remove(lease)
        self._counters.use.record(now - lease.lent_at)
        if lease.is_leak:
            self._leaks.returned(lease, now)
        lease.holder = lease.where = None

    def _make_events(self) -> None:
        """Make what belongs to one event loop."""
        self._all_back, self._settled = asyncio.Event(), asyncio.Event()
        self._settled.set()  # cleared while a close is under way

    def _lend(self, lease: Lease, now: float, task: asyncio.Task[Any] | None, waited_s: float) -> Lease:
        lease.lent_at, lease.holder = now, task
        self._lent.add(lease)
        self._counters.acquired += 1
        self._counters.wait.record(waited_s)
        return lease

    def _offer(self, lease: Lease, now: float) -> None:
        """Hand a connection to the first who waits, else keep it idle."""
        waiter = self._line.first()
        if waiter is not None:
            waiter.served.set_result(self._lend(lease, now, waiter.task, now - waiter.since))
        else:
            self._idle.put(lease)

    async def _wait(self, now: float) -> Lease:
        task = asyncio.current_task()
        self._check_line(task)
        waiter = self._line.join(now, task)
        self._grower.nudge()
        try:
            return await waiter.served
        except (asyncio.CancelledError, GeneratorExit):
            self._line.leave(waiter)
            # The hand-off may have happened in the same turn of the loop as the cancellation.
            if waiter.served.done() and not waiter.served.cancelled() and waiter.served.exception() is None:
                self.release(waiter.served.result())
            raise

    def _check_line(self, task: asyncio.Task[Any] | None) -> None:
        """Refuse a caller for whom there is no place, or no hope."""
        lent, waiting = len(self._lent), len(self._line)
        if waiting >= self._max_waiting + self._max_size - lent:
            self._refuse(waiting)
        if lent == self._max_size and self._line.closes_a_ring({lease.holder for lease in self._lent}, task):
            self._counters.deadlocks += 1
            raise errors.PoolDeadlock(lent)

    def _late(self) -> errors.AgentMemError:
        self._counters.timeouts += 1
        size, in_use, waiting = len(self._all), len(self._lent), len(self._line)
        return errors.PoolTimeout(self._config.acquire_timeout_s, size=size, in_use=in_use, waiting=waiting)

    def _wants_more(self) -> bool:
        """Whether one is missing: for the floor, or for callers beyond those whom a ping's answer will serve."""
        size = len(self._all) + self._opening
        if size >= self._max_size or not self._is_open:
            return False
        return size < self._config.min_size or len(self._line) > len(self._asked)

    async def _open_one(self) -> None:
        began, drains = time.monotonic(), self._drains
        self._opening += 1
        try:
            connection = await connect.for_pool(self._dsn, self._config)
        except Exception:
            self._counters.connect_errors += 1
            raise
        finally:
            self._opening -= 1
        now = time.monotonic()
        self._counters.connect.record(now - began)
        lease = Lease(connection, now, self._config.max_lifetime_s)
        if drains != self._drains:  # it may lead where the others led
            lease.expire("drained")
        self._admit(lease)

    def _admit(self, lease: Lease) -> None:
        self._counters.created += 1
        self._all.add(lease)
        lease.connection.add_termination_listener(partial(self._ended, lease))
        if self._is_open:
            self._resume(lease)
        else:
            self._drop(lease, "pool_closed")

    def _cannot_open(self, error: errors.AgentMemError) -> None:
        """Tell those who wait, when there is no connection that could come back."""
        if not self._all:
            self._line.refuse(lambda: copy(error))

    def _ended(self, lease: Lease, _connection: object) -> None:
        """The server ended a connection; when it was idle, somebody has to see to it."""
        if lease in self._idle:
            self._idle.remove(lease)
            self._lose(lease)

    def _lose(self, lease: Lease) -> None:
        """One that died says that the others may have, too: they are asked all at once."""
        lease.connection.terminate()
        self._drop(lease, "dead")
        for suspect in self._idle.take_all():
            self._ask(suspect)

    def _retire(self, lease: Lease) -> None:
        """Part with one that came back dead, or is not to be lent again."""
        reason = lease.expiry
        if reason == "read_only":
            self._drain_read_only()
        if lease.connection.is_closed() and self._is_open:
            self._lose(lease)
        else:
            self._drop(lease, reason)

    def _drain_read_only(self) -> None:
        """Where one leads to a server that takes no writes, the others do, and the names are to be resolved anew."""
        now = time.monotonic()
        if now >= self._quiet_until:
            self._quiet_until = now + _READ_ONLY_PAUSE_S
            self._expire_all("drained")

    def _expire_all(self, reason: CloseReason) -> None:
        self._drains += 1
        for lease in self._all:
            lease.expire(reason)
        for lease in self._idle.take_all():
            self._drop(lease, reason)

    def _drop(self, lease: Lease, reason: CloseReason) -> None:
        if lease not in self._all:
            return
        self._all.remove(lease)
        self._asked.discard(lease)
        self._counters.closed_by[reason] += 1
        self._reaper.hang_up(lease.connection)
        self._grower.nudge()
        if not self._lent:
            self._all_back.set()

    def _ask(self, lease: Lease) -> None:
        """Ask one that was taken out of the idle ones whether it lives, in the background."""
        self._asked.add(lease)
        self._reaper.spawn(self._examine(lease))

    async def _examine(self, lease: Lease) -> None:
        lives = await answers(lease.connection)
        self._asked.discard(lease)
        if lives:
            lease.proven_at = time.monotonic()
            self._resume(lease)
        else:
            self._lose(lease)

    async def _restore(self, lease: Lease) -> None:
        """Offer one again when its session is clean."""
        if await self._reaper.restore(lease):
            lease.idle_since = lease.proven_at = time.monotonic()
            self._resume(lease)
        else:
            lease.connection.terminate()
            self._drop(lease, "reset_failed")

    def _resume(self, lease: Lease) -> None:
        if lease.proven_at < lease.expires_at:
            self._offer(lease, lease.proven_at)
        else:
            self._drop(lease, lease.expiry)

    def _look_after(self) -> None:
        """Part with idle ones that are too old or too many, ask those long silent, and see to the floor."""
        now = time.monotonic()
        self._leaks.look(tuple(self._lent), now)
        for lease in tuple(self._idle):
            self._look_at(lease, now)
        self._grower.nudge()

    def _look_at(self, lease: Lease, now: float) -> None:
        config = self._config
        is_old = now >= lease.expires_at
        if is_old or (len(self._all) > config.min_size and now - lease.idle_since >= config.idle_timeout_s):
            self._idle.remove(lease)
            self._drop(lease, lease.expiry if is_old else "idle")
        elif now - lease.proven_at >= config.keepalive_s * lease.patience:
            self._idle.remove(lease)
            self._ask(lease)

    async def _wind_down(self) -> None:
        loop = asyncio.get_running_loop()
        ends = loop.time() + self._config.close_timeout_s
        await self._grower.stop()
        self._all_back.clear()
        if self._lent:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(ends):
                    await self._all_back.wait()
        self._end(tuple(self._lent))
        await self._reaper.finish(max(ends - loop.time(), 0.0))

    def _end(self, leases: Iterable[Lease]) -> None:
        for lease in leases:
            if lease in self._lent:
                self._end_loan(lease, time.monotonic())
            lease.connection.terminate()
            self._drop(lease, "pool_closed")
