"""Anything in any order: the pool's books are right after every step, and at the end it serves all it ever could."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any, ClassVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from agentmem_store import connect, errors
from agentmem_store.config import DEVELOPMENT
from agentmem_store.executor import PoolExecutor
from agentmem_store.pool import PoolManager
from agentmem_store.telemetry import Observer
from tests.pool.tools import ONE, SLEEP, agrees, give, turns, until

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from agentmem_store.pool import Lease

RUNS = int(os.environ.get("AGENTMEM_POOL_RUNS", "40"))
CONFIG = DEVELOPMENT.with_(min_size=1, max_size=3, max_waiting=4, close_timeout_s=5, leak_after_s=None)
WHICH = st.integers(0, 99)


class Pool(RuleBasedStateMachine):
    """Tasks that hold connections, tasks that wait for one, statements under way, and an administrator who kills.

    What is there to be given back or cancelled depends on a server's pace; so that the same choices always lead to the
    same questions, a rule with nothing to do does nothing.
    """

    runner: ClassVar[asyncio.Runner]
    dsn: ClassVar[str]
    assassin: ClassVar[Any]

    def __init__(self) -> None:
        super().__init__()
        self.pool = PoolManager(self.dsn, CONFIG)
        self.executor = PoolExecutor(self.pool, Observer(slow_query_ms=60_000))
        self.held: list[Lease] = []
        self.waiting: list[asyncio.Task[Lease]] = []
        self.running: list[asyncio.Task[Any]] = []
        self.wait(self.pool.open())

    def wait(self, work: Awaitable[Any]) -> Any:
        async def run() -> Any:
            return await work

        return self.runner.run(run())

    def settle(self) -> None:
        """Let happen what happens by itself, and sort those who waited."""
        self.wait(turns())
        for task in [task for task in self.waiting if task.done()]:
            self.waiting.remove(task)
            if not task.cancelled() and task.exception() is None:
                self.held.append(task.result())

    @rule()
    def ask(self) -> None:
        async def start() -> asyncio.Task[Lease]:
            return asyncio.create_task(self.pool.acquire())

        self.waiting.append(self.wait(start()))
        self.settle()

    @rule(statement=st.sampled_from(["sleep", "transaction"]))
    def run(self, statement: str) -> None:
        async def transaction() -> None:
            async with self.executor.transaction(None, read_only=False) as tx, tx.transaction(None, read_only=False):
                await tx.fetch(SLEEP, ())

        async def start() -> asyncio.Task[Any]:
            return asyncio.create_task(transaction() if statement == "transaction" else self.executor.fetch(SLEEP, ()))

        self.running.append(self.wait(start()))
        self.settle()

    @rule(which=WHICH, state=st.sampled_from(["clean", "dirty", "open", "interrupted", "closed", "expired"]))
    def give_back(self, which: int, state: str) -> None:
        if not self.held:
            return
        lease = self.held.pop(which % len(self.held))
        if state == "open" and not lease.connection.is_closed():
            self.begin(lease)
        elif state == "closed":
            lease.connection.terminate()
        elif state == "expired":
            lease.expire("lifetime")
        lease.dirty = state == "dirty"
        lease.interrupted = state == "interrupted"
        self.wait(self.give(lease))
        self.settle()

    async def give(self, lease: Lease) -> None:
        self.pool.release(lease)

    def begin(self, lease: Lease) -> None:
        async def begin() -> None:
            try:
                await lease.connection.execute("BEGIN")
            except errors.DRIVER_ERRORS:
                assert lease.connection.is_closed()

        self.wait(begin())

    @rule(which=WHICH, at_once=st.booleans())
    def cancel(self, which: int, at_once: bool) -> None:
        tasks = [*self.waiting, *self.running]
        if tasks:
            tasks[which % len(tasks)].cancel()
        if not at_once:
            self.settle()

    @rule()
    def grow(self) -> None:
        async def wait() -> None:
            await until(lambda: self.pool.stats().opening == 0)

        self.wait(wait())
        self.settle()

    @rule()
    def kill(self) -> None:
        self.wait(
            self.assassin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND application_name = 'agentmem_store' AND pid <> pg_backend_pid()"
            )
        )

    @rule()
    def drain(self) -> None:
        self.wait(self.do(self.pool.drain))

    @rule()
    def look_after(self) -> None:
        self.wait(self.do(self.pool._look_after))

    async def do(self, work: Any) -> None:
        work()

    @rule(held=st.booleans())
    def close_and_open_again(self, held: bool) -> None:
        async def close() -> None:
            closing = asyncio.create_task(self.pool.close())
            await turns()
            give(self.pool, [] if held else self.held)
            for task in self.running:
                task.cancel()
            if held and self.held:
                closing.cancel()
            await asyncio.gather(closing, *self.running, return_exceptions=True)

        self.wait(close())
        assert self.pool.stats().size == self.pool.stats().in_use == self.pool.stats().waiting == 0
        assert agrees(self.pool)
        self.settle()
        self.held, self.waiting, self.running = [], [], []
        self.wait(self.pool.open())

    @invariant()
    def the_books_are_right(self) -> None:
        assert agrees(self.pool)
        assert len(self.held) <= self.pool.stats().in_use

    async def have_one(self, all_have_one: asyncio.Barrier) -> None:
        """Use a connection while others use all the rest; of those killed unnoticed none is left afterwards."""
        async with self.executor.transaction(None, read_only=False) as tx:
            await all_have_one.wait()
            await tx.fetch(ONE, ())

    def teardown(self) -> None:
        async def end() -> None:
            for task in [*self.waiting, *self.running]:
                task.cancel()
            results = await asyncio.gather(*self.waiting, *self.running, return_exceptions=True)
            allowed = (errors.AgentMemError, asyncio.CancelledError)
            asked, ran = results[: len(self.waiting)], results[len(self.waiting) :]
            assert [result for result in ran if not isinstance(result, allowed)] == []
            give(self.pool, [*self.held, *(lease for lease in asked if not isinstance(lease, BaseException))])
            await until(lambda: self.pool.stats().in_use == self.pool.stats().checking == 0)
            all_have_one = asyncio.Barrier(CONFIG.max_size)
            await asyncio.gather(*(self.have_one(all_have_one) for _ in range(CONFIG.max_size)))
            await self.pool.close()

        self.wait(end())
        assert agrees(self.pool)
        assert self.pool.stats().size == 0


def test_the_pool_keeps_its_books_whatever_happens(shared: str) -> None:
    with asyncio.Runner() as runner:
        Pool.runner, Pool.dsn = runner, shared
        Pool.assassin = runner.run(connect.connect(shared, application_name="assassin"))
        checks = settings(
            max_examples=RUNS,
            stateful_step_count=30,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        run_state_machine_as_test(Pool, settings=checks)
        runner.run(Pool.assassin.close())
