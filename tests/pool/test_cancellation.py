"""Calls cancelled at random moments lose no connection and damage none.

The environment variable AGENTMEM_CANCELLATIONS says how many; a hundred thousand take a minute or two.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from agentmem_store import connect, errors
from agentmem_store.config import DEVELOPMENT
from agentmem_store.database import Database
from agentmem_store.executor import ConnectionExecutor, PoolExecutor
from agentmem_store.models.agents import AgentChanges, NewAgent
from agentmem_store.models.organizations import NewOrganization
from agentmem_store.pool import PoolManager
from agentmem_store.query import Query
from agentmem_store.repositories import agents, organizations
from agentmem_store.telemetry import Observer
from tests.pool.tools import agrees, until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agentmem_store.scope import Scope
    from tests.pool.conftest import Opening

CANCELLATIONS = int(os.environ.get("AGENTMEM_CANCELLATIONS", "20000"))
TASKS = 40

ECHO = Query("test.echo", int, "SELECT $1::INT")
NAP = Query("test.nap", str, "SELECT pg_sleep($1)::TEXT")


class Caller:
    """Makes calls, most of which are cancelled, and checks that each answer is that of its own question."""

    def __init__(self, pool: PoolManager, chance: random.Random) -> None:
        self.executor = PoolExecutor(pool, Observer(slow_query_ms=60_000))
        self.chance = chance
        self.ended: Counter[str] = Counter()

    async def ask(self) -> None:
        number = self.chance.randrange(1 << 30)
        assert (await self.executor.fetch(ECHO, (number,)))[0][0] == number

    async def nap(self) -> None:
        await self.executor.fetch(NAP, (self.chance.choice([0.0, 0.0005, 0.002]),))

    async def transact(self) -> None:
        number = self.chance.randrange(1 << 30)
        async with self.executor.transaction(None, read_only=False) as tx:
            assert (await tx.fetch(ECHO, (number,)))[0][0] == number
            async with tx.transaction(None, read_only=False) as inner:
                assert (await inner.fetch(ECHO, (number + 1,)))[0][0] == number + 1

    async def borrow(self) -> None:
        async with self.executor.connection() as connection:
            assert not connection.is_in_transaction()
            assert await connection.fetchval("SELECT current_setting('app.n', TRUE)") in {None, ""}
            await connection.execute("SET app.n = '1'")

    async def be_cancelled(self, call: Callable[[], Awaitable[None]]) -> None:
        """Make a call that is cancelled after as long as it might take, so at any of its awaits, or not at all."""

        async def run() -> None:
            await call()

        task = asyncio.create_task(run())
        if self.chance.random() < 0.3:
            for _ in range(self.chance.randrange(8)):
                await asyncio.sleep(0)
        else:
            await asyncio.sleep(self.chance.random() ** 2 * 0.02)
        self.ended["cancelled" if task.cancel() else "ended"] += 1
        (result,) = await asyncio.gather(task, return_exceptions=True)
        if isinstance(result, Exception):
            raise result


async def test_random_cancellations_lose_no_capacity(opened: Opening) -> None:
    pool = await opened(min_size=1, max_size=5, max_waiting=1000)
    caller = Caller(pool, random.Random(20))
    calls = [caller.ask, caller.ask, caller.nap, caller.transact, caller.borrow]

    async def work() -> None:
        while caller.ended["cancelled"] < CANCELLATIONS:
            await caller.be_cancelled(caller.chance.choice(calls))
            assert agrees(pool)

    await asyncio.gather(*(work() for _ in range(TASKS)))
    await until(lambda: pool.stats().in_use == pool.stats().checking == pool.stats().waiting == 0)
    leases = await asyncio.gather(*(pool.acquire() for _ in range(5)))
    assert [await lease.connection.fetchval("SELECT 1") for lease in leases] == [1] * 5
    for lease in leases:
        pool.release(lease)
    assert agrees(pool)
    assert pool.stats().closed == pool.stats().closed_by.get("reset_failed", 0)
    statements = caller.executor._observer.statements()
    assert statements.running == 0
    assert statements.failed == 0


async def test_every_step_of_a_transaction_may_be_the_last(opened: Opening) -> None:
    """Cancelled after one turn of the loop, after two, and so on until it is through."""
    pool = await opened(max_size=1)
    caller = Caller(pool, random.Random(0))
    for steps in range(1, 10_000):
        task = asyncio.ensure_future(caller.transact())
        for _ in range(steps):
            await asyncio.sleep(0)
        if not task.cancel():
            break
        await asyncio.gather(task, return_exceptions=True)
        assert pool.stats().in_use == 0
        await caller.borrow()
    assert task.exception() is None
    assert agrees(pool)


async def test_a_cancelled_savepoint_leaves_its_transaction_usable(dsn: str) -> None:
    async with Database(dsn, DEVELOPMENT.with_(max_size=1)) as db:
        organization = await organizations.create(db, NewOrganization(name="x"))
        scope = db.tenant(organization.id)

        async def inner(tx: Scope) -> None:
            async with tx.transaction() as innermost:
                await agents.create(innermost, NewAgent(name="lost"))
                await asyncio.Event().wait()

        async with scope.transaction() as tx:
            kept = await agents.create(tx, NewAgent(name="kept"))
            try:
                async with asyncio.timeout(0.05):
                    await inner(tx)
            except TimeoutError:
                await agents.update(tx, kept.id, AgentChanges(name="kept and changed"))
        assert [agent.name for agent in (await agents.list(scope)).items] == ["kept and changed"]
        assert db.stats().created == 1


async def test_a_savepoint_left_in_haste_is_undone_before_the_commit(dsn: str) -> None:
    async with Database(dsn, DEVELOPMENT.with_(max_size=1)) as db:
        organization = await organizations.create(db, NewOrganization(name="x"))
        scope = db.tenant(organization.id)
        async with scope.transaction() as tx:
            with pytest.raises(TimeoutError):
                async with tx.transaction() as inner:
                    await agents.create(inner, NewAgent(name="lost"))
                    raise TimeoutError
        assert await agents.count(scope) == 0


async def test_a_cancelled_commit_is_stored_whole_or_not_at_all(dsn: str) -> None:
    async with Database(dsn, DEVELOPMENT.with_(max_size=1)) as db:
        organization = await organizations.create(db, NewOrganization(name="x"))
        scope = db.tenant(organization.id)

        async def write() -> None:
            async with scope.transaction() as tx:
                await agents.create_many(tx, [NewAgent(name=f"{n}") for n in range(3)])

        for steps in range(1, 60):
            task = asyncio.ensure_future(write())
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert await agents.count(scope) % 3 == 0


async def test_on_a_connection_of_the_applications_own_a_cancelled_transaction_is_rolled_back(dsn: str) -> None:
    """Nobody looks after such a connection later, so it is done before the call returns."""
    connection = await connect.connect(dsn)
    executor = ConnectionExecutor(connection, Observer(slow_query_ms=60_000))

    async def work() -> None:
        async with executor.transaction(None, read_only=False) as tx:
            await tx.fetch(NAP, (60.0,))

    for steps in (1, 3, 30, 300):
        task = asyncio.create_task(work())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert not connection.is_in_transaction()
        assert await connection.fetchval("SELECT 1") == 1
    await connection.close()


async def test_an_error_of_the_pool_is_no_cancellation(opened: Opening) -> None:
    pool = await opened(max_size=1)
    caller = Caller(pool, random.Random(0))
    await pool.close()
    with pytest.raises(errors.PoolClosed):
        await caller.ask()
    assert caller.executor._observer.statements().failed == 1
